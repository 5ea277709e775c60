import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { createIdentification } from '../../../src/auth/identification.ts';
import type { LabService } from '../../../src/reconcile/labs/lab-service.ts';
import { FakeHub, type FakeHolder, SERVICE_TOKEN } from '../../auth/jupyterhub/fake-hub.ts';
import { someKeys } from '../../auth/session/support.ts';
import { aConfig, type CallOptions, fakeLabs, testApp } from '../support.ts';

export const ORIGIN = 'https://hub.example.org';
export const ADA: FakeHolder = { name: 'ada', groups: ['astronomers'], scopes: ['access:services!service=labwright'] };

/** What a browser says of itself when a person goes to a page, and when one of our forms is sent. */
export const VISIT = { accept: 'text/html,*/*;q=0.8', 'sec-fetch-dest': 'document', 'sec-fetch-site': 'none' };
export const FORM = { accept: 'text/html,*/*;q=0.8', 'sec-fetch-site': 'same-origin', origin: ORIGIN };

export type People = Awaited<ReturnType<typeof setUpPeople>>;

/** The app with a JupyterHub behind it, at which people log in. */
export async function setUpPeople(
  options: {
    labs?: LabService;
    canLogIn?: boolean;
    baseUrl?: string;
    pathPrefix?: string;
    cacheLifetime?: string;
  } = {},
) {
  const { labs = fakeLabs(), canLogIn = true, baseUrl = ORIGIN, pathPrefix = '/labwright' } = options;
  const { cacheLifetime = '5m' } = options;
  const hub = await FakeHub.start();
  const folder = await mkdtemp(join(tmpdir(), 'labwright-'));
  const tokenFile = join(folder, 'token');
  await writeFile(tokenFile, SERVICE_TOKEN);
  const config = aConfig({
    baseUrl,
    pathPrefix,
    auth: {
      ...aConfig().auth,
      proxyHeaders: { trustedAddresses: ['10.0.0.0/8'] },
      jupyterhub: { apiUrl: hub.apiUrl, tokenFile, cacheLifetime, ...(canLogIn ? { login: {} } : {}) },
    },
  });
  const logger = pino({ level: 'silent' });
  const identification = createIdentification(config, { logger, sessionKeys: someKeys() });
  const { app, call, logs } = testApp({ labs, config, identification });
  const close = async () => {
    await identification.close();
    await hub.close();
    await rm(folder, { recursive: true });
  };
  return { hub, app, call, logs, close, tokenFile, browser: () => new Browser(call, hub) };
}

type Call = ReturnType<typeof testApp>['call'];

/** A browser: it keeps cookies by name, and goes where a person sends it. */
export class Browser {
  readonly cookies = new Map<string, string>();
  readonly #call: Call;
  readonly #hub: FakeHub;

  constructor(call: Call, hub: FakeHub) {
    this.#call = call;
    this.#hub = hub;
  }

  async go(url: string, options: CallOptions = {}): Promise<Response> {
    const path = url.replace(/^https?:\/\/[^/]+/, '');
    const cookie = [...this.cookies].map(([name, value]) => `${name}=${value}`).join('; ');
    const headers = { ...VISIT, ...(cookie === '' ? {} : { cookie }), ...options.headers };
    const answer = await this.#call(path, { ...options, headers });
    for (const header of answer.headers.getSetCookie()) this.#keep(header);
    return answer;
  }

  /** Sends a form of a page, as that page would. */
  send(path: string, fields: Record<string, string>, headers: Record<string, string> = {}): Promise<Response> {
    return this.go(path, { method: 'POST', body: new URLSearchParams(fields), headers: { ...FORM, ...headers } });
  }

  /** Begins a login. @returns what the hub sends the browser back to */
  async begin(holder: FakeHolder = ADA, path = '/labwright/login'): Promise<string> {
    const answer = await this.go(path);
    return this.#hub.authorize(answer.headers.get('location') ?? '', holder);
  }

  /** Logs in, whole. */
  async logIn(holder: FakeHolder = ADA, path?: string): Promise<Response> {
    return this.go(await this.begin(holder, path));
  }

  /** The CSRF token of the page that is shown. */
  async csrfToken(): Promise<string> {
    const page = await (await this.go('/labwright/account')).text();
    return /name="_csrf" value="([\w-]+)"/.exec(page)?.[1] ?? '';
  }

  #keep(header: string): void {
    const [pair = '', ...attributes] = header.split('; ');
    const name = pair.slice(0, pair.indexOf('='));
    if (attributes.includes('Max-Age=0')) this.cookies.delete(name);
    else this.cookies.set(name, pair.slice(name.length + 1));
  }
}
