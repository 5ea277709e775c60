import fc from 'fast-check';
import { API, formRequest, TOKENS } from './support.ts';

/**
 * Stands for what must never come back: somebody's secret in a wrong place. It has not the form of a name, a size or an
 * image, which are repeated to the caller as Nublado repeats them.
 */
export const CANARY = 'canary=5e0c';

export interface MalformedRequest {
  readonly method: string;
  readonly path: string;
  readonly query: string;
  readonly authorization: string;
  /** Empty for none. */
  readonly contentType: string;
  readonly body: string;
}

/** A name somebody may try: good ones, hostile ones, and anything. */
const segment = fc.oneof(
  fc.constantFrom(
    ...['ada', 'constructor', '__proto__', '%2e%2e', '..', '.', '%00', '%2F', '%', '%zz', '%ff', '%ED%A0%80', '%25'],
    ...[';', '%0a', 'servers', 'create', 'events', 'lab-form', 'a+b', '${7*7}', "'or'1", '<b>', '\ud800', '\u202e'],
    'x'.repeat(10_000),
  ),
  fc.string({ maxLength: 30, unit: 'binary' }).map((text) => encodeURIComponent(text.toWellFormed())),
  fc.string({ maxLength: 30 }),
);

const path = fc.oneof(
  fc
    .tuple(segment, fc.constantFrom('', '/create', '/events', '/servers/x', '/servers/x/create', '/'))
    .map(([name, rest]) => `${API}/labs/${name}${rest}`),
  fc
    .tuple(
      fc.constantFrom('', '/labwright', API, `${API}/labs`, `${API}/lab-form`, `${API}/user-status`),
      fc.array(segment, { maxLength: 5 }),
    )
    .map(([start, rest]) => [start, ...rest].join('/')),
);

const query = fc.oneof(
  { weight: 3, arbitrary: fc.constant('') },
  fc.constantFrom(
    '?detail=true',
    '?detail=1',
    '?detail=true&detail=false',
    '?detail[]=x',
    '?%ff',
    '?&&=',
    '?__proto__=1',
  ),
  fc.string({ maxLength: 40 }).map((text) => `?${text.replaceAll(/[#\s]/g, '')}`),
);

const authorization = fc.oneof(
  { weight: 8, arbitrary: fc.constantFrom(...Object.values(TOKENS).map((token) => `Bearer ${token}`)) },
  fc.constantFrom('', 'Bearer', 'Basic YTpi', `Bearer ${CANARY}`, `Bearer ${'x'.repeat(8000)}`, 'bearer\t'),
);

const contentType = fc.constantFrom(
  ...['application/json', 'application/json', 'application/json; charset=utf-16', 'APPLICATION/JSON', 'text/plain', ''],
  ...['application/x-www-form-urlencoded', 'multipart/form-data; boundary=x', 'application/problem+json', ';'],
);

/** Headers that change how a request is read; never two of the same name. */
export const moreHeaders = fc.dictionary(
  fc.constantFrom(
    ...['x-request-id', 'x-forwarded-host', 'x-forwarded-proto', 'last-event-id', 'x-auth-request-user', 'accept'],
    ...['x-auth-request-token', 'if-none-match', 'range', 'origin', 'cookie', 'accept-encoding', 'content-encoding'],
  ),
  fc.stringMatching(/^[\x21-\x7e\xa0-\xff]([\x20-\x7e\xa0-\xff]{0,40}[\x21-\x7e\xa0-\xff])?$/),
  { maxKeys: 4 },
);

/** Any JSON value in place of what belongs there, sometimes with the secret in it. */
const anything = fc.oneof(
  fc.constantFrom<unknown>(null, true, 0, -1, 1e308, '', CANARY, [], {}, [[]], [CANARY, CANARY], { a: CANARY }),
  fc.constantFrom('\0', '\ud800', 'x'.repeat(5000)),
  fc.jsonValue({ maxDepth: 3 }),
);

const options = fc
  .tuple(
    fc.subarray(['size', 'image_list', 'image_dropdown', 'image_class', 'image_tag', 'enable_debug', 'reset_user_env']),
    fc.array(
      fc.tuple(fc.constantFrom('size', 'image_list', 'image_class', 'image_tag', '_xsrf', '__proto__'), anything),
      {
        maxLength: 3,
      },
    ),
  )
  .map(([good, wrong]) => {
    const all: Record<string, unknown> = { ...formRequest().options, image_class: 'recommended', image_tag: 'x' };
    return Object.fromEntries([...good.map((name) => [name, all[name]] as const), ...wrong]);
  });

const env = fc.oneof(
  fc.constant(formRequest().env),
  fc
    .dictionary(fc.string({ maxLength: 20 }), anything, { maxKeys: 5 })
    .map((more) => ({ ...formRequest().env, ...more })),
  anything,
);

const specification = fc
  .oneof(
    fc.record(
      { options: fc.oneof({ weight: 4, arbitrary: options }, anything), env, more: anything },
      { requiredKeys: [] },
    ),
    fc.record({ options: fc.constant(formRequest().options), env }),
    anything,
  )
  .map((value) => JSON.stringify(value));

const body = fc.oneof(
  { weight: 12, arbitrary: specification },
  {
    weight: 2,
    arbitrary: fc.tuple(specification, fc.nat()).map(([text, at]) => text.slice(0, at % (text.length + 1))),
  },
  { weight: 1, arbitrary: fc.string({ unit: 'binary', maxLength: 200 }) },
  {
    weight: 1,
    arbitrary: fc.constantFrom(
      ...['', '{', 'null', '"', '\ufeff{}', 'NaN', '{"options":{"size":1e999}}', '{"__proto__":{"polluted":true}}'],
      ...['['.repeat(50_000), `${'{"options":'.repeat(5000)}1${'}'.repeat(5000)}`, `"${'x'.repeat(1_100_000)}"`],
      `{"options":{"size":"${'x'.repeat(300_000)}"}}`,
    ),
  },
);

/** A create that gets as far as its body, or anything at all. */
export const malformedRequest: fc.Arbitrary<MalformedRequest> = fc.oneof(
  {
    weight: 3,
    arbitrary: fc.record({
      method: fc.constant('POST'),
      path: fc.constantFrom(`${API}/labs/ada/create`, `${API}/labs/ada/servers/gpu/create`),
      query: fc.constant(''),
      authorization: fc.constantFrom(`Bearer ${TOKENS.ada}`, `Bearer ${TOKENS.admin}`),
      contentType: fc.constant('application/json'),
      body,
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      method: fc.constantFrom('POST', 'GET', 'GET', 'GET', 'DELETE', 'PUT', 'OPTIONS', 'HEAD', 'PROPFIND'),
      path,
      query,
      authorization,
      contentType,
      body,
    }),
  },
);

const requestLine = fc.oneof(
  fc.constantFrom(
    ...['GET / HTTP/1.0', 'GET http://evil/ HTTP/1.1', 'GET * HTTP/1.1', 'CONNECT a:1 HTTP/1.1', 'TRACE / HTTP/1.1'],
    ...['GET', '', '\0', 'GET /\x01 HTTP/1.1', `GET /${'x'.repeat(20_000)} HTTP/1.1`, 'GET //evil/ HTTP/1.1'],
    ...['GET / HTTP/9.9', 'PRI * HTTP/2.0', 'POST /%00?%00#%00 HTTP/1.1'],
  ),
  fc.string({ unit: 'binary', maxLength: 60 }),
);

const headerLine = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.constantFrom(
      ...['X-Auth-Request-User: ada', 'X-Auth-Request-User: root', 'X-Auth-Request-User: \xff\xfe', 'Accept: */*'],
      ...['X-Forwarded-Host: a, b', 'Last-Event-ID: 1', 'X-Forwarded-For: ::1', 'Range: bytes=0-', `Cookie: ${CANARY}`],
      ...[`Authorization: Bearer ${TOKENS.bob}`, 'Content-Type: text/plain', 'Expect: 100-continue', 'Upgrade: h2c'],
    ),
  },
  fc.constantFrom(
    ...['Host: a', 'Host:', 'Host: [', 'Host: a b', 'Content-Length: 5', 'Content-Length: -1', 'Content-Length: x'],
    ...['Transfer-Encoding: chunked', 'Transfer-Encoding: gzip', 'Expect: x', 'Connection: upgrade', 'Bad Header: 1'],
    ...[`X-Long: ${'y'.repeat(20_000)}`, ': 1', 'Last-Event-ID: \0', 'A: b\rC: d', ' folded'],
  ),
  fc.string({ unit: 'binary', maxLength: 40 }),
);

/** A request as bytes on a connection: one of the above, often with something wrong about the HTTP itself. */
export const malformedBytes: fc.Arbitrary<Buffer> = fc
  .tuple(
    malformedRequest,
    fc.option(requestLine, { freq: 4, nil: undefined }).map((line) => line),
    fc.array(headerLine, { maxLength: 2 }),
    fc.integer({ min: -3, max: 40 }),
  )
  .map(([{ method, path, query, authorization, contentType, body }, line, headers, lie]) => {
    const head = [
      line === undefined || lie > 5 ? `${method} ${escapeSpaces(path)}${query} HTTP/1.1` : line,
      ...['Host: localhost', `Authorization: ${authorization}`, `Content-Type: ${contentType}`],
      // Now and then the length is a lie.
      `Content-Length: ${String(Math.max(0, Buffer.byteLength(body) + Math.min(lie, 0)))}`,
      ...headers,
      'Connection: close',
    ];
    return Buffer.concat([Buffer.from(`${head.join('\r\n')}\r\n\r\n`, 'latin1'), Buffer.from(body)]);
  });

function escapeSpaces(path: string): string {
  return path.replaceAll(/[^\x21-\x7e]/g, (character) => encodeURIComponent(character.toWellFormed()));
}
