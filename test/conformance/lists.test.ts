import { beforeAll, describe, expect, it } from 'vitest';
import { refusal, type Wire, useApi } from './api.ts';

const api = useApi();
let path: string;
let namespace: string;

beforeAll(async () => {
  ({ path, name: namespace } = await api.namespace());
  for (const n of ['1', '2', '3', '4', '5']) {
    await api.post(`${path}/secrets`, {
      metadata: { name: `m${n}`, labels: { n, all: 'x', ...(n === '5' ? { last: '' } : {}) } },
    });
  }
});

const names = (list: Pick<Wire, 'items'>): string[] => list.items.map((item) => item.metadata.name);
const select = async (labels: string) =>
  names((await api.get(`${path}/secrets?labelSelector=${encodeURIComponent(labels)}`)).body);

describe('a list', () => {
  it('holds the objects by name, with a version for a watch', async () => {
    const { status, body } = await api.get(`${path}/secrets`);
    expect(status).toBe(200);
    expect(body).toMatchObject({ kind: 'SecretList', apiVersion: 'v1' });
    expect(body.metadata.resourceVersion).toMatch(/^\d+$/);
    expect(names(body)).toEqual(['m1', 'm2', 'm3', 'm4', 'm5']);
    expect(body.items[0]?.kind).toBeUndefined();
  });

  it('is empty for a namespace that is not there', async () => {
    expect((await api.get('/api/v1/namespaces/not-there/secrets')).body.items).toEqual([]);
  });

  it('goes over all namespaces', async () => {
    const { body } = await api.get('/api/v1/secrets?labelSelector=all%3Dx');
    expect(body.items.filter((item) => item.metadata.namespace === namespace)).toHaveLength(5);
  });

  it('refuses a version from the future', async () => {
    const { status, body, headers } = await api.get(`${path}/secrets?resourceVersion=999999999`);
    expect(status).toBe(504);
    expect(headers['retry-after']).toBe('1');
    expect(body.reason).toBe('Timeout');
    expect(body.message).toMatch(/^Timeout: Too large resource version: 999999999, current: \d+$/);
    expect(body.details).toMatchObject({ retryAfterSeconds: 1, causes: [{ reason: 'ResourceVersionTooLarge' }] });
  });
});

describe('a label selector', () => {
  it.each([
    ['n=1', ['m1']],
    ['n==1', ['m1']],
    ['n!=1', ['m2', 'm3', 'm4', 'm5']],
    ['n in (1, 2)', ['m1', 'm2']],
    ['n notin (1,2),all=x', ['m3', 'm4', 'm5']],
    ['last', ['m5']],
    ['!last', ['m1', 'm2', 'm3', 'm4']],
    ['last=', ['m5']],
    ['all=x,n in (4,5),!last', ['m4']],
    ['missing!=x', ['m1', 'm2', 'm3', 'm4', 'm5']],
  ])('%s', async (selector, expected) => {
    expect(await select(selector)).toEqual(expected);
  });

  it('that cannot be read is refused', async () => {
    for (const selector of ['n in 1', 'n in (1', '=x', 'a b']) {
      const answer = await api.get(`${path}/secrets?labelSelector=${encodeURIComponent(selector)}`);
      expect(answer, selector).toMatchObject({ status: 400, body: { reason: 'BadRequest' } });
    }
  });
});

describe('a field selector', () => {
  it('selects by name and namespace', async () => {
    const by = async (selector: string) =>
      names((await api.get(`/api/v1/secrets?fieldSelector=${encodeURIComponent(selector)}`)).body);
    expect(await by(`metadata.name=m2,metadata.namespace=${namespace}`)).toEqual(['m2']);
    expect(await by(`metadata.name!=m2,metadata.namespace==${namespace}`)).toEqual(['m1', 'm3', 'm4', 'm5']);
  });

  it('is refused for a field that the kind is not indexed by', async () => {
    expect(await api.get(`${path}/configmaps?fieldSelector=data.x%3D1`)).toMatchObject(
      refusal(400, 'BadRequest', '"data.x" is not a known field selector: only "metadata.name", "metadata.namespace"'),
    );
    expect(await api.get('/api/v1/pods?fieldSelector=spec.x%3D1')).toMatchObject(
      refusal(400, 'BadRequest', 'field label not supported: spec.x'),
    );
    expect(await api.get('/api/v1/pods?fieldSelector=spec.x')).toMatchObject(
      refusal(400, 'BadRequest', "invalid selector: 'spec.x'; can't understand 'spec.x'"),
    );
  });

  it('selects events by what they are about', async () => {
    const involved = (kind: string, name: string) => ({ kind, name, namespace });
    for (const [name, object] of [
      ['e1', involved('Pod', 'lab')],
      ['e2', involved('Pod', 'x')],
      ['e3', involved('Service', 'lab')],
    ] as const) {
      await api.post(`${path}/events`, {
        metadata: { name },
        involvedObject: object,
        reason: 'R',
        message: 'M',
        type: 'Normal',
      });
    }
    const selector = encodeURIComponent('involvedObject.kind=Pod,involvedObject.name=lab');
    const { body } = await api.get(`/api/v1/events?fieldSelector=${selector}`);
    expect(names({ items: body.items.filter((item) => item.metadata.namespace === namespace) })).toEqual(['e1']);
    expect(await api.get('/api/v1/events?fieldSelector=involvedObject.x%3D1')).toMatchObject({ status: 400 });
  });
});

describe('a list in pages', () => {
  it('goes on where the page before ended, and says how many are left', async () => {
    const first = (await api.get(`${path}/secrets?limit=2`)).body;
    expect(names(first)).toEqual(['m1', 'm2']);
    expect(first.metadata.remainingItemCount).toBe(3);
    const second = (await api.get(`${path}/secrets?limit=2&continue=${first.metadata.continue}`)).body;
    expect(names(second)).toEqual(['m3', 'm4']);
    expect(second.metadata.resourceVersion).toBe(first.metadata.resourceVersion);
    const third = (await api.get(`${path}/secrets?limit=2&continue=${second.metadata.continue}`)).body;
    expect(names(third)).toEqual(['m5']);
    expect(third.metadata.continue).toBeUndefined();
  });

  it('has no token when the last object is on the page, with a selector too', async () => {
    expect((await api.get(`${path}/secrets?limit=5`)).body.metadata.continue).toBeUndefined();
    const selected = (await api.get(`${path}/secrets?limit=2&labelSelector=n%20in%20(1,3,5)`)).body;
    expect(names(selected)).toEqual(['m1', 'm3']);
    expect(selected.metadata.remainingItemCount).toBeUndefined();
    const rest = await api.get(
      `${path}/secrets?limit=2&labelSelector=n%20in%20(1,3,5)&continue=${selected.metadata.continue}`,
    );
    expect(names(rest.body)).toEqual(['m5']);
  });

  it('is a picture of one moment, whatever changes meanwhile', async () => {
    const { path: other } = await api.namespace();
    for (const name of ['a', 'c', 'e'])
      await api.post(`${other}/configmaps`, { metadata: { name }, data: { at: 'first' } });
    const first = (await api.get(`${other}/configmaps?limit=1`)).body;
    await api.post(`${other}/configmaps`, { metadata: { name: 'b' } });
    await api.merge(`${other}/configmaps/c`, { data: { at: 'later' } });
    await api.delete(`${other}/configmaps/e`);
    const rest = (await api.get(`${other}/configmaps?continue=${first.metadata.continue}`)).body;
    expect(names(rest)).toEqual(['c', 'e']);
    expect(rest.items[0]?.data.at).toBe('first');
  });

  it('goes over all namespaces', async () => {
    const seen: string[] = [];
    let token = '';
    do {
      const { body } = await api.get(`/api/v1/secrets?labelSelector=all%3Dx&limit=2&continue=${token}`);
      seen.push(...body.items.map((item) => `${item.metadata.namespace}/${item.metadata.name}`));
      token = body.metadata.continue ?? '';
    } while (token !== '');
    expect(new Set(seen).size).toBe(seen.length);
    expect(seen.filter((key) => key.startsWith(`${namespace}/`))).toHaveLength(5);
  });

  it('refuses a token that is none, and a version beside it', async () => {
    const bad = await api.get(`${path}/secrets?limit=2&continue=zzz`);
    expect(bad).toMatchObject({ status: 400, body: { reason: 'BadRequest' } });
    expect(bad.body.message).toMatch(/^invalid continue token: continue key is not valid/);
    const { continue: token } = (await api.get(`${path}/secrets?limit=2`)).body.metadata;
    expect(await api.get(`${path}/secrets?limit=2&continue=${token}&resourceVersion=5`)).toMatchObject(
      refusal(400, 'BadRequest', 'specifying resource version is not allowed when using continue'),
    );
  });
});
