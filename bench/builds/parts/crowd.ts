import { type ChildProcess, fork } from 'node:child_process';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { Progress } from '../../plan.ts';
import { milliseconds, quantile, type Row } from '../../statistics.ts';
import type { Cluster } from '../cluster.ts';
import type { Question, Reading } from '../reader.ts';
import type { Seen } from '../observer.ts';
import { Site } from '../site.ts';

const LINES = 400;
/** 20 s. */
const SCRIPT = `l${LINES}-b8-g400`;
const DEADLINE_MS = 240_000;
const CROWDS: readonly (readonly [readers: number, as: Question['as']])[] = [
  [1, 'builds'],
  [200, 'builds'],
  [1000, 'builds'],
  [200, 'binder'],
];

/** Many who ask for one build and read it, and somebody else who wants another one meanwhile. */
export async function crowd(cluster: Cluster, progress: Progress): Promise<Row[]> {
  const site = await Site.start(cluster);
  try {
    const rows: Row[] = [];
    for (const [readers, as] of CROWDS) {
      rows.push(...(await measure(site, readers, as)));
      progress(`${readers} readers`);
    }
    return rows;
  } finally {
    await site.close();
  }
}

async function measure(site: Site, readers: number, as: Question['as']): Promise<Row[]> {
  const { proxy, observer } = site;
  const controller = site.controllers[0]!;
  await delay(2_000);
  proxy.requests.clear();
  const known = new Set(observer.builds.keys());
  const cpu = controller.cpuMs();
  const question = site.question(SCRIPT, { as });
  const readings = readMany(question, readers);
  const isNew = ([id, { running }]: [string, Seen]) => !known.has(id) && running !== undefined;
  await observer.until('the build to run', () => [...observer.builds].some(isNew), 60_000);
  const [id, { pods }] = [...observer.builds].find(isNew)!;
  const others: Reading[] = [];
  for (let index = 0; index < 3; index += 1) others.push(await site.read(site.question('l3')));
  const watches = proxy.requests.openWatches.size;
  const all = await readings;
  const calls = proxy.requests.calls();
  const streams = calls.filter(({ subresource, url }) => subresource === 'log' && url.includes(id));
  const used = controller.cpuMs() - cpu;
  const isWhole = ({ lines, inOrder, ends }: Reading) => lines === LINES && inOrder && ends.length === 1;
  const complaints = count(all.filter((reading) => !isWhole(reading)).map(complain));
  const last = all
    .filter(isWhole)
    .map(({ lastLineAt, endedAt }) => (lastLineAt ?? Number.NaN) - (endedAt ?? Number.NaN));
  const waits = (of: 'pod' | 'running') => {
    const values = others.map((other) => (site.seen(other)[of] ?? Number.NaN) - other.askedAt);
    return `${milliseconds(quantile(values, 0.5))}, most ${milliseconds(Math.max(...values))}`;
  };
  const peer = (text: string) => (readers === 1 ? {} : { peer: text });
  const at = `${readers} ${as === 'binder' ? "readers of BinderHub's stream" : readers === 1 ? 'reader' : 'readers'}`;
  return [
    {
      what: `${at}: all ${LINES} lines once, in order, one end`,
      seen: `${all.filter(isWhole).length} of ${readers}`,
      aim: 'all',
      ...peer('0 of 200'),
    },
    ...complaints.map(([what, times]) => ({ what: `  what others had: ${what}`, seen: String(times), aim: '0' })),
    {
      what: '  calls to the API server, with three other builds',
      seen: String(calls.length),
      aim: 'as with 1',
      ...peer('1,035 to 1,400'),
    },
    { what: '  streams of its log', seen: String(streams.length), aim: '1' },
    { what: '  watches held', seen: String(watches), aim: 'as with 1', ...peer('64 to 200') },
    { what: '  pods of the build', seen: String(pods.size), aim: '1', ...peer('up to 15') },
    {
      what: "  another repository's build: request to pod",
      seen: waits('pod'),
      aim: '0.5 s',
      ...peer('80 s and more'),
    },
    { what: "  another repository's build: request to running", seen: waits('running') },
    { what: '  last line said to the slowest reader having it', seen: milliseconds(Math.max(...last)) },
    { what: '  processor time of the controller', seen: milliseconds(used) },
  ];
}

function complain({ lines, ends, closedAt }: Reading): string {
  const words = ends.map(({ type, reason, message }) => `${type} ${reason} ${message.slice(0, 100)}`).join('; ');
  return `${words === '' ? 'no end' : words}${lines === 0 ? ', no line' : ''}${closedAt === null ? ', no stream' : ''}`;
}

function count(texts: readonly string[]): [string, number][] {
  const counts = new Map<string, number>();
  for (const text of texts) counts.set(text, (counts.get(text) ?? 0) + 1);
  return [...counts];
}

async function readMany(question: Question, readers: number): Promise<Reading[]> {
  const child: ChildProcess = fork(join(import.meta.dirname, '../crowd.ts'), {
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  });
  return new Promise((resolve, reject) => {
    child.once('message', (readings) => resolve(readings as Reading[]));
    child.once('exit', (code) => reject(new Error(`The readers ended with ${code}`)));
    child.send({ question, readers, deadlineMs: DEADLINE_MS });
  });
}
