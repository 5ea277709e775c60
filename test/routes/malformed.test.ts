import { connect } from 'node:net';
import fc from 'fast-check';
import { pino } from 'pino';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import '../support/leaks.ts';
import { ErrorBody } from '../../src/routes/server/errors.ts';
import { type RunningServer, startServer } from '../../src/routes/server/server.ts';
import { undocumented } from './documented.ts';
import { CANARY, malformedBytes, malformedRequest, moreHeaders } from './malformed-requests.ts';
import { aConfig, aLabState, eventsOf, fakeLabs, IMAGE, testApp } from './support.ts';

const SEED = 20_261_121;
const IN_PROCESS = 8000;
const ON_SOCKETS = 2000;
/** What a stack or a path of the program looks like. */
const STACK = /\n\s+at |\.ts:\d|node_modules|node:internal|\bError:/;

const labs = fakeLabs([aLabState(), aLabState({}, { username: 'constructor', servername: '__proto__' })], {
  events: () => eventsOf([{ id: '1', type: 'complete', message: 'done' }]),
});
const config = aConfig({
  auth: { ...aConfig().auth, proxyHeaders: { trustedAddresses: ['127.0.0.1/32'] } },
  images: { list: [{ reference: IMAGE }], allowOther: true },
});
const { app, logs } = testApp({ labs, config });

const failures = () => logs.filter(({ msg }) => msg === 'request failed');

function count(statuses: Map<number, number>, status: number): void {
  statuses.set(status, (statuses.get(status) ?? 0) + 1);
}

describe('a malformed request', () => {
  it(`gets a 4xx in the one error format: ${String(IN_PROCESS)} of them`, { timeout: 120_000 }, async () => {
    const statuses = new Map<number, number>();
    const faultOf = undocumented(await (await app.request('/openapi.json')).json());
    await fc.assert(
      fc.asyncProperty(malformedRequest, moreHeaders, async (malformed, more) => {
        const { method, path, query, authorization, contentType, body } = malformed;
        const headers = { ...more, authorization, ...(contentType === '' ? {} : { 'content-type': contentType }) };
        const init = method === 'GET' || method === 'HEAD' ? { method, headers } : { method, headers, body };
        const request = new Request(`http://localhost${path}${query}`, init);
        const response = await app.fetch(request, {});
        const text = await response.text();
        count(statuses, response.status);
        expect(response.status).toBeLessThan(500);
        expect(text).not.toContain(CANARY);
        expect(text).not.toMatch(STACK);
        expect(faultOf(method, request.url, response)).toBeUndefined();
        if (response.status < 400 || method === 'HEAD') return;
        expect(response.headers.get('content-type')).toBe('application/json');
        expect(ErrorBody.safeParse(JSON.parse(text)).success).toBe(true);
      }),
      { numRuns: IN_PROCESS, seed: SEED },
    );
    expect(failures()).toEqual([]);
    expect({}).not.toHaveProperty('polluted');
    // Requests that all fail for one reason, or do not fail at all, would show nothing.
    const wanted = [200, 201, 307, 400, 401, 403, 404, 405, 413, 415, 422];
    expect([...statuses.keys()]).toEqual(expect.arrayContaining(wanted));
    expect(statuses.get(422)).toBeGreaterThan(IN_PROCESS / 10);
  });

  describe('on a connection', () => {
    let server: RunningServer;
    beforeAll(async () => {
      server = await startServer({ app, host: '127.0.0.1', port: 0, logger: pino({ level: 'silent' }) });
    });
    afterAll(() => server.close());

    /** Sends bytes and reads until the other end closes. */
    async function send(bytes: Buffer): Promise<string> {
      const socket = connect(server.address.port, '127.0.0.1');
      socket.setTimeout(10_000, () => socket.destroy(new Error('no answer in time')));
      socket.end(bytes);
      let answer = '';
      try {
        for await (const chunk of socket) answer += (chunk as Buffer).toString('latin1');
      } catch (error) {
        // A server that refuses a request need not read all of it; what it said before counts.
        if (!['ECONNRESET', 'EPIPE'].includes((error as NodeJS.ErrnoException).code ?? '')) throw error;
      }
      return answer;
    }

    it(`is answered below 500 or not at all: ${String(ON_SOCKETS)} of them`, { timeout: 120_000 }, async () => {
      const statuses = new Map<number, number>();
      await fc.assert(
        fc.asyncProperty(malformedBytes, async (bytes) => {
          const answer = await send(bytes);
          const status = Number(/^HTTP\/1\.1 (\d{3})/.exec(answer)?.[1] ?? 0);
          count(statuses, status);
          expect(status).toBeLessThan(500);
          expect(answer).not.toContain(CANARY);
          expect(answer).not.toMatch(STACK);
        }),
        { numRuns: ON_SOCKETS, seed: SEED },
      );
      expect(failures()).toEqual([]);
      const wanted = [200, 201, 400, 401, 403, 404, 405, 413, 415, 422, 431];
      expect([...statuses.keys()]).toEqual(expect.arrayContaining(wanted));
      expect(statuses.get(0) ?? 0).toBeLessThan(ON_SOCKETS / 10);
    });
  });
});
