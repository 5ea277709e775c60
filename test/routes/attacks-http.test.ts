import { once } from 'node:events';
import { pino } from 'pino';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import '../support/leaks.ts';
import { DEFAULT_LIMITS } from '../../src/config/limits.ts';
import { type RunningServer, startServer } from '../../src/routes/server/server.ts';
import { converse } from './raw-http.ts';
import { aLabState, API, fakeLabs, formRequest, testApp, TOKENS } from './support.ts';

/** What somebody may write on a connection who hopes that two servers in a row understand it differently. */
const logger = pino({ level: 'silent' });
/** Short enough to be waited for; on a slow machine nothing else may depend on them. */
const IMPATIENT = { ...DEFAULT_LIMITS, headersTimeout: 300, requestTimeout: 600 };
const labs = fakeLabs([aLabState()], {
  async *events(_key, _after, signal) {
    yield { id: '1', type: 'info' as const, message: 'still here' };
    if (!signal.aborted) await once(signal, 'abort');
  },
});
const AUTHORIZED = `Authorization: Bearer ${TOKENS.ada}\r\n`;
const HIDDEN = `DELETE ${API}/labs/ada HTTP/1.1\r\nHost: x\r\n${AUTHORIZED}\r\n`;
const BODY = JSON.stringify(formRequest());

let server: RunningServer;
let impatient: RunningServer;
beforeAll(async () => {
  const start = (limits: typeof DEFAULT_LIMITS) =>
    startServer({ app: testApp({ labs }).app, host: '127.0.0.1', port: 0, logger, limits });
  [server, impatient] = await Promise.all([start(DEFAULT_LIMITS), start(IMPATIENT)]);
});
afterAll(() => Promise.all([server.close(), impatient.close()]));
afterEach(() => void [labs.created, labs.deleted].forEach((calls) => calls.splice(0)));

function get(more = '', target = `${API}/labs/ada`): string {
  return `GET ${target} HTTP/1.1\r\nHost: x\r\n${AUTHORIZED}${more}\r\n`;
}

function post(more: string, body = ''): string {
  const head = `POST ${API}/labs/ada/create HTTP/1.1\r\nHost: x\r\n${AUTHORIZED}Content-Type: application/json\r\n`;
  return `${head}${more}\r\n${body}`;
}

function chunked(body: string, coding = 'Transfer-Encoding: chunked'): string {
  return post(`${coding}\r\n`, body);
}

const chunk = (text: string) => `${Buffer.byteLength(text).toString(16)}\r\n${text}\r\n`;

/** Each has exactly one answer, and then the connection is closed, so that nothing behind it is read as a request. */
const REFUSED: readonly (readonly [string, number, string])[] = [
  ['a length beside a transfer coding', 400, post('Content-Length: 4\r\nTransfer-Encoding: chunked\r\n', '0\r\n\r\n')],
  ['a transfer coding beside a length', 400, post('Transfer-Encoding: chunked\r\nContent-Length: 4\r\n', '0\r\n\r\n')],
  ['two lengths', 400, post('Content-Length: 2\r\nContent-Length: 3\r\n', '{}')],
  ['the same length twice', 400, post('Content-Length: 2\r\nContent-Length: 2\r\n', '{}')],
  ['a list of lengths', 400, post('Content-Length: 2, 2\r\n', '{}')],
  ['a length with a sign', 400, post('Content-Length: +2\r\n', '{}')],
  ['a length below zero', 400, post('Content-Length: -1\r\n', '{}')],
  ['a hexadecimal length', 400, post('Content-Length: 0x2\r\n', '{}')],
  ['a length beyond all numbers', 400, post(`Content-Length: ${'9'.repeat(30)}\r\n`, '{}')],
  ['a transfer coding called xchunked', 400, chunked('0\r\n\r\n', 'Transfer-Encoding: xchunked')],
  ['a transfer coding before chunked', 400, chunked('0\r\n\r\n', 'Transfer-Encoding: gzip, chunked')],
  ['a transfer coding behind chunked', 400, chunked('0\r\n\r\n', 'Transfer-Encoding: chunked, identity')],
  ['two transfer codings', 400, chunked('0\r\n\r\n', 'Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked')],
  ['a vertical tab before chunked', 400, chunked('0\r\n\r\n', 'Transfer-Encoding: \x0bchunked')],
  ['a folded transfer coding', 400, chunked('0\r\n\r\n', 'Transfer-Encoding:\r\n chunked')],
  ['a folded header', 400, get('X-A: a\r\n b\r\n')],
  ['white space before a colon', 400, get('X-A : a\r\n')],
  ['white space before a colon of the transfer coding', 400, chunked('0\r\n\r\n', 'Transfer-Encoding : chunked')],
  ['white space before the first header', 400, `GET / HTTP/1.1\r\n Host: x\r\n\r\n`],
  ['a header without a name', 400, get(': a\r\n')],
  ['a header without a colon', 400, get('nothing\r\n')],
  ['bare line feeds', 400, `GET / HTTP/1.1\nHost: x\n\n`],
  ['a bare carriage return', 400, get('X: a\rY: b\r\n')],
  ['a NUL in the name of a header', 400, get('X\0: a\r\n')],
  ['a NUL in a header', 400, get('X: a\0b\r\n')],
  ['a NUL in the target', 400, get('', `${API}/labs/a\0da`)],
  ['bytes above ASCII in the target', 400, get('', `${API}/labs/\xc3\xa4`)],
  ['a target with a fragment', 400, get('', `${API}/labs/ada#/../bob`)],
  ['a target with backslashes', 400, get('', `${API}\\labs\\ada`)],
  ...['..', '%2e%2e', '.%2E', '%2e.', '.', '%2E'].map(
    (name) => [`${name} as a name`, 422, get('', `${API}/labs/ada/servers/${name}/events`)] as const,
  ),
  ['.. at the end of the path', 422, get('', `${API}/labs/ada/servers/..?detail=true`)],
  ['a target in absolute form', 400, get('', `http://evil${API}/labs/ada`)],
  ['a target in absolute form with https', 400, get('', `https://x${API}/labs/ada`)],
  ['a target that is an authority', 400, get('', 'evil:80')],
  ['a target that is a star', 400, `OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n`],
  ['CONNECT', 405, `CONNECT evil:443 HTTP/1.1\r\nHost: x\r\n\r\n`],
  ['TRACE', 405, `TRACE / HTTP/1.1\r\nHost: x\r\nCookie: a\r\n\r\n`],
  ['a method of WebDAV', 405, `PROPFIND / HTTP/1.1\r\nHost: x\r\n\r\n`],
  ['a method that nobody knows', 400, `HELLO / HTTP/1.1\r\nHost: x\r\n\r\n`],
  ['a method in lower case', 400, `get / HTTP/1.1\r\nHost: x\r\n\r\n`],
  ['HTTP/0.9', 400, `GET /\r\n`],
  ['HTTP/1.2', 400, `GET / HTTP/1.2\r\nHost: x\r\n\r\n`],
  ['HTTP/2 by its name', 400, `GET / HTTP/2.0\r\nHost: x\r\n\r\n`],
  ['the preface of HTTP/2', 400, `PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0`],
  ['a transfer coding in HTTP/1.0', 400, `POST / HTTP/1.0\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`],
  ['the beginning of TLS', 400, `\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03`],
  ['no host', 400, `GET / HTTP/1.1\r\n\r\n`],
  ['two hosts', 400, `GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n`],
  ['an expectation nobody knows', 417, get('Expect: 200-ok\r\n')],
  ['a chunk whose size is no number', 400, chunked('zz\r\n{}\r\n0\r\n\r\n')],
  ['a chunk with a size below zero', 400, chunked('-1\r\n{}\r\n0\r\n\r\n')],
  ['a chunk with a size beyond all numbers', 400, chunked('fffffffffffffffff\r\n{}\r\n0\r\n\r\n')],
  ['a chunk that is longer than it says', 400, chunked('2\r\n{}X\r\n0\r\n\r\n')],
  ['a chunk that ends with a bare line feed', 400, chunked('2\n{}\n0\n\n')],
  ['a length beyond the limit', 413, post(`Content-Length: ${2 ** 20 + 1}\r\n`)],
  ['a length beyond the limit, on a route that reads no body', 413, get(`Content-Length: ${2 ** 20 + 1}\r\n`)],
  [
    'a length beyond the limit, asked before it is sent',
    413,
    post('Expect: 100-continue\r\nContent-Length: 2000000\r\n'),
  ],
  ['a URL beyond the limit', 414, get('', `/${'x'.repeat(DEFAULT_LIMITS.urlLength)}`)],
  ['a query beyond the limit', 414, get('', `/healthz?${'x'.repeat(DEFAULT_LIMITS.urlLength)}`)],
  ['a header beyond the limit', 431, get(`X: ${'y'.repeat(DEFAULT_LIMITS.headerSize)}\r\n`)],
  ['a name of a header beyond the limit', 431, get(`${'y'.repeat(DEFAULT_LIMITS.headerSize)}: 1\r\n`)],
  ['headers that are too long together', 431, get(`X: ${'y'.repeat(1000)}\r\n`.repeat(17))],
  ['too many headers', 431, get('X: 1\r\n'.repeat(DEFAULT_LIMITS.headerCount))],
  ['a token beyond the limit', 431, `GET / HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${'x'.repeat(20_000)}\r\n\r\n`],
];

describe('a connection on which comes', () => {
  it.concurrent.each(REFUSED)('%s is answered %i once, and closed', async (_what, status, bytes) => {
    const { answers, rest, isClosed } = await converse(server.address.port, bytes + HIDDEN);
    expect({ statuses: answers.map((answer) => answer.status), rest, isClosed }).toEqual({
      ...{ statuses: [status], rest: '', isClosed: true },
    });
    expect(answers[0]?.headers['allow'] !== undefined).toBe(status === 405);
    const type = { 405: 'method_not_allowed', 413: 'payload_too_large' }[status] ?? 'invalid_request';
    expect(JSON.parse(answers[0]?.body ?? '')).toEqual({ detail: [{ msg: expect.any(String) as string, type }] });
    expect(answers[0]?.headers.connection).toBe('close');
  });

  it('any of these lets nothing through to the labs that stands behind it', async () => {
    for (const [, , bytes] of REFUSED) await converse(server.address.port, bytes + HIDDEN);
    expect(labs.deleted).toEqual([]);
    expect(labs.created).toEqual([]);
  }, 60_000);

  it('a body beyond the limit in chunks, without a length, is refused when the limit is reached', async () => {
    const bytes = chunked(chunk('x'.repeat(2 ** 19)).repeat(3));
    const { answers, isClosed } = await converse(server.address.port, bytes);
    expect(answers.map(({ status }) => status)).toEqual([413]);
    expect(isClosed).toBe(true);
  });

  it('a body in thousands of tiny chunks is refused before all of it is read', async () => {
    const tiny = chunked(`${chunk(' ').repeat(20_000)}${chunk(BODY)}0\r\n\r\n`);
    const { answers } = await converse(server.address.port, `${tiny}${get('Connection: close\r\n')}`);
    expect(answers.map(({ status }) => status)).toEqual([413, 200]);
    expect(answers[0]?.body).toContain('in longer chunks');
    expect(labs.created).toEqual([]);
  });

  it('a body in some thousand chunks is read', async () => {
    const bytes = chunked(`${chunk(' ').repeat(8000)}${chunk(BODY)}0\r\n\r\n${get('Connection: close\r\n')}`);
    const { answers } = await converse(server.address.port, bytes);
    expect(answers.map(({ status }) => status)).toEqual([201, 200]);
    expect(labs.created).toHaveLength(1);
  });

  it('a body that is refused when its time is nearly over is answered once', async () => {
    const half = chunk('x'.repeat(2 ** 19 + 1));
    const { answers, isClosed } = await converse(impatient.address.port, [chunked(half), half], { pauseMs: 300 });
    expect(answers.map(({ status }) => status)).toEqual([413]);
    expect(isClosed).toBe(true);
  });

  it('a body in chunks that never end, on a route that reads none, is answered and then cut off', async () => {
    const bytes = `DELETE ${API}/labs/ada HTTP/1.1\r\nHost: x\r\n${AUTHORIZED}Transfer-Encoding: chunked\r\n\r\n`;
    const { answers, isClosed } = await converse(server.address.port, bytes + chunk('x'.repeat(2 ** 20)));
    expect(answers.map(({ status }) => status)).toEqual([204]);
    expect(isClosed).toBe(true);
  });
});

describe('a name that looks like one that URL parsers take away', () => {
  it.each(['...', '%252e%252e', '..a', 'a..', '%2e%2e%20'])('%s is a name', async (name) => {
    const { answers } = await converse(
      server.address.port,
      get('Connection: close\r\n', `${API}/labs/ada/servers/${name}?a=/../b`),
    );
    expect(answers.map(({ status }) => status)).toEqual([404]);
  });
});

describe('requests one behind the other', () => {
  it('have one answer each, in their order', async () => {
    const bytes = get() + get('', '/healthz') + get('Connection: close\r\n', `${API}/labs/bob`);
    const { answers } = await converse(server.address.port, bytes);
    expect(answers.map(({ status }) => status)).toEqual([200, 200, 403]);
  });

  it('are answered up to the thousandth, whose answer says that it is the last one', async () => {
    const many = get('', '/healthz').repeat(999);
    const { answers, rest, isClosed } = await converse(server.address.port, `${many}${get()}${HIDDEN}${get()}`);
    expect({ answers: answers.length, rest, isClosed }).toEqual({ answers: 1000, rest: '', isClosed: true });
    expect(answers.map(({ headers }) => headers.connection).indexOf('close')).toBe(999);
    expect(answers.at(-1)?.status).toBe(200);
    expect(labs.deleted).toEqual([]);
  });

  it('are answered up to the one that is broken, which ends the connection', async () => {
    const { answers, isClosed } = await converse(server.address.port, `${get()}${get()}NONSENSE\r\n\r\n${HIDDEN}`);
    expect(answers.map(({ status }) => status)).toEqual([200, 200, 400]);
    expect(isClosed).toBe(true);
    expect(labs.deleted).toEqual([]);
  });

  it('are not read behind one that is broken, however many come while an answer is in progress', async () => {
    const nonsense = 'NONSENSE\r\n\r\n'.repeat(1000);
    const bytes = [get('', `${API}/labs/ada/events`), ...Array<string>(20).fill(nonsense)];
    const warnings: Error[] = [];
    const note = (warning: Error) => void warnings.push(warning);
    process.on('warning', note);
    const { answers, rest, isClosed } = await converse(server.address.port, bytes, { pauseMs: 20, patienceMs: 1500 });
    process.off('warning', note);
    expect(answers.map(({ status }) => status)).toEqual([200]);
    expect(rest).toContain('still here');
    expect(rest).not.toContain('HTTP/1.1');
    expect(isClosed).toBe(false);
    expect(warnings).toEqual([]);
  });

  it('are not found in the body of another', async () => {
    const { answers } = await converse(server.address.port, [
      get(`Content-Length: ${HIDDEN.length}\r\n`) + HIDDEN,
      post(`Content-Length: ${HIDDEN.length}\r\n`, HIDDEN),
      chunked(`${chunk(HIDDEN)}0\r\n\r\n`),
      get('Connection: close\r\n', '/healthz'),
    ]);
    expect(answers.map(({ status }) => status)).toEqual([200, 422, 422, 200]);
    expect(labs.deleted).toEqual([]);
  });

  it('get no rights from the trailer of a body', async () => {
    const head = `POST ${API}/labs/ada/create HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n`;
    const bytes = `${head}Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n${chunk(BODY)}0\r\n${AUTHORIZED}\r\n`;
    const { answers } = await converse(server.address.port, bytes);
    expect(answers.map(({ status }) => status)).toEqual([401]);
    expect(labs.created).toEqual([]);
  });

  it('stay HTTP/1.1 when an upgrade is asked for', async () => {
    for (const protocol of ['h2c', 'websocket', 'TLS/1.3']) {
      const more = `Connection: Upgrade, close\r\nUpgrade: ${protocol}\r\n`;
      const { answers } = await converse(server.address.port, get(more));
      expect(answers.map(({ status }) => status)).toEqual([200]);
    }
  });
});

describe('a request behind one that asks for an upgrade', () => {
  it.each(['h2c', 'websocket'])('to %s is not left without a sign that it has no answer', async (protocol) => {
    const asking = get(`Connection: Upgrade\r\nUpgrade: ${protocol}\r\n`);
    for (const bytes of [`${asking}${HIDDEN}`, [asking, HIDDEN]]) {
      const { answers, rest, isClosed } = await converse(server.address.port, bytes, { pauseMs: 1 });
      expect(answers.map(({ status, headers }) => [status, headers.connection])).toEqual([[200, 'close']]);
      expect({ rest, isClosed }).toEqual({ rest: '', isClosed: true });
    }
    expect(labs.deleted).toEqual([]);
  });
});

describe('a slow client', () => {
  const letters = (text: string) => text.match(/[^]{1,4}/g) ?? [];

  it('that says nothing is told that it is late', async () => {
    const { answers, isClosed, ms } = await converse(impatient.address.port, '');
    expect(answers.map(({ status }) => status)).toEqual([408]);
    expect({ isClosed, isInTime: ms < 2500 }).toEqual({ isClosed: true, isInTime: true });
  });

  it('that writes its headers letter by letter is told that it is late', async () => {
    const { answers, isClosed, ms } = await converse(impatient.address.port, letters(get('X: y\r\n'.repeat(50))), {
      pauseMs: 50,
    });
    expect(answers.map(({ status }) => status)).toEqual([408]);
    expect({ isClosed, isInTime: ms < 2500 }).toEqual({ isClosed: true, isInTime: true });
  });

  it('that writes its body letter by letter is told that it is late, and makes no lab', async () => {
    const bytes = [post(`Content-Length: ${BODY.length}\r\n`), ...letters(BODY)];
    const { answers, isClosed, ms } = await converse(impatient.address.port, bytes, { pauseMs: 50 });
    expect(answers.map(({ status }) => status)).toEqual([408]);
    expect({ isClosed, isInTime: ms < 2500 }).toEqual({ isClosed: true, isInTime: true });
    expect(labs.created).toEqual([]);
  });

  it('that keeps a connection after an answer may use it again for a while', async () => {
    const { answers } = await converse(impatient.address.port, [get(), get('Connection: close\r\n')], {
      pauseMs: 1200,
    });
    expect(answers.map(({ status }) => status)).toEqual([200, 200]);
  });
});
