import { readFile } from 'node:fs/promises';
import { createSecureContext, getCACertificates, type SecureContext } from 'node:tls';
import { buildConnector } from 'undici';
import { BuildProblem } from '../../domain/build/build.ts';

/** Certificate authorities of a site, which are trusted besides those of everybody. Their file may be replaced at any time. */
export class Authorities {
  readonly #file: string | undefined;
  #context: { readonly text: string; readonly secure: SecureContext } | undefined;

  /** @param file in PEM; absent where a site has none */
  constructor(file: string | undefined) {
    this.#file = file;
  }

  /**
   * The file as it is now; null where there is none.
   *
   * @throws {BuildProblem} `CertificateNotTrusted`, when it cannot be read
   */
  async read(): Promise<string | null> {
    if (this.#file === undefined) return null;
    try {
      return await readFile(this.#file, 'utf8');
    } catch (cause) {
      const message = 'The certificate authorities of this site cannot be read. Tell an administrator.';
      throw new BuildProblem({ reason: 'CertificateNotTrusted', message }, { transient: true, cause });
    }
  }

  /** Makes connections that trust them, by the file as it is when each begins. */
  connector(options: buildConnector.BuildOptions): buildConnector.connector {
    if (this.#file === undefined) return buildConnector(options);
    return (target, callback) => {
      this.#secureContext().then(
        (secureContext) => buildConnector({ ...options, secureContext })(target, callback),
        (error: unknown) => callback(error as Error, null),
      );
    };
  }

  async #secureContext(): Promise<SecureContext> {
    const text = (await this.read()) ?? '';
    if (this.#context?.text !== text) {
      this.#context = { text, secure: createSecureContext({ ca: [...getCACertificates('default'), text] }) };
    }
    return this.#context.secure;
  }
}
