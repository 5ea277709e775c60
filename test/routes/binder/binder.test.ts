import { describe, expect, it } from 'vitest';
import '../../support/leaks.ts';
import type { BuildEvent } from '../../../src/domain/build/build.ts';
import type { IdentityProvider } from '../../../src/auth/identity.ts';
import { type ErrorCode, LabwrightError } from '../../../src/domain/errors.ts';
import {
  aBuildState,
  BINDER,
  BUILD_ID,
  buildApp,
  DIGEST,
  endless,
  EVENTS,
  fakeBuilds,
  inOrder,
  PINNED,
  READY,
  readChunk,
  until,
} from '../builds/build-support.ts';
import { aConfig, API, type CallOptions, testApp } from '../support.ts';

const SPEC = 'gh/ada/notebooks/main';
const ACCEPT = { accept: 'text/event-stream' };

type App = ReturnType<typeof testApp>;
const ask = ({ call }: App, spec = SPEC, options: CallOptions = {}, query = '?build_only=true') =>
  call(`${BINDER}/${spec}${query}`, { as: 'ada', ...options, headers: { ...ACCEPT, ...options.headers } });
const textOf = async (...args: Parameters<typeof ask>) => (await ask(...args)).text();
const withEvents = (events: readonly BuildEvent[]) =>
  buildApp(fakeBuilds(undefined, { events: () => inOrder(events) }));

/** A frame as Python writes it. */
const failed = (status: number, message: string) =>
  `data: {"phase": "failed", "status_code": ${String(status)}, "message": ${JSON.stringify(message)}}\n\n`;

const line = (text: string, phase: string | null): BuildEvent => ({ id: text, type: 'log', line: 1, phase, text });
const WAITING = 'data: {"phase": "waiting", "message": "Waiting for build to start...\\n"}\n\n';

describe('the stream of BinderHub', () => {
  it('of a build that goes well is the recorded one', async () => {
    const ready: BuildEvent = {
      id: 'r',
      type: 'ready',
      message: 'x',
      image: `${PINNED.split('@')[0]!}:tag`,
      digest: DIGEST,
      cached: false,
    };
    const response = await ask(withEvents([line('l0\n', 'building'), ready]));
    expect(response.status).toBe(200);
    expect(Object.fromEntries(response.headers)).toMatchObject({
      'content-type': 'text/event-stream',
      'cache-control': 'no-cache',
      'access-control-allow-headers': 'cache-control',
    });
    expect(await response.text()).toBe(
      `${WAITING}data: {"message": "l0\\n", "phase": "building"}\n\n` +
        `data: {"phase": "ready", "message": "Done! Image built\\n", "imageName": "${PINNED}", ` +
        `"imageDigest": "${DIGEST}", "buildId": "${BUILD_ID}", "cached": false}\n\n`,
    );
  });

  it('says that the default branch is built in the place of one that is not there', async () => {
    const { repository } = aBuildState().spec;
    const inPlace = { repository: { ...repository, isFallback: true } };
    const sentence = 'There is no branch \\"main\\" in the repository: its default branch is built.';
    const building = await textOf(buildApp(fakeBuilds([aBuildState({}, inPlace)])));
    expect(building.startsWith(`${WAITING}data: {"phase": "waiting", "message": "${sentence}\\n"}\n\n`)).toBe(true);
    const found = await textOf(buildApp(fakeBuilds([aBuildState({ ...READY, cached: true }, inPlace)])));
    expect(found).toContain(`"message": "Done! Found built image\\n${sentence}\\n"`);
  });

  it('of an image that is there is one event', async () => {
    const builds = fakeBuilds([aBuildState({ ...READY, cached: true })], { events: () => undefined });
    expect(await textOf(buildApp(builds))).toBe(
      `data: {"phase": "ready", "imageName": "${PINNED}", "message": "Done! Found built image\\n", ` +
        `"imageDigest": "${DIGEST}", "buildId": "${BUILD_ID}", "cached": true}\n\n`,
    );
  });

  it('of a build that fails has the lines, and then one failure with its reason', async () => {
    const end: BuildEvent = { id: 'f', type: 'failed', reason: 'BuildFailed', message: 'The build has failed: boom' };
    const text = await textOf(
      withEvents([line('hi\n', 'building'), line('part of a line', 'building'), line('boom\n', 'failed'), end, end]),
    );
    expect(text).toBe(
      `${WAITING}data: {"message": "hi\\n", "phase": "building"}\n\n` +
        'data: {"message": "part of a line", "phase": "building"}\n\n' +
        'data: {"message": "boom\\n", "phase": "building"}\n\n' +
        `retry: 86400000\n\ndata: {"phase": "failed", "message": "The build has failed: boom\\n", "reason": "BuildFailed", "buildId": "${BUILD_ID}"}\n\n`,
    );
  });

  it('of a build that was cancelled ends with a failure', async () => {
    const end: BuildEvent = { id: 'c', type: 'cancelled', reason: 'Cancelled', message: 'ada has cancelled it' };
    expect(await textOf(withEvents([end]))).toBe(
      `${WAITING}retry: 86400000\n\ndata: {"phase": "failed", "message": "ada has cancelled it\\n", "reason": "Cancelled", "buildId": "${BUILD_ID}"}\n\n`,
    );
  });

  it('tells places in the queue and what is waited for, and leaves the phase out where a line has none', async () => {
    expect((await textOf(withEvents(EVENTS))).split('\n\n').slice(0, -2)).toEqual([
      WAITING.trim(),
      'data: {"phase": "waiting", "message": "Waiting for 2 other builds\\n"}',
      'data: {"message": "Picked Git content provider.\\n"}',
      'data: {"message": "Cloning into Zo\\u00eb\\n", "phase": "fetching"}',
      'data: {"message": "Step 1/5 : FROM x\\n", "phase": "building"}',
      'data: {"phase": "pushing", "message": "Asking the registry\\n"}',
    ]);
  });

  it('has a message in every event, and no line of a log that would end it', async () => {
    const phases = ['fetching', 'building', 'pushing', 'running', 'failed', 'failure', 'ready', 'built', 'launching'];
    const text = await textOf(withEvents([...phases.map((phase) => line(`${phase}\n`, phase)), ...EVENTS]));
    const events = text
      .split('\n\n')
      .filter(Boolean)
      .map((frame) => JSON.parse(frame.slice('data: '.length)) as Record<string, unknown>);
    expect(events.every(({ message }) => typeof message === 'string' && message.endsWith('\n'))).toBe(true);
    const ends = events.filter(({ phase }) =>
      ['ready', 'failed', 'failure', 'built', 'launching'].includes(String(phase)),
    );
    expect(ends).toEqual([events.at(-1)]);
  });

  it('asks in the name of the caller, for what is in the path', async () => {
    const builds = fakeBuilds();
    const app = buildApp(builds);
    for (const spec of [
      'gh/ada/notebooks/feature/x/',
      'gh/ada/notebooks/feature%2Fx',
      'git/https%3A%2F%2Fgit.example.org%2Fa%2Fb/feature%2Fx',
      'gl/group%2Fsub%2Fproject/main',
    ]) {
      await textOf(app, spec);
    }
    const asked = { path: '', username: 'ada', detached: false };
    expect(builds.requests).toEqual([
      { ...asked, repository: { provider: 'gh', url: 'https://github.com/ada/notebooks' }, ref: 'feature/x' },
      { ...asked, repository: { provider: 'gh', url: 'https://github.com/ada/notebooks' }, ref: 'feature/x' },
      { ...asked, repository: { provider: 'git', url: 'https://git.example.org/a/b' }, ref: 'feature/x' },
      {
        ...asked,
        repository: { provider: 'gl', url: expect.stringMatching(/group\/sub\/project/) as unknown },
        ref: 'main',
      },
    ]);
  });

  it('is audited as the request that it is', async () => {
    const good = buildApp(fakeBuilds());
    await textOf(good);
    const refusal = new LabwrightError('repository_not_allowed', 403, 'No');
    const bad = buildApp(fakeBuilds([], { request: () => Promise.reject(refusal) }));
    await textOf(bad);
    const audited = [...good.logs, ...bad.logs].filter(({ audit }) => audit === true);
    expect(audited).toMatchObject([
      { operation: 'streamBuild', subject: 'ada', result: 'done' },
      { operation: 'streamBuild', subject: 'ada', result: 'refused', status: 403, code: 'repository_not_allowed' },
    ]);
  });
});

describe('a reader of the stream of BinderHub', () => {
  it('is kept alive, and ends the source by going away', async () => {
    const { seen, events } = endless([]);
    const app = buildApp(fakeBuilds(undefined, { events }), { keepAliveMs: 5 });
    const reader = (await ask(app)).body!.getReader();
    expect(await readChunk(reader)).toBe(WAITING);
    expect(await readChunk(reader)).toBe(':keepalive\n');
    await reader.cancel();
    await until(() => seen.ended === 1);
  });

  it('is told that the program stops, since it does not come back by itself', async () => {
    const stopping = new AbortController();
    const { seen, events } = endless([line('l0\n', 'building')]);
    const app = buildApp(fakeBuilds(undefined, { events }), { stopping: stopping.signal });
    const text = textOf(app);
    await until(() => seen.given === 1);
    stopping.abort();
    const message = 'The build service is restarting. The build goes on: ask for it again in a moment.\n';
    const last = failed(503, message);
    expect(await text).toMatch(/^data: \{"phase": "waiting"/);
    expect((await text).endsWith(last)).toBe(true);
    expect(await textOf(app)).toBe(last);
  });

  it('is told when the source breaks or runs dry, and not why', async () => {
    // eslint-disable-next-line @typescript-eslint/require-await
    const broken = async function* (): AsyncGenerator<BuildEvent> {
      yield line('l0\n', 'building');
      throw new Error('the source broke');
    };
    for (const events of [broken, () => inOrder([line('l0\n', 'building')])]) {
      const text = await textOf(buildApp(fakeBuilds(undefined, { events })));
      expect(text.endsWith(failed(500, 'Internal Server Error\n'))).toBe(true);
      expect(text).not.toContain('broke');
    }
  });

  it('that asks for the headers alone begins nothing', async () => {
    const builds = fakeBuilds();
    const response = await ask(buildApp(builds), SPEC, { method: 'HEAD' });
    expect(response.status).toBe(200);
    expect(response.headers.get('content-type')).toBe('text/event-stream');
    expect(builds.requests).toEqual([]);
  });

  it('may send the header that its scripts send', async () => {
    const response = await testApp().call(`${BINDER}/${SPEC}`, { method: 'OPTIONS' });
    expect(response.status).toBe(200);
    expect(response.headers.get('access-control-allow-headers')).toBe('cache-control');
    expect((await testApp().call(`${BINDER}/${SPEC}`, { method: 'POST' })).status).toBe(405);
  });
});

describe('a refusal', () => {
  const app = buildApp(fakeBuilds());

  it.each([undefined, 'application/json', 'text/html, image/*', 'text/event-stream;q=0, */*', 'text/event-streams'])(
    'comes for Accept: %s',
    async (accept) => {
      const headers: Record<string, string> = accept === undefined ? {} : { accept };
      const response = await app.call(`${BINDER}/${SPEC}?build_only=true`, { as: 'ada', headers });
      expect(response.status).toBe(200);
      expect(await response.text()).toBe(failed(400, 'Missing Accept header: text/event-stream\n'));
    },
  );

  it.each(['text/event-stream', 'TEXT/EVENT-STREAM; q=1', 'text/html, text/event-stream;q=0.5', 'text/*', '*/*'])(
    'does not come for Accept: %s',
    async (accept) => {
      expect(await textOf(app, SPEC, { headers: { accept } })).toContain('"ready"');
    },
  );

  it.each(['', '?build_only=false', '?build_only=1'])('comes for what would launch: %s', async (query) => {
    expect(await textOf(app, SPEC, {}, query)).toBe(
      failed(400, 'Launching is not possible here: ask with build_only=true\n'),
    );
    expect(await textOf(app, SPEC, {}, '?build_only=True')).toContain('"ready"');
  });

  it.each([
    ['nope/a/b', 404, 'No provider found for prefix nope\n'],
    ['%3Cb%3E/a/b', 404, 'No provider found for prefix in this address\n'],
    ['gh/ada', 422, expect.any(String)],
    ['gh/ada/notebooks/--upload-pack', 422, expect.any(String)],
  ])('comes for %s', async (spec, status, message: unknown) => {
    const text = await textOf(app, spec);
    expect(JSON.parse(text.slice('data: '.length))).toEqual({ phase: 'failed', status_code: status, message });
  });

  it('comes for whoever is not known, and a session or a proxy is not enough where another site asks', async () => {
    for (const headers of [{ ...ACCEPT }, { ...ACCEPT, authorization: 'Bearer of-nobody' }]) {
      const response = await app.call(`${BINDER}/${SPEC}?build_only=true`, { headers });
      expect(response.headers.get('www-authenticate')).toBeNull();
      expect(await response.text()).toMatch(
        /^data: \{"phase": "failed", "status_code": 403, "message": "[^"]+\\n"\}\n\n$/,
      );
    }
    const config = aConfig({
      auth: { proxyHeaders: { trustedAddresses: ['10.0.0.1/32'] } },
      builds: { registry: { host: 'registry.example.org' }, builder: { image: 'registry.example.org/builder:1' } },
    });
    const builds = fakeBuilds();
    const proxied = testApp({ config, builds });
    const visit = (site: string) =>
      ask(proxied, SPEC, {
        as: undefined as never,
        from: '10.0.0.1',
        headers: { 'x-auth-request-user': 'ada', 'sec-fetch-site': site },
      });
    for (const site of ['cross-site', 'same-site', 'none']) {
      expect(await (await visit(site)).text()).toBe(failed(403, 'The request comes from a page of another site\n'));
    }
    expect(builds.requests).toEqual([]);
    expect(await (await visit('same-origin')).text()).toContain('"ready"');
    // Over plain HTTP a browser does not say which site asks, and sends its cookies all the same.
    const plainly = (headers: Record<string, string>) =>
      ask(proxied, SPEC, {
        ...{ as: undefined as never, from: '10.0.0.1' },
        headers: { 'x-auth-request-user': 'ada', ...headers },
      });
    const withCookie = await plainly({ cookie: 'gafaelfawr=1' });
    expect(await withCookie.text()).toBe(failed(403, 'The request comes from a page of another site\n'));
    expect(builds.requests).toHaveLength(1);
    expect(await (await plainly({})).text()).toContain('"ready"');
    expect(await (await plainly({ cookie: 'gafaelfawr=1', 'x-csrf-token': 'x' })).text()).toContain('"ready"');
  });

  it('is judged by those who know callers as what changes something, though it is a GET', async () => {
    const methods: string[] = [];
    const judge: IdentityProvider = {
      name: 'judge',
      matches: () => true,
      identify: ({ method }) => {
        methods.push(method);
        return Promise.reject(new LabwrightError('permission_denied', 403, 'No'));
      },
    };
    const judged = testApp({ identity: [judge] });
    await judged.call(`${BINDER}/${SPEC}?build_only=true`, { headers: { ...ACCEPT } });
    await judged.call('/labwright/builds/v1/builds');
    await judged.call(`${API}/labs/ada`);
    expect(methods).toEqual(['POST', 'GET', 'GET']);
  });

  it('takes the credential as BinderHub does', async () => {
    const { TOKENS } = await import('../support.ts');
    for (const scheme of ['Bearer', 'token']) {
      const headers = { ...ACCEPT, authorization: `${scheme} ${TOKENS.ada}` };
      expect(await (await app.call(`${BINDER}/${SPEC}?build_only=true`, { headers })).text()).toContain('"ready"');
    }
  });

  it.each<[ErrorCode, number, string]>([
    [
      'repository_not_allowed',
      403,
      'Sorry, gh:ada/notebooks is not allowed to launch. Please contact admins for more info!\n',
    ],
    [
      'unknown_repository',
      404,
      'Could not resolve ref for gh:ada/notebooks/main. Double check your URL and that your repo is public.\n',
    ],
    ['build_limit', 429, 'As the builds say it\n'],
    ['too_many_requests', 429, 'Rate limit exceeded. Try again in 30 seconds.\n'],
    ['registry_unavailable', 503, 'As the builds say it\n'],
  ])('of the builds is told in the known words: %s', async (code, status, message) => {
    const refusal = new LabwrightError(code, status, 'As the builds say it', { retryAfter: 30 });
    const response = await ask(buildApp(fakeBuilds([], { request: () => Promise.reject(refusal) })));
    expect(response.status).toBe(200);
    expect(response.headers.get('retry-after')).toBe('30');
    expect(await response.text()).toBe(failed(status, message));
  });

  it('that is our own fault is logged and not told', async () => {
    const broken = buildApp(fakeBuilds([], { request: () => Promise.reject(new Error('the secret is 42')) }));
    expect(await textOf(broken)).toBe(failed(500, 'Internal Server Error\n'));
    expect(broken.logs).toContainEqual(expect.objectContaining({ msg: 'request failed' }));
  });

  it('comes where no builds are configured', async () => {
    expect(await textOf(testApp())).toBe(failed(404, 'Building images is not configured here\n'));
  });
});
