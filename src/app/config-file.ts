import type { Logger } from 'pino';
import { checkLabs } from '../cli/index.ts';
import { type Config, ConfigError, readConfigFile, type Reload, reloadConfig } from '../config/index.ts';
import type { Component, Health } from '../reconcile/health.ts';
import { sleep } from '../util/sleep.ts';
import type { ConfigSource } from './cluster.ts';

export interface ConfigFileOptions {
  readonly source: ConfigSource;
  /** What the program was started with. */
  readonly config: Config;
  /** Takes another configuration into use, all of it in one step; what it throws leaves the one before in use. */
  readonly use: (config: Config) => void;
  readonly logger: Logger;
}

/** How often the file is read, in milliseconds: a few kilobytes from the page cache. */
const LOOK_MS = 2_000;
const REFUSED =
  'The configuration file cannot be used as it is now; the configuration before goes on. The log says why.';

/**
 * Reads the configuration file again while the program runs: what has changed holds from then on, as far as it can. A file that
 * cannot be used is reported once, and what was there before goes on.
 *
 * The file is read again and again, by its path, and compared by what is in it: the kubelet replaces a directory that a symbolic link
 * leads to, editors rename files, and on some filesystems nobody is told of a change. Its new text counts when it was found by
 * two looks in a row, so that a file that is just being written is not taken for a whole one.
 */
export class ConfigFile implements Component {
  readonly name = 'configuration';
  readonly #options: ConfigFileOptions;
  #current: Config;
  /** What was found at the last look, and what of that has been dealt with. */
  #seen: string;
  #judged: string;
  #isRefused = false;
  #atNextStart: readonly string[] = [];

  constructor(options: ConfigFileOptions) {
    this.#options = options;
    this.#current = options.config;
    this.#seen = identityOf(options.source.text);
    this.#judged = this.#seen;
  }

  health(): Health {
    const waiting = this.#atNextStart.join(', ');
    const notice = this.#isRefused
      ? REFUSED
      : waiting === ''
        ? undefined
        : `Takes effect at the next start: ${waiting}.`;
    return { component: this.name, ready: !this.#isRefused, ...(notice === undefined ? {} : { notice }) };
  }

  async run(signal: AbortSignal): Promise<void> {
    const { source } = this.#options;
    for (;;) {
      await sleep(source.lookMs ?? LOOK_MS, signal);
      if (signal.aborted) return;
      await this.look();
    }
  }

  /** One look at the file. Never rejects. */
  async look(): Promise<void> {
    const found = await readConfigFile(this.#options.source.path).catch((error: unknown) => error);
    const identity = identityOf(found);
    const isSettled = identity === this.#seen;
    this.#seen = identity;
    if (!isSettled || identity === this.#judged) return;
    this.#judged = identity;
    try {
      if (typeof found !== 'string') throw found;
      this.#take(found);
    } catch (error) {
      this.#refuse(error);
    }
  }

  /** @throws ConfigError */
  #take(text: string): void {
    const { source, config: started, use, logger } = this.#options;
    const reload = reloadConfig(text, {
      name: source.path,
      started: { text: source.text, config: started },
      current: this.#current,
    });
    refuseLabs(reload.config, source.path);
    if (reload.changed.length > 0) use(reload.config);
    this.#current = reload.config;
    this.#atNextStart = reload.atNextStart;
    this.#isRefused = false;
    const { changed, atNextStart } = reload;
    logger.info({ changed, atNextStart }, describe(reload));
  }

  #refuse(error: unknown): void {
    this.#isRefused = true;
    const why = error instanceof ConfigError ? { problems: error.sentences } : { err: error };
    const { path } = this.#options.source;
    this.#options.logger.error(
      { file: path, ...why },
      'the changed configuration cannot be used; the one before goes on',
    );
  }
}

/** What the start would find out with the first lab. @throws ConfigError */
function refuseLabs(config: Config, name: string): void {
  const problems = checkLabs(config).map((message) => ({ path: '', message, line: undefined }));
  if (problems.length > 0) throw new ConfigError(name, problems);
}

function identityOf(found: unknown): string {
  return typeof found === 'string' ? `text ${found}` : `error ${String(found)}`;
}

function describe({ changed, atNextStart, isHeldBack }: Reload): string {
  const now = changed.length === 0 ? 'nothing else is used from now on' : `used from now on: ${changed.join(', ')}`;
  if (atNextStart.length === 0) {
    return changed.length === 0
      ? 'the configuration file was read again: it says what is in use'
      : `the configuration has changed; ${now}`;
  }
  const later = `takes effect at the next start: ${atNextStart.join(', ')}`;
  return isHeldBack
    ? `the configuration has changed; ${later}, and all else with it, since it cannot be used without`
    : `the configuration has changed; ${now}; ${later}`;
}
