import { spawn } from 'node:child_process';
import { startSetting } from './setting.ts';
import { inFlight } from './in-flight.ts';
import { readFileSync } from 'node:fs';
const s = await startSetting();
const child = spawn(process.execPath, ['--cpu-prof', '--cpu-prof-dir=/tmp/lw/prof', 'src/main.ts', 'serve', '--config', s.controller.configFile], { stdio: 'inherit' });
await new Promise(r => setTimeout(r, 3000));
const cpu = () => { const f = readFileSync(`/proc/${child.pid}/stat`, 'utf8').split(') ')[1].split(' '); return (Number(f[11]) + Number(f[12])) * 10; };
const N = Number(process.argv[2] ?? 300);
for (let round = 0; round < 2; round++) {
const c0 = cpu(); const t0 = performance.now();
await inFlight(16, Array.from({ length: N }, (_, i) => `u${round}-${i}`), async (u) => { await s.controller.api.create(u); for await (const _ of s.controller.api.events(u)) void _; });
console.log('spawn/s', N / ((performance.now() - t0) / 1000), 'cpu ms/spawn', (cpu() - c0) / N);
}
child.kill('SIGTERM'); await new Promise(r => child.once('exit', r));
await s.close();
process.exit(0);
