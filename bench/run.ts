import { arch, cpus, totalmem } from 'node:os';
import { parseArgs } from 'node:util';
import { missingAssets } from '../test/support/api-server.ts';
import { calls } from './parts/calls.ts';
import { recovery } from './parts/recovery.ts';
import { rush } from './parts/rush.ts';
import { surprises } from './parts/surprises.ts';
import { throughput } from './parts/throughput.ts';
import { FULL, QUICK } from './plan.ts';
import { table } from './statistics.ts';

const parts = { throughput, calls, rush, recovery, surprises };
type Part = keyof typeof parts;

const USAGE = `npm run bench -- [--quick] [--repetitions N] [PART…]
Measures the controller on a real kube-apiserver with the stock controller manager and an instant test kubelet.
Parts: ${Object.keys(parts).join(', ')}; all of them when none is named. KUBEBUILDER_ASSETS names the servers' folder.
`;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    quick: { type: 'boolean', default: false },
    repetitions: { type: 'string' },
    help: { type: 'boolean', default: false },
  },
});
const wrong = positionals.filter((name) => !Object.hasOwn(parts, name));
const missing = missingAssets(process.env.KUBEBUILDER_ASSETS);
if (values.help || wrong.length > 0 || missing !== undefined) {
  process.stderr.write(values.help ? USAGE : `${missing ?? `There is no part called ${wrong.join(' or ')}`}\n${USAGE}`);
  process.exit(values.help ? 0 : 2);
}

const base = values.quick ? QUICK : FULL;
const plan = values.repetitions === undefined ? base : { ...base, repetitions: Number(values.repetitions) };
const chosen = (positionals.length === 0 ? Object.keys(parts) : positionals) as Part[];
const start = performance.now();
const progress = (line: string): void => {
  process.stderr.write(`${((performance.now() - start) / 1000).toFixed(0).padStart(5)} s  ${line}\n`);
};

process.stdout.write(
  `${cpus().length} cores (${cpus()[0]?.model ?? arch()}), ${(totalmem() / 2 ** 30).toFixed(0)} GiB, Node ${process.version}.\n` +
    `Every process shares these cores: etcd, kube-apiserver, controller manager, kubelet, driver, controller.\n` +
    `Several repetitions: the median, and the least and the most. A ratio is of two neighbours in one run.\n`,
);
for (const name of chosen) {
  progress(`${name} begins`);
  process.stdout.write(`\n${table(name, await parts[name](plan, progress))}\n`);
}
