/** A ref of a repository; `peeled` is the commit that an annotated tag is of. */
export interface Ref {
  readonly name: string;
  readonly id: string;
  readonly peeled?: string;
}

const AGENT = 'agent=git/labwright-sandbox';
const FLUSH = '0000';
const DELIMITER = '0001';

/** What a server of version 0 says first: its refs, the first one with what it can do (gitprotocol-pack). */
export function advertisement(refs: readonly Ref[], head: string): string {
  const lines = [...withHead(refs, head)].flatMap(({ name, id, peeled }) => [
    `${id} ${name}`,
    ...(peeled === undefined ? [] : [`${peeled} ${name}^{}`]),
  ]);
  const able = `symref=HEAD:${head} object-format=sha1 ${AGENT}`;
  const [first = `${'0'.repeat(40)} capabilities^{}`, ...rest] = lines;
  const all = [`${first}\0${able}`, ...rest];
  return packet('# service=git-upload-pack') + FLUSH + all.map((line) => packet(line)).join('') + FLUSH;
}

/** What a server of version 2 says first (gitprotocol-v2). */
export function capabilities(): string {
  return ['version 2', AGENT, 'ls-refs=unborn', 'object-format=sha1'].map((line) => packet(line)).join('') + FLUSH;
}

/** The answer to a command of version 2. There is one: `ls-refs`. */
export function answerCommand(body: string, refs: readonly Ref[], head: string): string {
  const lines = readPackets(body);
  if (!lines.includes('command=ls-refs')) return packet('ERR this host has refs only, and no objects') + FLUSH;
  const prefixes = lines.filter((line) => line.startsWith('ref-prefix ')).map((line) => line.slice(11));
  const wanted = withHead(refs, head).filter(
    ({ name }) => prefixes.length === 0 || prefixes.some((prefix) => name.startsWith(prefix)),
  );
  const found = wanted.map(({ name, id, peeled }) => {
    const symref = name === 'HEAD' && lines.includes('symrefs') ? ` symref-target:${head}` : '';
    return packet(`${id} ${name}${symref}${peeled !== undefined && lines.includes('peel') ? ` peeled:${peeled}` : ''}`);
  });
  return found.join('') + FLUSH;
}

function withHead(refs: readonly Ref[], head: string): Ref[] {
  const target = refs.find(({ name }) => name === head);
  return target === undefined ? [...refs] : [{ name: 'HEAD', id: target.id }, ...refs];
}

/** The lines of a request, whose names are ASCII here; what is damaged ends it. */
function readPackets(body: string): string[] {
  const lines: string[] = [];
  for (let at = 0; at + 4 <= body.length;) {
    const prefix = body.slice(at, at + 4);
    const length = /^[0-9a-f]{4}$/i.test(prefix) ? Number.parseInt(prefix, 16) : 0;
    if (prefix === FLUSH || (length < 4 && prefix !== DELIMITER)) break;
    if (prefix !== DELIMITER) lines.push(body.slice(at + 4, at + length).replace(/\n$/, ''));
    at += prefix === DELIMITER ? 4 : length;
  }
  return lines;
}

function packet(line: string): string {
  const length = Buffer.byteLength(line) + 5;
  return `${length.toString(16).padStart(4, '0')}${line}\n`;
}
