import { OpenAPIHono } from '@hono/zod-openapi';
import { pino } from 'pino';
import { afterEach, describe, expect, it } from 'vitest';
import '../../support/leaks.ts';
import type { Identity } from '../../../src/auth/identity.ts';
import { LabwrightError } from '../../../src/domain/errors.ts';
import type { LabState } from '../../../src/domain/lab/lab.ts';
import type { LabService } from '../../../src/reconcile/labs/lab-service.ts';
import { accountRoutes } from '../../../src/routes/pages/account.ts';
import { agoWords, phaseWords, sinceWords, timeWords } from '../../../src/routes/pages/account-text.ts';
import { callLimits } from '../../../src/routes/server/requests/rate-limit.ts';
import type { AppEnv } from '../../../src/routes/server/context.ts';
import { handleError } from '../../../src/routes/server/errors.ts';
import { until } from '../../reconcile/support/until.ts';
import { ADA, FORM, type People, setUpPeople, VISIT } from './login-support.ts';
import { aConfig, aLabState, fakeLabs } from '../support.ts';

const open: People[] = [];
afterEach(async () => {
  for (const each of open.splice(0)) await each.close();
});

async function setUp(options: Parameters<typeof setUpPeople>[0] = {}): Promise<People> {
  const people = await setUpPeople(options);
  open.push(people);
  return people;
}

/** The page of ada, who has logged in. */
async function pageOf(states: readonly LabState[]): Promise<string> {
  const { browser } = await setUp({ labs: fakeLabs(states) });
  const ada = browser();
  await ada.logIn();
  const answer = await ada.go('/labwright/account');
  expect(answer.status).toBe(200);
  return answer.text();
}

/** What the button does, in an app of nothing but this page, which waits for a moment only. */
async function stopAlone(labs: LabService, logs: unknown[] = []): Promise<Response> {
  const logger = pino({}, { write: (line) => void logs.push(JSON.parse(line)) });
  const ada: Identity = { role: 'user', provider: 'x', subject: 'ada', username: 'ada', facts: null, token: null };
  const app = new OpenAPIHono<AppEnv>();
  app.onError(handleError);
  app.use(async (c, next) => {
    c.set('logger', logger);
    c.set('identify', () => Promise.resolve(ada));
    c.set('limits', callLimits({ limits: aConfig().limits, isTrusted: () => false }));
    await next();
  });
  app.route('/', accountRoutes({ labs, config: aConfig(), people: undefined, stopWaitMs: 20 }));
  return app.request('/account/stop', { method: 'POST', headers: FORM, body: new URLSearchParams({ server: '' }) });
}

const aSpec = (change: object, servername = '') => ({
  spec: { ...aLabState({}, { username: 'ada', servername }).spec, ...change },
});
const over = { status: 'failed', phase: 'failed', finishedAt: Date.UTC(2026, 10, 21, 15) } as const;

describe('the page of the labs', () => {
  it('shows each lab of the caller and nobody else’s', async () => {
    const page = await pageOf([
      aLabState(),
      aLabState({}, { username: 'ada', servername: 'gpu' }),
      aLabState({}, { username: 'bob', servername: 'of bob' }),
    ]);
    expect([...page.matchAll(/<h2>([^<]*)<\/h2>/g)].map(([, title]) => title)).toEqual(['Default server', 'gpu']);
  });

  it('says what runs, how large, since when, and where', async () => {
    const startedAt = Date.now() - 3 * 3_600_000 - 60_000;
    const page = await pageOf([aLabState({ startedAt })]);
    expect(page).toContain('<span class="state running">Running</span>');
    expect(page).toContain('Minimal notebook <code class="quiet">quay.io/jupyter/minimal-notebook:2026-11-02</code>');
    expect(page).toContain('Small <span class="quiet">(1 CPU, 2 GiB memory)</span>');
    expect(page).toContain(`${timeWords(startedAt)}</time> <span class="quiet">(3 hours ago)</span>`);
    expect(page).toContain('href="https://hub.example.org/user/ada/">Open</a>');
    expect(page).not.toContain('http-equiv="refresh"');
  });

  it('says why a lab has failed, and lets it be cleared away', async () => {
    const page = await pageOf([
      aLabState({ ...over, reason: 'OOMKilled', message: 'It used more memory than it has.' }),
    ]);
    expect(page).toContain('<span class="state failed">Failed</span>');
    expect(page).toContain('It used more memory than it has. <code class="quiet">OOMKilled</code>');
    expect(page).toContain('<dt>Ended</dt>');
    expect(page).toContain('<button>Clear</button>');
    expect(page).not.toContain('>Open</a>');
  });

  it('says what is waited for, leads to the progress, and looks again', async () => {
    const waiting = { status: 'pending', phase: 'scheduling', reason: 'Unschedulable', message: 'No room.' } as const;
    const page = await pageOf([aLabState({ ...waiting, startedAt: null, ...aSpec({}, 'a b') })]);
    expect(page).toContain('<p>No room. <code class="quiet">Unschedulable</code></p>');
    expect(page).toContain('href="https://hub.example.org/hub/spawn-pending/ada/a%20b">Watch it start</a>');
    expect(page).toContain('<meta http-equiv="refresh" content="5">');
  });

  it('says how far it is where nothing is wrong', async () => {
    const page = await pageOf([aLabState({ status: 'pending', phase: 'pulling', startedAt: null })]);
    expect(page).toContain('<p>The image is being fetched.</p>');
  });

  it('offers nothing for a lab that stops already', async () => {
    const page = await pageOf([aLabState({ status: 'terminating', phase: 'deleting' })]);
    expect(page).toContain('Stopping');
    expect(page).not.toContain('account/stop');
  });

  it('puts what runs first', async () => {
    const page = await pageOf([
      aLabState({ ...over, ...aSpec({}, 'a') }),
      aLabState({ ...aSpec({}, 'c') }),
      aLabState({ ...aSpec({}, 'b') }),
    ]);
    expect([...page.matchAll(/<h2>([^<]*)<\/h2>/g)].map(([, title]) => title)).toEqual(['b', 'c', 'a']);
  });

  it('leads to the hub where there is none', async () => {
    const page = await pageOf([]);
    expect(page).toContain('You have no lab at the moment.');
    expect(page).toContain('href="https://hub.example.org/hub/home">Start one from JupyterHub</a>');
  });

  it('escapes whatever is in it', async () => {
    const evil = `"><script>alert('1')</script>`;
    const image = { reference: evil, name: `${evil}2`, digest: '' };
    const options = { size: evil, enable_debug: false, reset_user_env: false, image: evil };
    const page = await pageOf([
      aLabState({ ...aSpec({ image, options, servicePrefix: `/user/${evil}/` }, evil) }),
      aLabState({ ...over, reason: evil, message: evil, ...aSpec({}, 'x') }),
    ]);
    expect(page).not.toContain('<script');
    expect(page).not.toContain('"><script');
  });

  it('leads nowhere else, whatever a lab says its path is', async () => {
    const page = await pageOf([aLabState(aSpec({ servicePrefix: '//evil.example/' }))]);
    expect(page).toContain('href="https://hub.example.org//evil.example/"');
  });

  it('may load nothing, run nothing, and send its forms only here', async () => {
    const { browser } = await setUp();
    const ada = browser();
    await ada.logIn();
    const { headers } = await ada.go('/labwright/account');
    expect(headers.get('content-security-policy')).toMatch(
      /^default-src 'none'; style-src 'sha256-[^']+'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'$/,
    );
    expect(headers.get('cache-control')).toBe('no-store');
    expect(headers.get('referrer-policy')).toBe('same-origin');
    expect(headers.get('cross-origin-opener-policy')).toBe('noopener-allow-popups');
  });

  it.each(['empty', 'iframe', 'script', 'object'])(
    'is not given to a script of a lab beside us: %s',
    async (destination) => {
      const { browser } = await setUp();
      const ada = browser();
      await ada.logIn();
      const headers = { 'sec-fetch-dest': destination, 'sec-fetch-site': 'same-origin' };
      const answer = await ada.go('/labwright/account', { headers });
      expect(answer.status).toBe(403);
      expect(await answer.text()).not.toContain('_csrf');
    },
  );

  it('is there for other credentials too, without forms to protect', async () => {
    const { call, hub } = await setUp({ labs: fakeLabs([aLabState()]) });
    hub.holders.set('canary-of-ada', ADA);
    for (const options of [{ as: 'ada' as const }, { headers: { authorization: 'Bearer canary-of-ada' } }]) {
      const answer = await call('/labwright/account', options);
      expect(answer.status).toBe(200);
      expect(await answer.text()).not.toMatch(/_csrf|Log out/);
    }
    expect((await call('/labwright/account', { as: 'hub' })).status).toBe(403);
    expect((await call('/labwright/account')).status).toBe(401);
  });

  it('waits for the picture of the cluster', async () => {
    const labs = fakeLabs([], { ready: () => Promise.reject(new LabwrightError('not_ready', 503, 'Not yet')) });
    const { call } = await setUp({ labs });
    const answer = await call('/labwright/account', { as: 'ada', headers: VISIT });
    expect([answer.status, await answer.text()]).toEqual([503, expect.stringContaining('Not yet')]);
  });
});

describe('the stop button', () => {
  it('stops that lab of the caller, and shows the page again', async () => {
    const labs = fakeLabs([aLabState()]);
    const { browser, logs } = await setUp({ labs });
    const ada = browser();
    await ada.logIn();
    const answer = await ada.send('/labwright/account/stop', {
      _csrf: await ada.csrfToken(),
      server: 'g p',
    });
    expect([answer.status, answer.headers.get('location')]).toEqual([303, '/labwright/account']);
    expect(labs.deleted).toEqual([{ username: 'ada', servername: 'g p' }]);
    const done = {
      audit: true,
      operation: 'stopOwnLab',
      result: 'done',
      subject: 'ada',
      username: 'ada',
      server: 'g p',
    };
    expect(logs).toContainEqual(expect.objectContaining(done));
  });

  it.each([
    ['without the token', {}, {}],
    ['with the token of another session', { _csrf: 'other' }, {}],
    ['from another site', { _csrf: 'own' }, { 'sec-fetch-site': 'cross-site', origin: 'https://evil.example' }],
    ['from a lab on a sibling domain', { _csrf: 'own' }, { 'sec-fetch-site': 'same-site' }],
    ['with the token twice, in the form and wrong in the header', { _csrf: 'own' }, { 'x-csrf-token': 'x' }],
  ])('does nothing %s', async (_, fields, headers) => {
    const labs = fakeLabs([aLabState()]);
    const { browser, logs } = await setUp({ labs });
    const [ada, other] = [browser(), browser()];
    await ada.logIn();
    await other.logIn();
    const tokens: Record<string, string> = { own: await ada.csrfToken(), other: await other.csrfToken() };
    const sent = Object.fromEntries(Object.entries(fields).map(([name, of]) => [name, tokens[of] ?? '']));
    const answer = await ada.send('/labwright/account/stop', { ...sent, server: '' }, headers);
    expect(answer.status).toBe(403);
    expect(await answer.text()).toContain('That is not allowed');
    expect(labs.deleted).toEqual([]);
    const refused = { audit: true, operation: 'stopOwnLab', result: 'refused', status: 403 };
    expect(logs).toContainEqual(expect.objectContaining(refused));
  });

  it('leads to nobody’s lab where nobody is logged in', async () => {
    const labs = fakeLabs([aLabState()]);
    const { browser } = await setUp({ labs });
    expect((await browser().send('/labwright/account/stop', { server: '' })).status).toBe(401);
    expect(labs.deleted).toEqual([]);
  });

  it('works for bots with a token of their own, which no site can make a browser send', async () => {
    const labs = fakeLabs([aLabState()]);
    const { call } = await setUp({ labs });
    const body = new URLSearchParams({ server: '' });
    expect((await call('/labwright/account/stop', { as: 'ada', body })).status).toBe(303);
    expect(labs.deleted).toHaveLength(1);
  });

  it('takes no form from elsewhere where a proxy adds the credential', async () => {
    const labs = fakeLabs([aLabState()]);
    const { call } = await setUp({ labs });
    const body = new URLSearchParams({ server: '' });
    const send = (site: string) => {
      const headers = { ...FORM, 'x-auth-request-user': 'ada', 'sec-fetch-site': site };
      return call('/labwright/account/stop', { body, headers, from: '10.0.0.1' });
    };
    expect((await send('cross-site')).status).toBe(403);
    expect(labs.deleted).toEqual([]);
    expect((await send('same-origin')).status).toBe(303);
  });

  it('takes a lab that is gone for stopped, and does not wait for a slow one', async () => {
    const gone = fakeLabs([], { delete: () => Promise.reject(new LabwrightError('unknown_user', 404, 'Unknown')) });
    const slow = fakeLabs([], { delete: () => new Promise(() => undefined) });
    for (const labs of [gone, slow]) expect((await stopAlone(labs)).status).toBe(303);
  });

  it('says so when a lab cannot be stopped, and logs it when that comes later', async () => {
    const failure = new LabwrightError('delete_failed', 500, 'Failed to delete lab', { cause: new Error('x') });
    const failing = await stopAlone(fakeLabs([], { delete: () => Promise.reject(failure) }));
    expect([failing.status, await failing.text()]).toEqual([500, expect.stringContaining('Failed to delete lab')]);
    const [later, logs] = [Promise.withResolvers<void>(), [] as unknown[]];
    expect((await stopAlone(fakeLabs([], { delete: () => later.promise }), logs)).status).toBe(303);
    later.reject(failure);
    await until('it is in the log', () => logs.length > 0);
    expect(logs).toEqual([expect.objectContaining({ username: 'ada', servername: '', level: 40 })]);
  });

  it.each(['a/b', '..', '\n', 'x'.repeat(300)])('knows no lab of the name %j', async (server) => {
    const { call } = await setUp();
    const body = new URLSearchParams({ server });
    expect((await call('/labwright/account/stop', { as: 'ada', body })).status).toBe(422);
  });

  it('reads no long form', async () => {
    const { call } = await setUp();
    const body = new URLSearchParams({ server: 'x'.repeat(20_000) });
    expect((await call('/labwright/account/stop', { as: 'ada', body })).status).toBe(413);
  });
});

describe('the words of the page', () => {
  it.each([
    [0, 'just now'],
    [-5000, 'just now'],
    [60_000, '1 minute ago'],
    [59 * 60_000, '59 minutes ago'],
    [3_600_000, '1 hour ago'],
    [47 * 3_600_000, '47 hours ago'],
    [48 * 3_600_000, '2 days ago'],
  ])('for %i ms are %j', (ms, words) => {
    expect(agoWords(ms)).toBe(words);
  });

  it('say every phase in a word that a person knows', () => {
    const phases = ['accepted', 'waiting_for_namespace', 'creating', 'scheduling', 'pulling', 'starting'] as const;
    for (const phase of phases) expect(phaseWords({ phase })).toMatchObject({ state: 'Starting' });
    expect(phaseWords({ phase: 'pulling' }).detail).toBe('The image is being fetched.');
    expect(phaseWords({ phase: 'terminated' })).toEqual({ state: 'Stopped', detail: '' });
  });

  it('say since when it is as it is', () => {
    const lab = aLabState();
    expect(sinceWords(lab, 0)).toMatchObject({ label: 'Running since', at: lab.startedAt });
    expect(sinceWords({ ...lab, phase: 'pulling' }, 0)).toMatchObject({ label: 'Asked for', at: lab.spec.createdAt });
    expect(sinceWords({ ...lab, ...over }, 0)).toMatchObject({ label: 'Ended', at: over.finishedAt });
    expect(timeWords(Date.UTC(2026, 0, 2, 3, 4))).toBe('2 January 2026, 03:04 UTC');
  });
});
