import { arch, cpus, loadavg, totalmem } from 'node:os';
import { parseArgs } from 'node:util';
import { takeFindings } from '../test/support/canary.ts';
import { connectCluster } from './builds/cluster.ts';
import { bounds } from './builds/parts/bounds.ts';
import { crowd } from './builds/parts/crowd.ts';
import { flood } from './builds/parts/flood.ts';
import { latency } from './builds/parts/latency.ts';
import { rush } from './builds/parts/rush.ts';
import { secrets } from './builds/parts/secrets.ts';
import { trouble } from './builds/parts/trouble.ts';
import { table } from './statistics.ts';

const parts = { crowd, rush, flood, latency, trouble, secrets, bounds };
type Part = keyof typeof parts;

const USAGE = `npm run bench:builds -- --kube FILE [--registry HOST] [--base IMAGE] [--only PART,…]
Measures builds on a real cluster with a script in repo2docker's place. The controller and the readers run on this machine.
Parts: ${Object.keys(parts).join(', ')}; all of them when none is named.
`;

const { values } = parseArgs({
  options: {
    kube: { type: 'string' },
    /** Port 5000 of the API server's host when absent. */
    registry: { type: 'string' },
    /** Of that registry; it has a shell and curl. */
    base: { type: 'string', default: 'base:1' },
    only: { type: 'string', default: Object.keys(parts).join(',') },
    help: { type: 'boolean', default: false },
  },
});
const chosen = values.only.split(',') as Part[];
const wrong = chosen.filter((name) => !Object.hasOwn(parts, name));
if (values.help || values.kube === undefined || wrong.length > 0) {
  process.stderr.write(wrong.length > 0 ? `There is no part called ${wrong.join(' or ')}\n${USAGE}` : USAGE);
  process.exit(values.help ? 0 : 2);
}

const start = performance.now();
const load = (): string =>
  loadavg()
    .map((value) => value.toFixed(1))
    .join(' ');
const progress = (line: string): void => {
  process.stderr.write(`${((performance.now() - start) / 1000).toFixed(0).padStart(5)} s  ${line} (load ${load()})\n`);
};

const cluster = await connectCluster(values.kube, values.registry, values.base);
try {
  process.stdout.write(
    `${cpus().length} cores (${cpus()[0]?.model ?? arch()}), ${(totalmem() / 2 ** 30).toFixed(0)} GiB, Node ${process.version}.\n` +
      `The whole cluster, the registry, the controller and the readers share these cores.\n`,
  );
  for (const name of chosen) {
    progress(`${name} begins`);
    process.stdout.write(`\n${table(name, await parts[name](cluster, progress), 'BinderHub')}\n`);
  }
  const findings = takeFindings();
  for (const finding of findings) process.stdout.write(`a planted credential was seen: ${finding}\n`);
} finally {
  await cluster.close();
}
