import fc from 'fast-check';
import { EncryptJWT } from 'jose';
import { describe, expect, it } from 'vitest';
import '../../support/leaks.ts';
import { LabwrightError } from '../../../src/domain/errors.ts';
import { LIFETIME, NOW, requestWith, setUpSessions, someKeys } from './support.ts';

const HOUR = 3_600_000;
const find = ({ sessions }: ReturnType<typeof setUpSessions>, cookie: string | string[]) =>
  sessions.find(requestWith({ cookie }));
const valueOf = (cookie: string) => cookie.slice(cookie.indexOf('=') + 1);
const nameOf = (cookie: string) => cookie.slice(0, cookie.indexOf('='));

describe('the cookie of a session', () => {
  it('is for no script, no other site, no other path, and no connection in clear', async () => {
    const header = await setUpSessions().sessions.begin('canary-of-ada');
    expect(header).toMatch(
      /^__Secure-labwright-session-[0-9a-f]{8}=[\w.-]+; Max-Age=28800; Path=\/labwright; HttpOnly; SameSite=Lax; Secure$/,
    );
  });

  it('is bound to the host as well where it goes to the whole of it', async () => {
    expect(await setUpSessions({ pathPrefix: '' }).sessions.begin('a')).toMatch(/^__Host-.*; Path=\/; .*; Secure$/);
  });

  it('can do without TLS where there is none', async () => {
    const header = await setUpSessions({ baseUrl: 'http://127.0.0.1:8000' }).sessions.begin('a');
    expect(header).toMatch(
      /^labwright-session-[0-9a-f]{8}=[^;]+; Max-Age=28800; Path=\/labwright; HttpOnly; SameSite=Lax$/,
    );
  });

  it('has the path that browsers see', async () => {
    const { sessions } = setUpSessions({ baseUrl: 'https://example.org/jupyter' });
    expect(await sessions.begin('a')).toContain('; Path=/jupyter/labwright;');
  });

  it('shows nothing of what is in it, and is another each time', async () => {
    const { cookieFor } = setUpSessions();
    const [one, other] = [await cookieFor('canary-of-ada'), await cookieFor('canary-of-ada')];
    expect(one).not.toBe(other);
    const parts = valueOf(one)
      .split('.')
      .map((part) => Buffer.from(part, 'base64url').toString('latin1'));
    expect(parts.join()).not.toContain('canary');
    expect(JSON.parse(parts[0] ?? '')).toEqual({ alg: 'dir', enc: 'A256GCM', kid: 'k1', typ: 'labwright-session' });
  });

  it('is not made where no browser would keep it', async () => {
    expect(await setUpSessions().sessions.begin('x'.repeat(4000))).toBeUndefined();
  });
});

describe('a session', () => {
  it('is what was begun', async () => {
    const setup = setUpSessions();
    const cookie = await setup.cookieFor('canary-of-ada');
    const session = await find(setup, `other=1; ${cookie}; more=2`);
    expect(session).toMatchObject({ hubToken: 'canary-of-ada' });
    expect(await find(setup, cookie)).toEqual(session);
  });

  it('has an id and a CSRF token that no other has', async () => {
    const setup = setUpSessions();
    const all = await Promise.all(
      Array.from({ length: 50 }, async () => find(setup, await setup.cookieFor('canary-of-ada'))),
    );
    expect(new Set(all.map((session) => session?.id)).size).toBe(50);
    expect(new Set(all.map((session) => session?.csrfToken)).size).toBe(50);
  });

  it('is over after its lifetime, however much of it another replica had', async () => {
    const setup = setUpSessions();
    const cookie = await setup.cookieFor('a');
    setup.clock.now += LIFETIME;
    expect(await find(setup, cookie)).toBeDefined();
    setup.clock.now += 31_000;
    expect(await find(setup, cookie)).toBeUndefined();
  });

  it('is over earlier when the lifetime is made shorter', async () => {
    const cookie = await setUpSessions().cookieFor('a');
    expect(await find(setUpSessions({ lifetime: HOUR, now: NOW + 2 * HOUR }), cookie)).toBeUndefined();
  });

  it('is good for a replica whose clock is a little behind', async () => {
    const cookie = await setUpSessions().cookieFor('a');
    expect(await find(setUpSessions({ now: NOW - 20_000 }), cookie)).toBeDefined();
    expect(await find(setUpSessions({ now: NOW - 60_000 }), cookie)).toBeUndefined();
  });

  it('goes on while the keys change, until its own is gone', async () => {
    const cookie = await setUpSessions({ keys: someKeys('k1') }).cookieFor('a');
    const before = await find(setUpSessions({ keys: someKeys('k1') }), cookie);
    expect(await find(setUpSessions({ keys: someKeys('k1', 'k2') }), cookie)).toEqual(before);
    expect(await find(setUpSessions({ keys: someKeys('k2') }), cookie)).toBeUndefined();
  });

  it('is not over because the keys are not known yet', async () => {
    const cookie = await setUpSessions().cookieFor('a');
    const notReady = new LabwrightError('not_ready', 503, 'not yet');
    const current = () => {
      throw notReady;
    };
    const setup = setUpSessions({ keys: { current, find: () => undefined } });
    await expect(find(setup, cookie)).rejects.toBe(notReady);
  });

  it('that has ended is over for a copy of the cookie, too', async () => {
    const setup = setUpSessions();
    const cookie = await setup.cookieFor('a');
    const session = await find(setup, cookie);
    expect(setup.sessions.end(session)).toMatch(/^__Secure-labwright-session-\w{8}=; Max-Age=0; Path=\/labwright; /);
    expect(await find(setup, cookie)).toBeUndefined();
  });

  it.each([
    ['of another address', { baseUrl: 'https://hub.example.com' }],
    ['of another path', { pathPrefix: '/labwright-test' }],
    ['of a longer path', { pathPrefix: '/labwright/more' }],
    ['of another port', { baseUrl: 'https://hub.example.org:8443' }],
    ['in clear', { baseUrl: 'http://hub.example.org' }],
  ])('of an instance %s is none, under its own name and under ours', async (_, other) => {
    const [ours, theirs] = [setUpSessions(), setUpSessions(other)];
    const [cookie, foreign] = [await ours.cookieFor('a'), await theirs.cookieFor('a')];
    expect(nameOf(foreign)).not.toBe(nameOf(cookie));
    expect(await find(ours, foreign)).toBeUndefined();
    expect(await find(ours, `${nameOf(cookie)}=${valueOf(foreign)}`)).toBeUndefined();
  });

  it('is none where the cookie is there twice: one of them was planted', async () => {
    const setup = setUpSessions();
    const [one, other] = [await setup.cookieFor('a'), await setup.cookieFor('b')];
    expect(await find(setup, `${one}; ${other}`)).toBeUndefined();
    expect(await find(setup, [one, other])).toBeUndefined();
    expect(setup.sessions.isIn(requestWith({ cookie: [one, other] }))).toBe(true);
  });

  it('is none where what is sealed with its key is something else', async () => {
    const setup = setUpSessions();
    const name = nameOf(await setup.cookieFor('a'));
    const { key } = someKeys().current();
    const make = (change: { typ?: string; alg?: string; enc?: string; audience?: string; sid?: unknown }) =>
      new EncryptJWT({ sid: change.sid ?? 'x', token: 'a' })
        .setProtectedHeader({
          ...{ alg: change.alg ?? 'dir', enc: change.enc ?? 'A256GCM', kid: 'k1' },
          typ: change.typ ?? 'labwright-session',
        })
        .setAudience(change.audience ?? 'https://hub.example.org/labwright')
        .setIssuedAt(NOW / 1000)
        .setExpirationTime(NOW / 1000 + 60)
        .encrypt(key);
    const good = await make({});
    expect(await find(setup, `${name}=${good}`)).toBeDefined();
    for (const change of [{ typ: 'labwright-login' }, { audience: 'https://x/' }, { sid: 7 }, { alg: 'A256GCMKW' }]) {
      expect(await find(setup, `${name}=${await make(change)}`), JSON.stringify(change)).toBeUndefined();
    }
  });

  it('is none when anything of the cookie was changed', async () => {
    const setup = setUpSessions();
    const cookie = await setup.cookieFor('canary-of-ada');
    const start = cookie.indexOf('=') + 1;
    const change = fc.record({
      at: fc.nat(cookie.length - start - 1),
      how: fc.constantFrom('cut', 'drop', 'insert', 'replace'),
      by: fc.constantFrom('A', 'z', '0', '.', '_', '-', '"', '=', '%'),
    });
    await fc.assert(
      fc.asyncProperty(change, async ({ at, how, by }) => {
        const [before, after] = [cookie.slice(0, start + at), cookie.slice(start + at)];
        const changed = {
          cut: before,
          drop: before + after.slice(1),
          insert: before + by + after,
          replace: before + by + after.slice(1),
        }[how];
        // The last character of base64url may differ in bits that mean nothing.
        fc.pre(changed !== cookie && at < cookie.length - start - 1);
        expect(await find(setup, changed ?? '')).toBeUndefined();
      }),
      { numRuns: 300 },
    );
  });

  it.each(['', 'a', '....', `${'x'.repeat(5000)}`, '{"alg":"none"}..'])('is none in %j', async (value) => {
    const setup = setUpSessions();
    const name = nameOf(await setup.cookieFor('a'));
    expect(await find(setup, `${name}=${value}`)).toBeUndefined();
    expect(setup.sessions.isIn(requestWith({ cookie: `${name}=${value}` }))).toBe(true);
  });
});
