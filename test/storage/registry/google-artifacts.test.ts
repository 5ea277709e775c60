import pino from 'pino';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type ArtifactPlace, GoogleArtifacts } from '../../../src/storage/registry/google-artifacts.ts';
import { RegistryProblem } from '../../../src/storage/registry/problems.ts';
import { canary } from '../../support/canary.ts';
import { type Script, ScriptedServer, type Seen } from './scripted-registry.ts';

const TOKEN = canary('google-token');
const PLACE: ArtifactPlace = { location: 'us-central1', project: 'rubin', repository: 'sciplat', image: 'lab/full' };
const DIGEST = `sha256:${'a'.repeat(64)}`;
const NAME = 'us-central1-docker.pkg.dev/rubin/sciplat/lab/full';
const LIST = '/v1/projects/rubin/locations/us-central1/repositories/sciplat/dockerImages';
const { signal } = new AbortController();

let api: ScriptedServer;
let metadata: ScriptedServer;
const opened: GoogleArtifacts[] = [];
const logs: string[] = [];

beforeEach(async () => {
  api = await ScriptedServer.start();
  metadata = await ScriptedServer.start();
  metadata.answer(() => token(TOKEN));
});

afterEach(async () => {
  await Promise.all(opened.splice(0).map((each) => each.close()));
  await api.close();
  await metadata.close();
  expect(logs.splice(0).join('')).not.toContain(TOKEN);
});

function token(text: string, expires_in: unknown = 3599, flavor = 'Google'): Script {
  const body = JSON.stringify({ access_token: text, expires_in, token_type: 'Bearer' });
  return { status: 200, headers: { 'metadata-flavor': flavor }, body };
}

function open(timeout = 5_000): GoogleArtifacts {
  const artifacts = new GoogleArtifacts({
    ...{ api: api.url, tokenAddress: `${metadata.url}/token`, timeout, retryMs: 1 },
    logger: pino({ level: 'trace' }, { write: (line: string) => void logs.push(line) }),
  });
  opened.push(artifacts);
  return artifacts;
}

const list = (place = PLACE, timeout?: number) => open(timeout).listArtifacts(place, signal);
const json = (value: unknown): Script => ({ status: 200, body: JSON.stringify(value) });
const one = (more: object = {}) => ({ uri: `${NAME}@${DIGEST}`, tags: ['w_1'], ...more });

async function problemOf(promise: Promise<unknown>): Promise<RegistryProblem> {
  const error: unknown = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(RegistryProblem);
  expect(String((error as Error).stack)).not.toContain(TOKEN);
  return error as RegistryProblem;
}

describe("images of Google's Artifact Registry", () => {
  it('are listed with tags, digest, size and time, for the token of the service account', async () => {
    api.answer(() =>
      json({ dockerImages: [one({ imageSizeBytes: '123', uploadTime: '2076-10-23T01:02:03.456789Z' })] }),
    );
    expect(await list()).toEqual([
      { digest: DIGEST, tags: ['w_1'], size: 123, uploaded: Date.parse('2076-10-23T01:02:03.456Z') },
    ]);
    expect(api.seen[0]?.url.split('?')[0]).toBe(LIST);
    expect(api.seen[0]?.headers.authorization).toBe(`Bearer ${TOKEN}`);
    expect(metadata.lines).toEqual(['GET /token']);
    expect(metadata.seen[0]?.headers['metadata-flavor']).toBe('Google');
  });

  it('are read page by page', async () => {
    api.answer(({ url }) => {
      const at = new URL(url, api.url).searchParams.get('pageToken');
      return json({
        dockerImages: [one({ tags: [at?.length ?? 'first'].map(String) })],
        ...(at === 'p+2=' ? {} : { nextPageToken: at === null ? 'p/1' : 'p+2=' }),
      });
    });
    expect((await list()).flatMap(({ tags }) => tags)).toEqual(['first', '3', '4']);
    expect(metadata.seen).toHaveLength(1);
  });

  it('may be none, without tags, and of unknown size and time', async () => {
    api.answer(() => json({}));
    expect(await list()).toEqual([]);
    api.answer(() => json({ dockerImages: [{ uri: `${NAME}@${DIGEST}`, imageSizeBytes: 'x', uploadTime: 'x' }] }));
    expect(await list()).toEqual([{ digest: DIGEST, tags: [], size: null, uploaded: null }]);
  });

  it('are those of the name that is asked for only', async () => {
    const host = 'us-central1-docker.pkg.dev';
    const names = [
      `${host}/rubin/sciplat/lab`,
      `${host}/rubin/sciplat/lab/full/more`,
      `${host}/other/rubin/sciplat/lab/full`,
    ];
    api.answer(() =>
      json({ dockerImages: [...names.map((name) => ({ uri: `${name}@${DIGEST}` })), { uri: NAME }, one()] }),
    );
    expect(await list()).toHaveLength(1);
  });

  it('may be of a project with a domain', async () => {
    const uri = `us-central1-docker.pkg.dev/example.com/rubin/sciplat/lab/full@${DIGEST}`;
    api.answer(() => json({ dockerImages: [{ uri }] }));
    expect(await list({ ...PLACE, project: 'example.com:rubin' })).toHaveLength(1);
    expect(decodeURIComponent(api.seen[0]?.url ?? '')).toContain('/projects/example.com:rubin/');
  });
});

describe('the token of the service account', () => {
  it('is used again while it lasts, and renewed before it ends', async () => {
    api.answer(() => json({}));
    const artifacts = open();
    await artifacts.listArtifacts(PLACE, signal);
    await artifacts.listArtifacts(PLACE, signal);
    expect(metadata.seen).toHaveLength(1);
    metadata.answer(() => token(TOKEN, 1e-9));
    const short = open();
    await short.listArtifacts(PLACE, signal);
    await short.listArtifacts(PLACE, signal);
    expect(metadata.seen).toHaveLength(3);
  });

  it('is renewed in the middle of a list that does not take it any more', async () => {
    let good = 'first';
    metadata.answer(() => token(good));
    api.answer(({ url, headers }: Seen) => {
      if (headers.authorization !== `Bearer ${good}`) return { status: 401 };
      if (url.includes('pageToken')) return json({ dockerImages: [one()] });
      good = 'second';
      return json({ dockerImages: [one()], nextPageToken: 'p' });
    });
    expect(await list()).toHaveLength(2);
    expect(metadata.seen).toHaveLength(2);
  });

  it.each<[string, Script, boolean]>([
    ['404', { status: 404 }, false],
    ['503', { status: 503 }, true],
    ['something else than a metadata server', token('x', 3599, 'Other'), false],
    ['no token', token('', 1), true],
    ['a token that no header can carry', token('a\nb', 1), true],
    ['no end', token('x', 'never'), true],
    ['the end of the connection', 'cut', true],
  ])('cannot be had for %s', async (_what, answer, transient) => {
    metadata.answer(() => answer);
    const problem = await problemOf(list());
    expect(problem).toMatchObject({ reason: 'RegistryUnavailable', transient });
    expect(problem.message).toContain('metadata server');
    expect(api.seen).toEqual([]);
  });
});

describe('a list that cannot be had', () => {
  it.each([
    [401, 'RegistryDenied'],
    [403, 'RegistryDenied'],
    [404, 'RegistryRepositoryMissing'],
    [400, 'RegistryUnavailable'],
  ])('is not asked for again after %d', async (status, reason) => {
    api.answer(() => ({ status, body: TOKEN }));
    expect(await problemOf(list())).toMatchObject({ reason, transient: false });
    expect(api.seen).toHaveLength(status === 401 ? 2 : 1);
  });

  it.each([429, 500, 503])('is asked for again after %d', async (status) => {
    api.answer(() => (api.seen.length < 3 ? { status } : json({ dockerImages: [one()] })));
    expect(await list()).toHaveLength(1);
  });

  it.each(['<html>', '[]', '{"dockerImages":[{}]}', '{"nextPageToken":1}'])('is no list: %s', async (body) => {
    api.answer(() => ({ status: 200, body }));
    expect(await problemOf(list())).toMatchObject({ reason: 'RegistryUnavailable', transient: true });
  });

  it('is not followed in a circle, nor without an end', async () => {
    api.answer(() => json({ nextPageToken: 'p' }));
    expect((await problemOf(list())).message).toContain('in a circle');
    expect(api.seen).toHaveLength(2);
    api.answer(() => json({ nextPageToken: String(api.seen.length) }));
    expect((await problemOf(list())).message).toContain('too many pages');
    const many = Array.from({ length: 10_001 }, () => ({ uri: 'x' }));
    api.answer(() => json({ dockerImages: many, nextPageToken: String(api.seen.length) }));
    expect((await problemOf(list())).message).toContain('more than 20000 images');
  });

  it('ends in time, with its reader, and with the client', async () => {
    api.answer(() => 'hang');
    expect(await problemOf(list(PLACE, 20))).toMatchObject({ transient: true });
    const artifacts = open();
    const leaving = new AbortController();
    const left = artifacts.listArtifacts(PLACE, leaving.signal);
    const staying = artifacts.listArtifacts(PLACE, signal);
    leaving.abort(new Error('gone'));
    await expect(left).rejects.toThrow('gone');
    await artifacts.close();
    expect((await problemOf(staying)).message).toContain('stops');
  });
});
