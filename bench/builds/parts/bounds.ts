import type { Progress } from '../../plan.ts';
import { milliseconds, type Row } from '../../statistics.ts';
import type { Cluster } from '../cluster.ts';
import { Site } from '../site.ts';

const RUNNING = 6;
const PER_USER = 2;
const USERS = 5;
const EACH = 6;
const DEADLINE_MS = 300_000;

/** Two controllers on one namespace: together they keep the bounds, and builds asked of both are one. */
export async function bounds(cluster: Cluster, progress: Progress): Promise<Row[]> {
  const queue = { running: RUNNING, perUser: PER_USER };
  const site = await Site.start(cluster, { controllers: 2, builds: { queue } });
  try {
    const { observer } = site;
    observer.most = 0;
    observer.mostOfUser = 0;
    const start = Date.now();
    const names = Array.from({ length: USERS * EACH }, (_, index) => `user-${index % USERS}`);
    const pairs = names.map((username, index) => {
      const question = site.question('l10-h1500', { username }, index % 2);
      // Somebody asks the other controller for the same at the same moment.
      const other = site.question('', {}, (index + 1) % 2).api;
      return [question, { ...question, api: other }];
    });
    const readings = await Promise.all(
      pairs.map((pair) => Promise.all(pair.map((each) => site.read(each, DEADLINE_MS)))),
    );
    progress(`${names.length} builds by two controllers`);
    const all = readings.flat();
    const pods = readings.map(([reading]) => site.seen(reading!).pods.size);
    return [
      {
        what: `two controllers, ${names.length} builds of ${USERS} users: pods at once, at most`,
        seen: String(observer.most),
        aim: String(RUNNING),
      },
      { what: '  of one user, at most', seen: String(observer.mostOfUser), aim: String(PER_USER) },
      {
        what: '  readers at both: ready, all lines, one end',
        seen: `${all.filter(({ lines, inOrder, ends }) => lines === 10 && inOrder && ends.length === 1 && ends[0]?.type === 'ready').length} of ${all.length}`,
        aim: 'all',
      },
      { what: '  pods of one build, at most', seen: String(Math.max(...pods)), aim: '1', peer: 'up to 15' },
      {
        what: '  until the last is told',
        seen: milliseconds(Math.max(...all.map(({ ends }) => ends[0]?.at ?? Number.NaN)) - start),
      },
    ];
  } finally {
    await site.close();
  }
}
