import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import '../../support/leaks.ts';
import { LabwrightError } from '../../../src/domain/errors.ts';
import { ErrorBody } from '../../../src/routes/server/errors.ts';
import { canary } from '../../support/canary.ts';
import {
  aBuildState,
  BUILD_ID,
  buildApp,
  BUILDS,
  COMMIT,
  config,
  DIGEST,
  fakeBuilds,
  PINNED,
  READY,
  TAGGED,
} from './build-support.ts';
import { testApp, TOKENS } from '../support.ts';

const ONE = `${BUILDS}/${BUILD_ID}`;
const OTHER_ID = 'e'.repeat(40);
const REPOSITORY = 'https://github.com/ada/notebooks';

const detailOf = async (response: Response) => ErrorBody.parse(await response.json()).detail[0];

describe('asking for a build', () => {
  it('begins one, and tells where it is and how it stands', async () => {
    const builds = fakeBuilds([], {
      request: ({ username }) =>
        Promise.resolve({
          ...aBuildState(
            { phase: 'queued', position: 2, startedAt: null, executor: null, node: null },
            { requestedBy: username, createdAt: Date.now() },
          ),
          began: true,
        }),
    });
    const response = await buildApp(builds).call(BUILDS, { as: 'ada', json: { repository: 'ada/notebooks' } });
    expect(response.status).toBe(201);
    expect(response.headers.get('location')).toBe(`https://hub.example.org${ONE}`);
    expect(await response.json()).toEqual({
      id: BUILD_ID,
      repository: REPOSITORY,
      provider: 'gh',
      ref: 'main',
      commit: COMMIT,
      notice: null,
      path: '',
      phase: 'queued',
      reason: null,
      message: null,
      position: 2,
      image: TAGGED,
      image_reference: null,
      image_digest: null,
      cached: false,
      requested_by: 'ada',
      detached: false,
      executor: null,
      node: null,
      created_at: expect.stringMatching(/^\d{4}-.*Z$/) as string,
      started_at: null,
      finished_at: null,
    });
  });

  it('says that the default branch is built in the place of one that is not there, to who asked for that one', async () => {
    const first = aBuildState().spec.repository;
    const inPlace = { ...first, isFallback: true };
    const builds = fakeBuilds([aBuildState({}, { repository: inPlace })], {
      request: ({ ref }) =>
        Promise.resolve({
          ...aBuildState({}, { repository: inPlace }),
          ...{ began: false, asked: ref === 'main' ? inPlace : { ...first, ref } },
        }),
    });
    const { call } = buildApp(builds);
    const sentence = 'There is no branch "main" in the repository: its default branch is built.';
    for (const [ref, notice] of [
      ['main', sentence],
      ['trunk', null],
    ]) {
      const response = await call(BUILDS, { as: 'bob', json: { repository: 'ada/notebooks', ref } });
      expect(await response.json()).toMatchObject({ notice });
    }
    expect(await (await call(`${BUILDS}/${BUILD_ID}`, { as: 'bob' })).json()).toMatchObject({ notice: sentence });
  });

  it('joins one that is under way, without saying whose it is', async () => {
    const { call } = buildApp(fakeBuilds());
    const response = await call(BUILDS, { as: 'bob', json: { repository: 'ada/notebooks' } });
    expect(response.status).toBe(200);
    expect(response.headers.get('location')).toBe(`https://hub.example.org${ONE}`);
    expect(await response.json()).toMatchObject({ id: BUILD_ID, phase: 'building', requested_by: null });
  });

  it('finds the image that is there, by its digest', async () => {
    const found = aBuildState({ ...READY, cached: true }, { createdAt: Date.now() + 60_000 });
    const response = await buildApp(fakeBuilds([found])).call(BUILDS, { as: 'ada', json: { repository: REPOSITORY } });
    expect(response.status).toBe(200);
    expect(await response.json()).toMatchObject({
      phase: 'ready',
      cached: true,
      image: TAGGED,
      image_reference: PINNED,
      image_digest: DIGEST,
      finished_at: '2026-11-21T12:09:00.000Z',
    });
  });

  it.each([
    [
      'a URL',
      { repository: 'https://github.com/Ada/notebooks.git', ref: 'v1', path: '/deep/er/', detached: true },
      { repository: { provider: 'gh' }, ref: 'v1', path: 'deep/er', detached: true },
    ],
    ['a URL alone', { repository: REPOSITORY }, { ref: 'HEAD', path: '', detached: false, username: 'ada' }],
    [
      'an address of BinderHub',
      { provider: 'git', spec: 'https%3A%2F%2Fgit.example.org%2Fa%2Fb.git/feature/x', path: 'sub' },
      { repository: { provider: 'git', url: 'https://git.example.org/a/b.git' }, ref: 'feature/x', path: 'sub' },
    ],
  ])('takes %s', async (_what, json, expected) => {
    const builds = fakeBuilds();
    expect((await buildApp(builds).call(BUILDS, { as: 'ada', json })).status).toBe(200);
    expect(builds.requests).toEqual([
      expect.objectContaining({ ...expected, repository: expect.anything() as unknown }),
    ]);
    expect(builds.requests[0]).toMatchObject(expected);
  });

  it('for another user is for hubs and administrators', async () => {
    const builds = fakeBuilds();
    const { call, logs } = buildApp(builds);
    const json = { repository: REPOSITORY, username: 'zoë' };
    expect((await call(BUILDS, { as: 'ada', json })).status).toBe(403);
    expect((await call(BUILDS, { as: 'hub', json })).status).toBe(200);
    expect((await call(BUILDS, { as: 'admin', json })).status).toBe(200);
    expect(builds.requests.map(({ username }) => username)).toEqual(['zoë', 'zoë']);
    expect(logs.filter(({ audit }) => audit === true)).toEqual([
      expect.objectContaining({ operation: 'createBuild', subject: 'ada', username: 'zoë', result: 'refused' }),
      expect.objectContaining({ operation: 'createBuild', role: 'hub', username: 'zoë', result: 'done' }),
      expect.objectContaining({ operation: 'createBuild', role: 'admin', username: 'zoë', result: 'done' }),
    ]);
  });

  it('by a hub that names nobody is in the name of nobody who can log in', async () => {
    const builds = fakeBuilds();
    await buildApp(builds).call(BUILDS, { as: 'hub', json: { repository: REPOSITORY } });
    expect(builds.requests[0]?.username).toMatch(/^hub\/hub token [0-9a-f]{8}$/);
  });

  it.each([
    ['nothing', {}, ['body']],
    ['no object', [], ['body']],
    ['two repositories', { repository: REPOSITORY, provider: 'gh', spec: 'a/b/c' }, ['body']],
    ['half an address', { provider: 'gh' }, ['body']],
    ['two refs', { provider: 'gh', spec: 'a/b/c', ref: 'd' }, ['body', 'ref']],
    ['a number', { repository: 7 }, ['body', 'repository']],
    ['a name beyond all bounds', { repository: 'x'.repeat(3000) }, ['body', 'repository']],
    ['no repository', { repository: 'not a repository' }, ['body', 'repository']],
    ['a ref that is an option', { repository: REPOSITORY, ref: '--upload-pack=x' }, ['body', 'ref']],
    ['a way out', { repository: REPOSITORY, path: '../x' }, ['body', 'path']],
    ['a kind that is none', { provider: 'nope', spec: 'a/b/c' }, ['body', 'spec']],
    ['a wish that is neither yes nor no', { repository: REPOSITORY, detached: 'maybe' }, ['body', 'detached']],
    ['a user that is none', { repository: REPOSITORY, username: 'a/b' }, ['body', 'username']],
  ])('with %s is refused before anything is done', async (_what, json, loc) => {
    const builds = fakeBuilds();
    const response = await buildApp(builds).call(BUILDS, { as: 'hub', json });
    expect(response.status).toBe(422);
    expect((await detailOf(response))?.loc).toEqual(loc);
    expect(builds.requests).toEqual([]);
  });

  it('passes on what the builds refuse, with when to ask again', async () => {
    const refusal = new LabwrightError('build_limit', 429, 'Too many builds wait', { retryAfter: 30 });
    const { call } = buildApp(fakeBuilds([], { request: () => Promise.reject(refusal) }));
    const response = await call(BUILDS, { as: 'ada', json: { repository: REPOSITORY } });
    expect(response.status).toBe(429);
    expect(response.headers.get('retry-after')).toBe('30');
    expect(await detailOf(response)).toEqual({ type: 'build_limit', msg: 'Too many builds wait' });
  });

  it('with a body that is too large is refused', async () => {
    const json = { repository: 'x'.repeat(2 ** 21) };
    expect((await buildApp(fakeBuilds()).call(BUILDS, { as: 'ada', json })).status).toBe(413);
  });

  it('repeats no password that somebody wrote into an address', async () => {
    const { call, logs } = buildApp(fakeBuilds());
    const address = `https://ada:${canary('in-an-address')}@git.example.org/ada/notebooks.git`;
    const binder = `/labwright/build/git/${encodeURIComponent(address)}/main?build_only=true`;
    for (const [path, json] of [
      [BUILDS, { repository: address }],
      [BUILDS, { provider: 'git', spec: `${encodeURIComponent(address)}/main` }],
      [`${BUILDS}?repository=${encodeURIComponent(address)}`, undefined],
      [binder, undefined],
      [binder.replaceAll('%', '%25'), undefined],
      [`/labwright/build/git/${address}/main`, undefined],
    ] as const) {
      const text = await (await call(path, { as: 'ada', json, headers: { accept: 'text/event-stream' } })).text();
      expect(text).not.toContain('canary');
    }
    expect(JSON.stringify(logs)).not.toContain('canary');
    expect(logs.filter(({ path }) => path === '/labwright/build/…')).toHaveLength(3);
  });

  it('never ends in a fault of ours, whatever the body is', async () => {
    const { app, logs } = buildApp(fakeBuilds());
    const field = fc.constantFrom('repository', 'provider', 'spec', 'ref', 'path', 'detached', 'username', '__proto__');
    const value = fc.oneof(
      fc.constantFrom<unknown>(
        'gh',
        'git',
        'a/b',
        'a/b/c',
        '%',
        '%ff',
        '%2e%2e/x',
        REPOSITORY,
        '\0',
        '\ud800',
        true,
        null,
      ),
      fc.string({ unit: 'binary', maxLength: 40 }),
      fc.jsonValue({ maxDepth: 2 }),
    );
    const body = fc.oneof(
      fc.dictionary(field, value).map((object) => JSON.stringify(object)),
      fc.tuple(field, value).map(([name, wrong]) => JSON.stringify({ repository: 'a/b', [name]: wrong })),
      fc.string({ unit: 'binary', maxLength: 60 }),
    );
    const statuses = new Set<number>();
    await fc.assert(
      fc.asyncProperty(body, async (text) => {
        const headers = { 'content-type': 'application/json', authorization: `Bearer ${TOKENS.admin}` };
        const response = await app.request(BUILDS, { method: 'POST', headers, body: text });
        statuses.add(response.status);
        expect([200, 422]).toContain(response.status);
        if (response.status === 422) expect(ErrorBody.safeParse(await response.json()).success).toBe(true);
      }),
      { numRuns: 500, seed: 20_261_121 },
    );
    expect(statuses).toEqual(new Set([200, 422]));
    expect(logs.filter(({ msg }) => msg === 'request failed')).toEqual([]);
  });
});

describe('the list of builds', () => {
  const at = (minute: number) => Date.UTC(2026, 10, 21, 12, minute);
  const states = [
    aBuildState(READY, { id: '1'.repeat(40), createdAt: at(1) }),
    aBuildState({}, { id: '2'.repeat(40), createdAt: at(3), requestedBy: 'bob' }),
    aBuildState({ phase: 'queued' }, { id: '3'.repeat(40), createdAt: at(2) }),
    aBuildState({}, { id: '4'.repeat(40), createdAt: at(3) }),
  ];
  const { call } = buildApp(fakeBuilds(states));

  async function list(as: 'ada' | 'hub', query = ''): Promise<{ ids: string; next: string | null }> {
    const response = await call(`${BUILDS}${query}`, { as });
    expect(response.status).toBe(200);
    const { builds, next } = (await response.json()) as { builds: { id: string }[]; next: string | null };
    return { ids: builds.map(({ id }) => id[0]).join(''), next };
  }

  it('is what a user asked for, and for a hub all, the newest first', async () => {
    expect(await list('ada')).toEqual({ ids: '431', next: null });
    expect(await list('hub')).toEqual({ ids: '2431', next: null });
  });

  it('is filtered by user, repository and phase', async () => {
    expect((await list('hub', '?user=bob')).ids).toBe('2');
    expect((await list('hub', '?phase=queued')).ids).toBe('3');
    expect((await list('hub', '?repository=ada/notebooks&phase=ready')).ids).toBe('1');
    expect((await list('hub', '?repository=ada/others')).ids).toBe('');
    expect((await list('ada', '?user=ada')).ids).toBe('431');
  });

  it('comes in pages that fit together, also where two builds have one time', async () => {
    let ids = '';
    let after: string | null = null;
    do {
      const page: { ids: string; next: string | null } = await list(
        'hub',
        `?limit=1${after === null ? '' : `&after=${after}`}`,
      );
      ids += page.ids;
      after = page.next;
    } while (after !== null);
    expect(ids).toBe('2431');
  });

  it.each([
    ['?limit=0', 422],
    ['?limit=1001', 422],
    ['?limit=x', 422],
    ['?after=x', 422],
    ['?phase=x', 422],
    ['?repository=x', 422],
    ['?user=bob', 403],
  ])('is refused with %s', async (query, status) => {
    expect((await call(`${BUILDS}${query}`, { as: 'ada' })).status).toBe(status);
  });
});

describe('builds that cannot be followed in the cluster', () => {
  const staleness = { ms: 130_900, why: 'watch Job: 0 ECONNREFUSED', error: new Error('refused') } as never;

  it('are answered with what is known, and with how old that is', async () => {
    const stale = buildApp(fakeBuilds([aBuildState()], { staleness }));
    const fresh = buildApp(fakeBuilds());
    for (const path of [BUILDS, ONE]) {
      const answer = await stale.call(path, { as: 'ada' });
      expect([answer.status, answer.headers.get('age')]).toEqual([200, '130']);
      expect((await fresh.call(path, { as: 'ada' })).headers.has('age')).toBe(false);
    }
  });
});

describe('one build', () => {
  it('is shown to whoever has its id, with who asked for it to that user and to hubs', async () => {
    const { call } = buildApp(fakeBuilds());
    for (const [as, requestedBy] of [
      ['ada', 'ada'],
      ['bob', null],
      ['hub', 'ada'],
      ['admin', 'ada'],
    ] as const) {
      const response = await call(ONE, { as });
      expect(await response.json()).toMatchObject({ id: BUILD_ID, requested_by: requestedBy });
    }
  });

  it.each([
    ['GET', ''],
    ['DELETE', ''],
    ['GET', '/events'],
    ['GET', '/log'],
  ])('that nobody knows is a 404 that repeats nothing: %s %s', async (method, rest) => {
    const { call } = buildApp(fakeBuilds());
    for (const id of [OTHER_ID, 'constructor', '%2F%00', 'x'.repeat(500)]) {
      const response = await call(`${BUILDS}/${id}${rest}`, { as: 'ada', method });
      expect(response.status).toBe(404);
      expect(await detailOf(response)).toEqual({ type: 'unknown_build', msg: 'Unknown build', loc: ['path', 'id'] });
    }
  });

  it('is cancelled by who asked for it, by hubs and by administrators', async () => {
    const builds = fakeBuilds();
    const { call, logs } = buildApp(builds);
    const cancel = async (as: 'ada' | 'bob' | 'hub' | 'admin') => (await call(ONE, { as, method: 'DELETE' })).status;
    expect([await cancel('ada'), await cancel('bob'), await cancel('hub'), await cancel('admin')]).toEqual([
      202, 403, 202, 202,
    ]);
    expect(builds.cancelled.map(({ id }) => id)).toEqual([BUILD_ID, BUILD_ID, BUILD_ID]);
    expect(builds.cancelled[0]?.by).toBe('ada');
    expect(logs.filter(({ audit }) => audit === true)).toMatchObject([
      { operation: 'cancelBuild', subject: 'ada', username: 'ada', result: 'done' },
      { operation: 'cancelBuild', subject: 'bob', username: 'ada', result: 'refused' },
      { operation: 'cancelBuild', role: 'hub', username: 'ada', result: 'done' },
      { operation: 'cancelBuild', role: 'admin', username: 'ada', result: 'done' },
    ]);
  });

  it('that is over stays so: there is nothing to cancel, or it has gone meanwhile', async () => {
    const over = buildApp(fakeBuilds([aBuildState(READY)]));
    expect((await over.call(ONE, { as: 'ada', method: 'DELETE' })).status).toBe(204);
    const gone = new LabwrightError('unknown_build', 404, 'It has gone');
    const going = buildApp(fakeBuilds(undefined, { cancel: () => Promise.reject(gone) }));
    expect((await going.call(ONE, { as: 'ada', method: 'DELETE' })).status).toBe(404);
  });

  it('has a log in plain text, a line each, that no browser takes for anything else', async () => {
    const response = await buildApp(fakeBuilds()).call(`${ONE}/log`, { as: 'ada' });
    expect(Object.fromEntries(response.headers)).toMatchObject({
      'content-type': 'text/plain; charset=utf-8',
      'x-content-type-options': 'nosniff',
      'cache-control': 'no-store',
    });
    expect(await response.text()).toBe('one\ntwo\n');
  });

  it('has a long log that is read no faster than it is taken', async () => {
    let given = 0;
    const line = 'x'.repeat(1023);
    const builds = fakeBuilds(undefined, {
      log: () =>
        Promise.resolve(
          (async function* () {
            for (; given < 10_000; given += 1) yield await Promise.resolve(line);
          })(),
        ),
    });
    const { call } = buildApp(builds);
    const slow = (await call(`${ONE}/log`, { as: 'ada' })).body!.getReader();
    await slow.read();
    expect(given).toBeLessThan(200);
    await slow.cancel();
    given = 0;
    expect(await (await call(`${ONE}/log`, { as: 'ada' })).text()).toBe(`${line}\n`.repeat(10_000));
  });
});

describe('where no builds are configured', () => {
  it.each([
    ['POST', BUILDS],
    ['GET', BUILDS],
    ['GET', ONE],
    ['DELETE', ONE],
    ['GET', `${ONE}/events`],
    ['GET', `${ONE}/log`],
  ])('%s %s says so', async (method, path) => {
    const json = method === 'POST' ? { json: { repository: REPOSITORY } } : {};
    const response = await testApp().call(path, { as: 'ada', method, ...json });
    expect(response.status).toBe(404);
    expect(await detailOf(response)).toEqual({ type: 'not_found', msg: 'Building images is not configured here' });
  });
});

describe('readiness', () => {
  it('is of labs also while builds are not ready, which their own routes say', async () => {
    const notReady = new LabwrightError('not_ready', 503, 'Not yet', { retryAfter: 5 });
    const { call } = buildApp(fakeBuilds([], { isReady: () => false, ready: () => Promise.reject(notReady) }));
    expect((await call('/readyz')).status).toBe(200);
    for (const path of [BUILDS, ONE, `${ONE}/events`, `${ONE}/log`]) {
      expect((await call(path, { as: 'ada' })).status).toBe(503);
    }
  });

  it('does not wait for builds, which answer for themselves, and says how they are', async () => {
    const health = () => [
      { component: 'lab-cache', ready: true, message: 'about user ada' },
      { component: 'build-namespace', ready: false, message: 'about user ada' },
    ];
    const { call } = buildApp(fakeBuilds([], { isReady: () => false }), { health });
    const response = await call('/readyz');
    expect(response.status).toBe(200);
    expect(await response.json()).toEqual({
      status: 'ok',
      components: [
        { component: 'lab-cache', ready: true },
        { component: 'build-namespace', ready: false },
        { component: 'build-service', ready: false },
      ],
    });
  });

  it('names the executors that cannot start builds, and is no less ready for it', async () => {
    const outages = [{ executor: 'far', message: 'It does not answer.' }];
    const response = await buildApp(fakeBuilds([], { outages: () => outages })).call('/readyz');
    expect(response.status).toBe(200);
    expect(await response.json()).toEqual({
      status: 'ok',
      components: [{ component: 'build-service', ready: true }],
      outages,
    });
    expect(await (await testApp({ config }).call('/readyz')).json()).toEqual({ status: 'ok' });
  });
});
