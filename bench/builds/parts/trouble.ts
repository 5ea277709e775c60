import { setTimeout as delay } from 'node:timers/promises';
import { FaultProxy, type Fault } from '../../../test/support/fault-proxy.ts';
import type { Progress } from '../../plan.ts';
import { milliseconds, type Row } from '../../statistics.ts';
import type { Cluster } from '../cluster.ts';
import type { Reading } from '../reader.ts';
import { Site, type SiteOptions } from '../site.ts';

const LINES = 40;
/** 8 s. */
const SLOW = `l${LINES}-b1-g200`;
const CUT_MS = 2_000;
/** How long a build that cannot begin is watched. */
const DEADLINE_MS = 30_000;

/** What goes wrong in clusters, and when and how a reader is told. */
export async function trouble(cluster: Cluster, progress: Progress): Promise<Row[]> {
  const rows: Row[] = [];
  for (const scene of [badImage, noNode, failing, cutOff, registryAway]) {
    rows.push(...(await scene(cluster)));
    progress(scene.name);
  }
  return rows;
}

/** An image of the builder that is not there. */
async function badImage(cluster: Cluster): Promise<Row[]> {
  const image = `${cluster.registry}/bench-builds/none:1`;
  const reading = await stuck(cluster, { builder: { image } }, /image/i);
  return [{ what: 'an image that cannot be pulled: pod to a visible reason', aim: '5 s', ...reading }];
}

/** A node that is not there. */
async function noNode(cluster: Cluster): Promise<Row[]> {
  const reading = await stuck(
    cluster,
    { pod: { nodeSelector: { 'bench.example.org/none': 'none' } } },
    /no room|no machine|no node/i,
  );
  return [{ what: 'a pod that fits nowhere: pod to a visible reason', aim: '5 s', ...reading }];
}

/** @param reason words of the message that says what is wrong; those of a stage are none */
async function stuck(
  cluster: Cluster,
  builds: NonNullable<SiteOptions['builds']>,
  reason: RegExp,
): Promise<Pick<Row, 'seen' | 'peer'>> {
  const site = await Site.start(cluster, { builds, canBuild: false });
  try {
    const reading = await site.read(site.question('l3'), DEADLINE_MS);
    const { pod = Number.NaN } = [...site.observer.builds.values()][0] ?? {};
    const told = [...reading.phases, ...reading.ends].find(({ message, at }) => at >= pod && reason.test(message));
    const words = told === undefined ? 'nothing' : `${milliseconds(told.at - pod)}: ${told.message}`;
    const [end] = reading.ends;
    const after = `nothing more in ${milliseconds(DEADLINE_MS)}`;
    return {
      seen: `${words} (${end === undefined ? after : `${end.type} ${end.reason}`})`,
      peer: '"waiting" for ever',
    };
  } finally {
    await site.close();
  }
}

async function failing(cluster: Cluster): Promise<Row[]> {
  const site = await Site.start(cluster);
  try {
    const [one, other] = await Promise.all([
      site.read(site.question('l20-x1')),
      site.read(site.question('l20-x1', { as: 'binder' })),
    ]);
    const isClean = ({ ends, closedAt, lines }: Reading) => ends.length === 1 && closedAt !== null && lines === 20;
    return [
      { what: 'a build that fails', seen: endOf(one) },
      {
        what: '  events failed, and the stream',
        seen: [one, other].every(isClean) ? '1, ends (both APIs)' : `${endOf(one)}; ${endOf(other)}`,
        aim: '1, ends',
        peer: '3, never closes',
      },
    ];
  } finally {
    await site.close();
  }
}

/** Nothing of the API server comes through for two seconds, while a build runs. */
async function cutOff(cluster: Cluster): Promise<Row[]> {
  const site = await Site.start(cluster);
  try {
    const reading = site.read(site.question(SLOW));
    const other = site.read(site.question(SLOW, { as: 'binder' }));
    const count = site.observer.builds.size;
    await site.observer.until(
      'both builds to run',
      () => [...site.observer.builds.values()].filter(({ running }) => running !== undefined).length >= count + 2,
      30_000,
    );
    await delay(1_000);
    site.proxy.onCall = () => 'reset-before';
    site.proxy.reset();
    await delay(CUT_MS);
    site.proxy.onCall = () => 'pass';
    const all = await Promise.all([reading, other]);
    const isWhole = ({ lines, inOrder, ends }: Reading) => lines === LINES && inOrder && ends.length === 1;
    const words = all.map((each) => `${isWhole(each) ? 'all lines' : `${each.lines} lines`}, ${endOf(each)}`);
    return [
      {
        what: `connections to the API cut for ${milliseconds(CUT_MS)}`,
        seen: [...new Set(words)].join('; '),
        aim: 'as if nothing',
        peer: 'failed; the build goes on',
      },
    ];
  } finally {
    await site.close();
  }
}

/** The registry's API, as the controller sees it; builds push to the real one. */
async function registryAway(cluster: Cluster): Promise<Row[]> {
  const proxy = await FaultProxy.start({ server: `http://${cluster.registry}` });
  const site = await Site.start(cluster, { builds: { registry: { url: proxy.server } } }).catch(
    async (error: unknown) => {
      await proxy.close();
      throw error;
    },
  );
  try {
    const rows: Row[] = [];
    const peers: Partial<Record<string, string>> = { down: 'builds at once', hangs: '60 s of silence' };
    for (const [word, fault] of [
      ['down', 'reset-before'],
      ['hangs', 'stall'],
    ] as const satisfies (readonly [string, Fault])[]) {
      proxy.onCall = () => fault;
      const jobs = site.observer.builds.size;
      const reading = await site.read(site.question('l3'));
      const made = site.observer.builds.size - jobs;
      const end = reading.ends[0];
      rows.push({
        what: `a registry that ${word === 'down' ? 'is down' : 'hangs'}, when a build is asked for`,
        seen: `${milliseconds((end?.at ?? Number.NaN) - reading.askedAt)}: ${end?.reason ?? ''} ${end?.message ?? ''}, ${made} builds`,
        aim: '503, no build',
        peer: peers[word] ?? '',
      });
      proxy.onCall = () => 'pass';
      const late = site.read(site.question('l3-h3000'));
      await site.observer.until('the build to run', () => site.observer.builds.size > jobs + made, 30_000);
      proxy.onCall = () => fault;
      const away = delay(10_000).then(() => {
        proxy.onCall = () => 'pass';
      });
      const { ends, phases, endedAt } = await late;
      await away;
      const told = phases.find(({ at, message }) => endedAt !== null && at >= endedAt && /registry/i.test(message));
      rows.push({
        what: '  the same for 10 s while a build runs and pushes',
        seen: `${told === undefined ? 'no word' : `${milliseconds(told.at - (endedAt ?? 0))}: ${told.message}`}; ${milliseconds((ends[0]?.at ?? Number.NaN) - (endedAt ?? Number.NaN))}: ${ends.map(({ type, reason }) => `${type} ${reason}`).join()}`,
        aim: 'ready when it is back',
      });
    }
    return rows;
  } finally {
    proxy.onCall = () => 'pass';
    proxy.reset();
    await site.close();
    await proxy.close();
  }
}

function endOf({ ends, askedAt, closedAt }: Reading): string {
  const words = ends.map(({ at, type, reason, message }) =>
    type === 'ready' ? 'ready' : `${type} ${reason} after ${milliseconds(at - askedAt)}: ${message.trim()}`,
  );
  return `${words.length === 0 ? 'no end' : words.join(', ')}${closedAt === null ? ', stream open' : ''}`;
}
