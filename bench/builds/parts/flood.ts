import type { Progress } from '../../plan.ts';
import { milliseconds, quantile, type Row } from '../../statistics.ts';
import type { Cluster } from '../cluster.ts';
import type { Reading } from '../reader.ts';
import { Site } from '../site.ts';

const BUILDS = 5;
const LINES = 10_000;

/** Builds that print all they have to say at once and end. */
export async function flood(cluster: Cluster, progress: Progress): Promise<Row[]> {
  const site = await Site.start(cluster);
  try {
    const readings: Reading[] = [];
    for (let index = 0; index < BUILDS; index += 1) readings.push(await site.read(site.question(`l${LINES}`)));
    progress(`${BUILDS} builds of ${LINES} lines`);
    const whole = readings.filter(({ lines, inOrder }) => lines === LINES && inOrder).length;
    const after = (of: (reading: Reading) => number | null | undefined): string => {
      const values = readings.map((reading) => (reading.ends[0]?.at ?? Number.NaN) - (of(reading) ?? Number.NaN));
      return `${milliseconds(quantile(values, 0.5))}, most ${milliseconds(Math.max(...values))}`;
    };
    return [
      {
        what: `${LINES} lines at once, then the end: all, once, in order`,
        seen: `${whole} of ${BUILDS}`,
        aim: 'all',
        peer: 'no line in 5 of 5',
      },
      {
        what: '  container terminated (API) to terminal event',
        seen: after((reading) => site.seen(reading).terminated),
      },
      { what: '  the last line to terminal event', seen: after(({ lastLineAt }) => lastLineAt), aim: '0.5 s' },
      { what: '  the script ends to terminal event', seen: after(({ endedAt }) => endedAt) },
    ];
  } finally {
    await site.close();
  }
}
