import { setTimeout as delay } from 'node:timers/promises';
import type { Progress } from '../../plan.ts';
import { decimal, milliseconds, quantile, type Row } from '../../statistics.ts';
import type { Cluster } from '../cluster.ts';
import { runFloor } from '../floor.ts';
import { Site } from '../site.ts';

const BUILDS = 100;
const LINES = 20;
/** 2 s. */
const SCRIPTS = Array.from({ length: BUILDS }, () => `l${LINES}-b1-g100`);
const BOUNDS = [10, BUILDS];
const DEADLINE_MS = 600_000;

/** A hundred different builds in one moment, against the same pods made by a bare loop. */
export async function rush(cluster: Cluster, progress: Progress): Promise<Row[]> {
  const rows: Row[] = [];
  for (const running of BOUNDS) {
    const site = await Site.start(cluster, { builds: { queue: { running } } });
    try {
      const floor = await runFloor(cluster.client, site, SCRIPTS, running);
      progress(`${BUILDS} builds by a bare loop, ${running} at once: ${milliseconds(floor)}`);
      await delay(5_000);
      rows.push(...(await measure(site, running, floor)));
      progress(`${BUILDS} builds, ${running} at once`);
    } finally {
      await site.close();
    }
  }
  return rows;
}

async function measure(site: Site, running: number, floor: number): Promise<Row[]> {
  const { observer } = site;
  const controller = site.controllers[0]!;
  const cpu = controller.cpuMs();
  const calls = site.proxy.requests.calls().length;
  observer.most = 0;
  const start = Date.now();
  const readings = await Promise.all(SCRIPTS.map((script) => site.read(site.question(script), DEADLINE_MS)));
  const used = (controller.cpuMs() - cpu) / BUILDS;
  const ended = Math.max(...readings.map((reading) => site.seen(reading).terminated ?? Number.NaN)) - start;
  const told = Math.max(...readings.map(({ ends }) => ends[0]?.at ?? Number.NaN)) - start;
  const count = (is: (reading: (typeof readings)[number]) => boolean): string =>
    `${readings.filter(is).length} of ${BUILDS}`;
  const lost = readings.reduce((sum, { lines }) => sum + LINES - lines, 0);
  const ends = readings.map(
    (reading) => (reading.ends[0]?.at ?? Number.NaN) - (site.seen(reading).terminated ?? Number.NaN),
  );
  const late = `${milliseconds(quantile(ends, 0.5))}, most ${milliseconds(Math.max(...ends))}`;
  return [
    {
      what: `${BUILDS} builds of 2 s asked for at once, ${running} at once: ready`,
      seen: count(({ ends: all }) => all.length === 1 && all[0]?.type === 'ready'),
      aim: 'all',
    },
    { what: '  readers without a line', seen: count(({ lines }) => lines === 0), aim: '0', peer: '49 to 60' },
    { what: '  lines lost', seen: String(lost), aim: '0' },
    { what: '  out of order or twice', seen: count(({ inOrder }) => !inOrder), aim: '0' },
    { what: '  until the last container has ended', seen: milliseconds(ended) },
    { what: '  the same pods by a bare loop', seen: milliseconds(floor) },
    { what: '  share of the floor', seen: decimal(floor / ended) },
    { what: '  until the last reader is told', seen: milliseconds(told) },
    { what: '  container terminated (API) to terminal event', seen: late, aim: '0.5 s', peer: '1.15 s' },
    { what: '  pods at once, at most', seen: String(observer.most), aim: `${running}` },
    { what: '  calls to the API server, each', seen: decimal((site.proxy.requests.calls().length - calls) / BUILDS) },
    { what: '  processor time of the controller, each', seen: milliseconds(used) },
  ];
}
