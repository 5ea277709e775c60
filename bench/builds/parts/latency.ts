import { milliseconds, quantile, type Row } from '../../statistics.ts';
import type { Cluster } from '../cluster.ts';
import { Site, type SiteOptions } from '../site.ts';
import type { Seen } from '../observer.ts';
import type { Reading } from '../reader.ts';
import type { Progress } from '../../plan.ts';

const BUILDS = 20;

interface Sample {
  readonly reading: Reading;
  readonly seen: Seen;
}

/** One build at a time: what a person waits for beside the build itself. */
export async function latency(cluster: Cluster, progress: Progress): Promise<Row[]> {
  const rows: Row[] = [];
  for (const [name, options] of BACKENDS) {
    const site = await Site.start(cluster, options);
    try {
      const samples: Sample[] = [];
      for (let index = 0; index < BUILDS; index += 1) {
        const reading = await site.read(site.question('l20-h300'));
        samples.push({ reading, seen: site.seen(reading) });
      }
      progress(`${BUILDS} builds, one at a time, ${name}`);
      rows.push(...describe(name, samples));
    } finally {
      await site.close();
    }
  }
  return rows;
}

/** The default, and the lightest pod there is. */
const BACKENDS: readonly (readonly [string, SiteOptions])[] = [
  ['default backend', {}],
  ['pod without a user namespace', { builds: { backend: { kind: 'buildkit', address: 'tcp://127.0.0.1:1' } } }],
];

function describe(name: string, samples: readonly Sample[]): Row[] {
  const row = (what: string, of: (sample: Sample) => number, more: Partial<Row> = {}): Row => {
    const values = samples.map(of);
    const seen = `${milliseconds(quantile(values, 0.5))}, most ${milliseconds(Math.max(...values))}`;
    return { what: `${what}, ${name}`, seen, ...more };
  };
  const end = ({ reading }: Sample): number => reading.ends[0]?.at ?? Number.NaN;
  return [
    row('request to Job', ({ reading, seen }) => (seen.job ?? Number.NaN) - reading.askedAt, { aim: '50 ms' }),
    row('request to pod object', ({ reading, seen }) => (seen.pod ?? Number.NaN) - reading.askedAt, { aim: '50 ms' }),
    row(
      '  of that, turn given to pod object (Job controller)',
      ({ seen }) => (seen.pod ?? Number.NaN) - (seen.released ?? Number.NaN),
    ),
    row('  pod object to running', ({ seen }) => (seen.running ?? Number.NaN) - (seen.pod ?? Number.NaN)),
    row(
      'container terminated (API) to terminal event',
      (sample) => end(sample) - (sample.seen.terminated ?? Number.NaN),
      {
        aim: '0.5 s',
        peer: '1.15 s',
      },
    ),
    row('  the script ends to terminal event', (sample) => end(sample) - (sample.reading.endedAt ?? Number.NaN)),
    row(
      '  last line delivered to terminal event',
      (sample) => end(sample) - (sample.reading.lastLineAt ?? Number.NaN),
      {
        aim: '0.5 s',
      },
    ),
  ];
}
