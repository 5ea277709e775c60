import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { buildIntent, deletingPatch, parseIntent, parseSecrets, relabelPatch } from '../../../src/domain/lab/intent.ts';
import { intentName } from '../../../src/domain/lab/object-names.ts';
import { recreateLabState } from '../../../src/domain/lab/lab-state.ts';
import { detailedLabState } from '../../../src/routes/labs/lab-state.ts';
import { aSpec } from '../../reconcile/support/observed.ts';

const SPEC = 'labwright.dev/spec';
const NONE = { env: {}, token: null };

/** The intent as the watch tells of it: metadata only. */
function told(intent: ReturnType<typeof buildIntent>, annotations: Record<string, string> = {}) {
  const { metadata } = structuredClone(intent);
  return { ...metadata, uid: 'u', resourceVersion: '7', annotations: { ...metadata.annotations, ...annotations } };
}

describe('an intent', () => {
  it('says after a restart what was asked for', () => {
    fc.assert(
      fc.property(
        fc.string({ unit: 'binary', minLength: 1, maxLength: 100 }),
        fc.string({ unit: 'grapheme', maxLength: 40 }),
        fc.option(fc.string({ unit: 'binary' }), { nil: null }),
        (username, servername, name) => {
          const spec = aSpec({ user: { ...aSpec().user, username, name }, servername });
          const intent = JSON.parse(JSON.stringify(buildIntent(spec, NONE, 'hub'))) as ReturnType<typeof buildIntent>;
          expect(parseIntent(told(intent))).toMatchObject({
            spec,
            uid: 'u',
            resourceVersion: '7',
            deleting: false,
            failure: null,
            cleaned: false,
          });
        },
      ),
    );
  });

  it('keeps every value of the environment as it was sent', () => {
    const anyText = fc.string({ unit: 'binary', maxLength: 50 });
    fc.assert(
      fc.property(
        fc.dictionary(anyText, anyText),
        fc.option(fc.string({ unit: 'grapheme', minLength: 1 }), { nil: null }),
        (env, token) => {
          const intent = buildIntent(aSpec(), { env, token }, 'hub');
          const read = parseSecrets(JSON.parse(JSON.stringify(intent)) as typeof intent);
          expect(Object.entries(read.env)).toEqual(Object.entries(env));
          expect(read.token).toBe(token);
        },
      ),
    );
  });

  it('shows nothing secret to the watch, and loses it when the lab is over', () => {
    const intent = buildIntent(aSpec(), { env: { KEY: 'hush-env' }, token: 'hush-token' }, 'hub');
    expect(JSON.stringify(intent.metadata)).not.toContain('hush');
    expect(Buffer.from(JSON.stringify(intent)).includes('hush')).toBe(false);
    expect(deletingPatch('u', 0)).toMatchObject({ data: null, metadata: { uid: 'u' } });
    expect(parseSecrets({})).toEqual(NONE);
  });

  it('is named after the lab, so that there can be only one', () => {
    const { metadata, type } = buildIntent(aSpec({ servername: 'gpu' }), NONE, 'hub', '41');
    expect(metadata).toMatchObject({ name: 'lab-rachel--gpu', namespace: 'hub', resourceVersion: '41' });
    expect(metadata.name).toBe(intentName('rachel--gpu'));
    expect(type).toBe('labwright.dev/lab-intent');
    expect(buildIntent(aSpec(), NONE, 'hub').metadata).not.toHaveProperty('resourceVersion');
  });

  it.each(['', '{', 'null', '7', '"x"', '[]', '{}', '{"spawnId":"s"}', '{"spawnId":"s","namespace":"n","user":null}'])(
    'that somebody has made into %j still says whose lab it is, and that it cannot be read',
    (text) => {
      const { slug, damaged, spec, failure } = parseIntent(told(buildIntent(aSpec(), NONE, 'hub'), { [SPEC]: text }))!;
      const { username } = spec.user;
      expect({ slug, damaged, username, failure }).toEqual({
        slug: 'rachel',
        damaged: true,
        username: 'rachel',
        failure: null,
      });
    },
  );

  it('of which any part was changed is either as good as before or damaged, and can be told either way', () => {
    const paths = fc.constantFrom(
      ...Object.keys(aSpec()),
      'user.groups',
      'user.uid',
      'options.size',
      'resources.limits',
    );
    const values = fc.oneof(fc.constant(undefined), fc.jsonValue());
    fc.assert(
      fc.property(paths, values, (path, value) => {
        const spec = structuredClone(aSpec()) as unknown as Record<string, unknown>;
        const [head = '', tail] = path.split('.');
        if (tail === undefined) spec[head] = value;
        else (spec[head] as Record<string, unknown>)[tail] = value;
        const intent = parseIntent(told(buildIntent(aSpec(), NONE, 'hub'), { [SPEC]: JSON.stringify(spec) }))!;
        const lab = { intent, namespace: undefined, pod: undefined };
        const state = recreateLabState(lab, { mode: 'serviceDns', port: 8888, clusterDomain: undefined });
        expect(() => detailedLabState(state!)).not.toThrow();
        if (intent.damaged) expect(state).toMatchObject({ status: 'failed', reason: 'Error' });
      }),
    );
  });

  it('with names that are not those of its slug is told under its slug', () => {
    const change = { [SPEC]: '{', 'labwright.dev/username': 'somebody-else' };
    expect(parseIntent(told(buildIntent(aSpec(), NONE, 'hub'), change))?.spec.user.username).toBe('rachel');
  });

  it('without its labels is found by its name, and gets them back', () => {
    const metadata = told(buildIntent(aSpec(), NONE, 'hub'));
    expect(parseIntent({ ...metadata, labels: {} })).toMatchObject({ slug: 'rachel', damaged: false });
    expect(relabelPatch({ ...metadata, labels: { mine: 'x' } }, 'hub')).toEqual({
      metadata: { uid: 'u', resourceVersion: '7', labels: metadata.labels },
    });
    expect(relabelPatch(metadata, 'hub')).toBeUndefined();
    expect(relabelPatch({ name: 'lab-rachel', labels: {} }, 'hub')).toBeUndefined();
  });

  it('without a name, or without both labels and spec, is none of ours', () => {
    const metadata = told(buildIntent(aSpec(), NONE, 'hub'));
    expect(parseIntent(undefined)).toBeUndefined();
    expect(parseIntent({ ...metadata, labels: {}, annotations: {} })).toBeUndefined();
    expect(parseIntent({ ...metadata, name: 'other' })).toBeUndefined();
    expect(parseIntent({ ...metadata, annotations: {} })).toMatchObject({ slug: 'rachel', damaged: true });
  });

  it('reads the build of a lab also where it was written under its earlier name', () => {
    const read = (annotations: Record<string, string>) =>
      parseIntent(told(buildIntent(aSpec(), NONE, 'hub'), annotations))?.build;
    const text = (id: string) => JSON.stringify({ id });
    expect(read({ 'labwright.dev/build': text('before') })).toEqual({ id: 'before' });
    const both = { 'labwright.dev/build': text('before'), 'labwright.dev/image-build': text('now') };
    expect(read(both)).toEqual({ id: 'now' });
  });
});
