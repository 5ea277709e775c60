import { createHash } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { RegistryProblem } from '../../../src/storage/registry/problems.ts';
import type { RegistryClient } from '../../../src/storage/registry/registry-client.ts';
import { canary } from '../../support/canary.ts';
import { type ClientOptions, makeClient, type Script, ScriptedServer } from './scripted-registry.ts';

const DIGEST = `sha256:${'a'.repeat(64)}`;
const FOUND: Script = { status: 200, headers: { 'docker-content-digest': DIGEST } };
const UNKNOWN: Script = { status: 404, body: JSON.stringify({ errors: [{ code: 'MANIFEST_UNKNOWN' }] }) };
const PASSWORD = canary('registry-password');
const BASIC = `Basic ${Buffer.from(`ada:${PASSWORD}`).toString('base64')}`;
const PATH = '/v2/labs/a/manifests/1';

let registry: ScriptedServer;
let other: ScriptedServer;
const clients: RegistryClient[] = [];
let logs: string[] = [];

beforeEach(async () => {
  registry = await ScriptedServer.start();
  other = await ScriptedServer.start();
});

afterEach(async () => {
  await Promise.all(clients.splice(0).map((client) => client.close()));
  await registry.close();
  await other.close();
  expect(logs.join('')).not.toContain(PASSWORD);
});

function connect(options: Partial<ClientOptions> = {}): RegistryClient {
  const made = makeClient({ host: registry.host, url: registry.url, ...options });
  clients.push(made.client);
  logs = made.logs;
  return made.client;
}

function withPassword(): RegistryClient {
  return connect({ auths: { [registry.host]: { auth: BASIC.slice('Basic '.length) } } });
}

function find(client: RegistryClient, name = 'labs/a:1', signal?: AbortSignal): Promise<string | null> {
  return client.findDigest(`${registry.host}/${name}`, signal);
}

async function problemOf(promise: Promise<unknown>): Promise<RegistryProblem> {
  const error: unknown = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(RegistryProblem);
  const problem = error as RegistryProblem;
  expect(`${problem.message} ${String(problem.stack)} ${JSON.stringify(problem.cause ?? null)}`).not.toContain(
    PASSWORD,
  );
  return problem;
}

/** A registry that wants a token of its own token server. */
function bearer(parameters: string, tokenAnswer: Script | (() => Script), token = 'tok') {
  registry.answer(({ url, headers }) => {
    if (url.startsWith('/token')) return typeof tokenAnswer === 'function' ? tokenAnswer() : tokenAnswer;
    if (headers.authorization === `Bearer ${token}`) return FOUND;
    return { status: 401, headers: { 'www-authenticate': `Bearer realm="${registry.url}/token"${parameters}` } };
  });
}

const json = (value: object): Script => ({ status: 200, body: JSON.stringify(value) });

describe('an image in the registry', () => {
  it('is found by its tag with one question', async () => {
    registry.answer(() => FOUND);
    expect(await find(connect())).toBe(DIGEST);
    expect(registry.lines).toEqual([`HEAD ${PATH}`]);
  });

  it('is found by its digest, or as the latest', async () => {
    registry.answer(() => FOUND);
    const client = connect();
    await find(client, `labs/a:1@${DIGEST}`);
    await find(client, 'labs/a');
    expect(registry.lines).toEqual([`HEAD /v2/labs/a/manifests/${DIGEST}`, 'HEAD /v2/labs/a/manifests/latest']);
  });

  it('is asked for with all types that it can have, every time', async () => {
    registry.answer(({ method, headers }) => {
      if (headers.authorization === undefined)
        return { status: 401, headers: { 'www-authenticate': 'Basic realm="r"' } };
      return method === 'HEAD' ? { status: 405 } : FOUND;
    });
    await find(withPassword());
    expect(registry.seen).toHaveLength(3);
    for (const { headers } of registry.seen) {
      expect(headers.accept?.split(', ').toSorted()).toEqual([
        'application/vnd.docker.distribution.manifest.list.v2+json',
        'application/vnd.docker.distribution.manifest.v2+json',
        'application/vnd.oci.image.index.v1+json',
        'application/vnd.oci.image.manifest.v1+json',
      ]);
    }
  });

  it.each([405, 501, 400])('is found with GET where HEAD is answered with %d', async (status) => {
    registry.answer(({ method }) => (method === 'HEAD' ? { status } : FOUND));
    expect(await find(connect())).toBe(DIGEST);
  });

  it('has the digest of its manifest where the registry names none, or none that is one', async () => {
    const body = JSON.stringify({ schemaVersion: 2, mediaType: 'application/vnd.oci.image.manifest.v1+json' });
    registry.answer(() => ({ status: 200, headers: { 'docker-content-digest': 'md5:1' }, body }));
    expect(await find(connect())).toBe(`sha256:${createHash('sha256').update(body).digest('hex')}`);
    expect(registry.lines).toEqual([`HEAD ${PATH}`, `GET ${PATH}`]);
  });

  it.each(['<html>Log in</html>', '{}', '[]', '{"schemaVersion":1}', '{"schemaVersion":2,"mediaType":"text/html"}'])(
    'is not what only looks like an answer: %s',
    async (body) => {
      registry.answer(() => ({ status: 200, body }));
      expect(await problemOf(find(connect()))).toMatchObject({ reason: 'RegistryUnavailable' });
    },
  );

  it('is asked for once by all who want to know at the same time', async () => {
    const gate = Promise.withResolvers<Script>();
    registry.answer(() => gate.promise);
    const client = connect();
    const all = Promise.all([find(client), find(client), find(client)]);
    gate.resolve(FOUND);
    expect(await all).toEqual([DIGEST, DIGEST, DIGEST]);
    expect(registry.lines).toHaveLength(1);
    await find(client);
    expect(registry.lines).toHaveLength(2);
  });
});

describe('an image that is not there', () => {
  it.each([
    ['in the words of a registry', UNKNOWN],
    ['with a code of its own', { status: 404, body: '{"errors":[{"code":"NAME_UNKNOWN"}]}' }],
    ['without a word', { status: 404 }],
    [
      'under the name of a registry',
      { status: 404, headers: { 'docker-distribution-api-version': 'registry/2.0' }, body: 'x' },
    ],
  ] as [string, Script][])('is null when the registry says so %s', async (_how, answer) => {
    registry.answer(() => answer);
    expect(await find(connect())).toBeNull();
  });

  it('is not believed of a web page, as a proxy answers that has lost its registry', async () => {
    registry.answer(() => ({ status: 404, headers: { 'content-type': 'text/html' }, body: '<html>404</html>' }));
    expect(await problemOf(find(connect()))).toMatchObject({ reason: 'RegistryUnavailable', transient: true });
  });

  it('is 401 at Docker Hub, for a token that it has given', async () => {
    bearer('', json({ token: 'tok' }), 'another');
    const client = connect({ host: 'docker.io' });
    expect(await client.findDigest('docker.io/ada/none:1')).toBeNull();
    expect(registry.lines.at(-1)).toBe('HEAD /v2/ada/none/manifests/1');
  });

  it('is 401 for an account that may push, and is given a token for that', async () => {
    registry.answer(({ url }) => {
      if (url.startsWith('/token')) return json({ token: 'opaque' });
      return { status: 401, headers: { 'www-authenticate': `Bearer realm="${registry.url}/token"` } };
    });
    expect(await find(withPassword())).toBeNull();
    const asked = registry.lines.filter((line) => line.startsWith('GET /token'));
    expect(asked.at(-1)).toBe('GET /token?scope=repository:labs/a:pull,push');
  });

  it('is 403 after a token as well', async () => {
    registry.answer(({ url, headers }) => {
      if (url.startsWith('/token')) return json({ token: url.includes('push') ? 'all' : 'some' });
      if (headers.authorization !== undefined) return { status: 403 };
      return { status: 401, headers: { 'www-authenticate': `Bearer realm="${registry.url}/token",scope=""` } };
    });
    expect(await find(withPassword())).toBeNull();
  });

  it('is a denial where the token for pushing says that it is none, or is refused', async () => {
    const claims = Buffer.from(JSON.stringify({ access: [{ actions: ['pull'] }] })).toString('base64url');
    for (const answer of [json({ token: `a.${claims}.c` }), { status: 403 }]) {
      registry.answer(({ url }) => {
        if (url.startsWith('/token')) return url.includes('push') ? answer : json({ token: 'some' });
        return { status: 401, headers: { 'www-authenticate': `Bearer realm="${registry.url}/token"` } };
      });
      expect(await problemOf(find(withPassword()))).toMatchObject({ reason: 'RegistryDenied' });
    }
  });

  it('is asked for with a token for its own repository, whatever was asked for last', async () => {
    let status = 200;
    registry.answer(({ url, headers }) => {
      if (url.startsWith('/token')) return json({ token: 'tok', expires_in: 300 });
      if (headers.authorization !== undefined) return status === 200 ? FOUND : { status };
      const scope = `repository:${url.split('/').slice(2, 4).join('/')}:pull`;
      return { status: 401, headers: { 'www-authenticate': `Bearer realm="${registry.url}/token",scope="${scope}"` } };
    });
    const client = withPassword();
    await find(client, 'labs/a:1');
    await find(client, 'labs/b:1');
    status = 403;
    expect(await find(client, 'labs/a:1')).toBeNull();
    const asked = registry.lines.filter((line) => line.startsWith('GET /token'));
    expect(asked.at(-1)).toBe('GET /token?scope=repository:labs/a:pull,push');
  });

  it('is found where the token for pushing shows it', async () => {
    registry.answer(({ url, headers }) => {
      if (url.startsWith('/token')) return json({ token: url.includes('push') ? 'all' : 'some' });
      if (headers.authorization === 'Bearer all') return FOUND;
      return { status: 401, headers: { 'www-authenticate': `Bearer realm="${registry.url}/token"` } };
    });
    expect(await find(withPassword())).toBe(DIGEST);
  });

  it('is a denial anywhere else', async () => {
    bearer('', json({ token: 'tok' }), 'another');
    expect(await problemOf(find(connect()))).toMatchObject({ reason: 'RegistryDenied', transient: false });
  });
});

describe('a registry that asks who is asking', () => {
  it('gets name and password, and then at once', async () => {
    registry.answer(({ headers }) =>
      headers.authorization === BASIC ? FOUND : { status: 401, headers: { 'www-authenticate': 'Basic realm="r"' } },
    );
    const client = withPassword();
    expect(await find(client)).toBe(DIGEST);
    expect(await find(client)).toBe(DIGEST);
    expect(registry.seen.map(({ headers }) => headers.authorization)).toEqual([undefined, BASIC, BASIC]);
  });

  it.each([
    [',service="s",scope="repository:labs/a:pull"', 'GET /token?service=s&scope=repository:labs/a:pull'],
    [',service="s"', 'GET /token?service=s&scope=repository:labs/a:pull'],
    [',scope="repository:virtual/a:pull"', 'GET /token?scope=repository:virtual/a:pull'],
    ['', 'GET /token?scope=repository:labs/a:pull'],
    [',scope=""', 'GET /token?scope=repository:labs/a:pull'],
  ])('gets a token for the challenge %s', async (parameters, line) => {
    bearer(parameters, json({ token: 'tok' }));
    expect(await find(withPassword())).toBe(DIGEST);
    expect(registry.lines).toEqual([`HEAD ${PATH}`, line, `HEAD ${PATH}`]);
    expect(registry.seen[1]?.headers.authorization).toBe(BASIC);
  });

  it.each([
    { token: null, access_token: 'tok' },
    { token: '', access_token: 'tok' },
    { token: 'tok', access_token: null },
  ])('gives its token as %o', async (answer) => {
    bearer('', json(answer));
    expect(await find(withPassword())).toBe(DIGEST);
  });

  it('and refuses without a word of how to ask is not said to miss a credential that there is', async () => {
    registry.answer(() => ({ status: 401 }));
    expect((await problemOf(find(withPassword()))).message).toContain('does not accept the credentials');
    expect((await problemOf(find(connect()))).message).toContain('has none for it');
  });

  it('gets a token for nobody where it has given no password', async () => {
    bearer(',service="s"', json({ access_token: 'tok' }));
    expect(await find(connect())).toBe(DIGEST);
    expect(registry.seen[1]?.headers.authorization).toBeUndefined();
  });

  it('is told what it wants to know of several ways', async () => {
    registry.answer(({ url, headers }) => {
      if (url.startsWith('/token')) return json({ token: 'tok' });
      if (headers.authorization === 'Bearer tok') return FOUND;
      const challenges = ['Negotiate, Basic realm="a, \\"b\\""', `Bearer realm="${registry.url}/token" , service=s`];
      return { status: 401, headers: { 'www-authenticate': challenges } };
    });
    expect(await find(withPassword())).toBe(DIGEST);
    expect(registry.lines[1]).toBe('GET /token?service=s&scope=repository:labs/a:pull');
  });

  it('gives tokens that are used as long as they last, each for its repository', async () => {
    bearer(',service="s"', json({ token: 'tok', expires_in: 300 }));
    const client = withPassword();
    await find(client);
    await find(client);
    await find(client, 'labs/b:1');
    expect(registry.lines.map((line) => line.split('?')[0])).toEqual([
      ...[`HEAD ${PATH}`, 'GET /token', `HEAD ${PATH}`],
      `HEAD ${PATH}`,
      ...['HEAD /v2/labs/b/manifests/1', 'GET /token', 'HEAD /v2/labs/b/manifests/1'],
    ]);
  });

  it('gives another token when one is over, or is not good any more', async () => {
    let token = 'first';
    registry.answer(({ url, headers }) => {
      if (url.startsWith('/token')) return json({ token, expires_in: token === 'first' ? 300 : 1e-9 });
      if (headers.authorization === `Bearer ${token}`) return FOUND;
      return { status: 401, headers: { 'www-authenticate': `Bearer realm="${registry.url}/token"` } };
    });
    const client = withPassword();
    await find(client);
    token = 'second';
    expect(await find(client)).toBe(DIGEST);
    expect(registry.seen.filter(({ url }) => url.startsWith('/token'))).toHaveLength(2);
    // The second one was over as soon as it was there.
    expect(await find(client)).toBe(DIGEST);
    expect(registry.seen.filter(({ url }) => url.startsWith('/token'))).toHaveLength(3);
  });

  it('changes an identity token for one of its own', async () => {
    bearer(',service="s"', json({ access_token: 'tok' }));
    const token = canary('identity-token');
    const client = connect({ auths: { [registry.host]: { auth: BASIC.slice(6), identitytoken: token } } });
    expect(await find(client)).toBe(DIGEST);
    const { method, body, headers } = registry.seen[1] ?? {};
    expect([method, headers?.authorization]).toEqual(['POST', undefined]);
    expect(Object.fromEntries(new URLSearchParams(body))).toEqual({
      ...{ grant_type: 'refresh_token', refresh_token: token, client_id: 'labwright' },
      ...{ service: 's', scope: 'repository:labs/a:pull' },
    });
  });

  it('takes a token that stands in the file as it is', async () => {
    bearer('', { status: 500 }, 'tok');
    expect(await find(connect({ auths: { [registry.host]: { registrytoken: 'tok' } } }))).toBe(DIGEST);
  });

  it.each([
    ['Basic realm="r"', 'has none for it'],
    ['Negotiate', 'has none for it'],
  ])('is told that there is nothing to show for %s', async (challenge, words) => {
    registry.answer(() => ({ status: 401, headers: { 'www-authenticate': challenge } }));
    const problem = await problemOf(find(connect()));
    expect(problem).toMatchObject({ reason: 'RegistryDenied', transient: false });
    expect(problem.message).toContain(words);
  });

  it.each([401, 403])('is not asked again when it answers credentials with %d', async (status) => {
    registry.answer(({ headers }) => ({
      status: headers.authorization === undefined ? 401 : status,
      headers: { 'www-authenticate': 'Basic realm="r"' },
      body: PASSWORD,
    }));
    const problem = await problemOf(find(withPassword()));
    expect(problem).toMatchObject({ reason: 'RegistryDenied', transient: false });
    expect(problem.message).toContain('does not accept the credentials');
    expect(registry.seen).toHaveLength(2);
  });

  it.each([400, 401, 403])('has a token server that denies with %d', async (status) => {
    bearer('', { status, body: PASSWORD });
    expect(await problemOf(find(withPassword()))).toMatchObject({ reason: 'RegistryDenied' });
  });

  it.each([
    { status: 503 },
    { status: 200, body: 'no json' },
    { status: 200, body: '{}' },
    { status: 200, body: '{"token":"a\\nb"}' },
    { status: 302, headers: { location: '/elsewhere' } },
    { status: 404 },
  ])('has a token server that does not do its work: %o', async (answer) => {
    bearer('', answer);
    expect(await problemOf(find(withPassword()))).toMatchObject({ reason: 'RegistryUnavailable' });
    expect(registry.seen.filter(({ url }) => url.startsWith('/elsewhere'))).toEqual([]);
  });

  it.each(['ftp://127.0.0.1/token', 'not a url', 'http://u:p@127.0.0.1/token', ''])(
    'does not get anything sent to the token server %o',
    async (realm) => {
      registry.answer(() => ({ status: 401, headers: { 'www-authenticate': `Bearer realm="${realm}"` } }));
      expect(await problemOf(find(withPassword()))).toMatchObject({ reason: 'RegistryUnavailable', transient: false });
      expect(registry.seen).toHaveLength(1);
    },
  );

  it('may have its token server elsewhere', async () => {
    other.answer(() => json({ token: 'tok' }));
    registry.answer(({ headers }) =>
      headers.authorization === 'Bearer tok'
        ? FOUND
        : { status: 401, headers: { 'www-authenticate': `Bearer realm="${other.url}/token"` } },
    );
    expect(await find(withPassword())).toBe(DIGEST);
    expect(other.seen[0]?.headers.authorization).toBe(BASIC);
  });
});

describe('a registry that redirects', () => {
  it('is followed to another origin without what was meant for it', async () => {
    other.answer(() => FOUND);
    registry.answer(({ headers }) =>
      headers.authorization === BASIC
        ? { status: 307, headers: { location: `${other.url}/stored?sig=1` } }
        : { status: 401, headers: { 'www-authenticate': 'Basic realm="r"' } },
    );
    expect(await find(withPassword())).toBe(DIGEST);
    expect(other.lines).toEqual(['HEAD /stored?sig=1']);
    expect(other.seen[0]?.headers.authorization).toBeUndefined();
    expect(other.seen[0]?.headers.accept).toContain('application/vnd.oci.image.index.v1+json');
  });

  it('is followed within its origin with it', async () => {
    registry.answer(({ url, headers }) => {
      if (headers.authorization !== BASIC) return { status: 401, headers: { 'www-authenticate': 'Basic realm="r"' } };
      return url === '/moved' ? FOUND : { status: 302, headers: { location: '/moved' } };
    });
    expect(await find(withPassword())).toBe(DIGEST);
  });

  it('shows nothing to one that it comes back from', async () => {
    other.answer(() => ({ status: 302, headers: { location: `${other.url}/again` } }));
    registry.answer(() => ({ status: 302, headers: { location: `${other.url}/first` } }));
    expect(await problemOf(find(withPassword()))).toMatchObject({ reason: 'RegistryUnavailable' });
    expect(other.seen.every(({ headers }) => headers.authorization === undefined)).toBe(true);
  });

  it.each(['file:///etc/passwd', 'http://u:p@127.0.0.1/', 'http://['])('is not followed to %s', async (location) => {
    registry.answer(() => ({ status: 302, headers: { location } }));
    expect(await problemOf(find(connect()))).toMatchObject({ reason: 'RegistryUnavailable' });
  });
});

describe('a registry in trouble', () => {
  it.each([500, 502, 503, 429, 408])(
    'that answers with %d is asked again, and found when it is well',
    async (status) => {
      registry.answer(() => (registry.seen.length < 3 ? { status } : FOUND));
      expect(await find(connect())).toBe(DIGEST);
      expect(registry.seen).toHaveLength(3);
    },
  );

  it.each<[string, Script, RegExp]>([
    ['503', { status: 503, body: PASSWORD }, /answers with 503/],
    ['a cut connection', 'cut', /cannot be reached/],
  ])('is given up after a few tries of %s, and may be well later', async (_what, answer, words) => {
    registry.answer(() => answer);
    const problem = await problemOf(find(connect()));
    expect(problem).toMatchObject({ reason: 'RegistryUnavailable', transient: true });
    expect(problem.message).toMatch(words);
    expect(registry.seen).toHaveLength(3);
  });

  it('that is not there is said to be out of reach', async () => {
    const client = connect();
    const registryHost = registry.host;
    await registry.close();
    expect((await problemOf(client.findDigest(`${registryHost}/labs/a:1`))).message).toMatch(/ECONNREFUSED/);
    registry = await ScriptedServer.start();
  });

  it('is not asked before the time it has named, nor waited for so long', async () => {
    registry.answer(() => ({ status: 429, headers: { 'retry-after': '30' } }));
    expect(await problemOf(find(connect()))).toMatchObject({ transient: true, retryAfterMs: 30_000 });
    expect(registry.seen).toHaveLength(1);
  });

  it('that does not answer in time is not asked again', async () => {
    registry.answer(() => 'hang');
    const problem = await problemOf(find(connect({ timeout: 50 })));
    expect(problem).toMatchObject({ reason: 'RegistryUnavailable', transient: true });
    expect(problem.message).toContain('does not answer in time');
    expect(registry.seen).toHaveLength(1);
  });

  it('that sends more than a manifest has is not read to the end', async () => {
    registry.answer(({ method }) =>
      method === 'HEAD' ? { status: 405 } : { status: 200, body: 'x'.repeat(5 * 2 ** 20) },
    );
    expect(await problemOf(find(connect()))).toMatchObject({ reason: 'RegistryUnavailable' });
  });

  it.each([402, 418])('that answers with %d will not change its mind', async (status) => {
    registry.answer(() => ({ status }));
    expect(await problemOf(find(connect()))).toMatchObject({ reason: 'RegistryUnavailable', transient: false });
    expect(registry.seen).toHaveLength(1);
  });

  it('does not hold up those who do not wait any more', async () => {
    registry.answer(() => 'hang');
    const client = connect();
    const leaving = new AbortController();
    const staying = find(client);
    const left = find(client, 'labs/a:1', leaving.signal);
    leaving.abort(new Error('gone'));
    await expect(left).rejects.toThrow('gone');
    await client.close();
    expect((await problemOf(staying)).message).toContain('stops');
  });
});

describe('a registry that need not be encrypted', () => {
  it('is asked in plain text when it does not answer otherwise', async () => {
    registry.answer(() => FOUND);
    const client = makeClient({ host: registry.host, insecure: true }).client;
    clients.push(client);
    expect(await find(client)).toBe(DIGEST);
    expect(await find(client)).toBe(DIGEST);
    expect(registry.lines).toHaveLength(2);
  });

  it('is not, where that was not said', async () => {
    registry.answer(() => FOUND);
    const client = makeClient({ host: registry.host, insecure: false, auths: {} }).client;
    clients.push(client);
    expect(await problemOf(find(client))).toMatchObject({ reason: 'RegistryUnavailable' });
    expect(registry.seen).toEqual([]);
  });
});

it('is not asked for an image of another one', async () => {
  const client = connect();
  expect(await problemOf(client.findDigest('quay.io/a/b:1'))).toMatchObject({ transient: false });
  expect(registry.seen).toEqual([]);
});

it('is not asked with a file of credentials that cannot be read', async () => {
  const problem = await problemOf(find(connect({ dockerConfig: `{${PASSWORD}` })));
  expect(problem).toMatchObject({ reason: 'RegistryDenied' });
  expect(problem.message).toContain('it is not JSON');
});
