import { setTimeout as delay } from 'node:timers/promises';
import type { Plan, Progress } from '../plan.ts';
import { startSetting } from '../setting.ts';
import { type Row, spread } from '../statistics.ts';

/** Long enough for whatever a finished operation still does. */
const QUIET_MS = 300;

/** Kubernetes calls per first spawn, delete, and spawn in a kept namespace, counted by a proxy; watches held. */
export async function calls(plan: Plan, progress: Progress): Promise<Row[]> {
  const setting = await startSetting();
  try {
    const { controller, proxy } = setting.counted;
    controller.start();
    await controller.firstAnswer();
    await delay(1_000);
    const atStart = proxy.requests.openWatches.size;
    const count = async (work: () => Promise<unknown>): Promise<number> => {
      const since = performance.now();
      await work();
      await delay(QUIET_MS);
      return proxy.requests.calls(since).length;
    };
    const seen = { first: [] as number[], deleted: [] as number[], again: [] as number[] };
    for (let index = 0; index < plan.counted; index += 1) {
      const name = `user-${index}`;
      seen.first.push(await count(() => controller.api.spawn(name)));
      seen.deleted.push(await count(() => controller.api.delete(name)));
      seen.again.push(await count(() => controller.api.spawn(name)));
    }
    progress(`the first calls:\n${proxy.requests.describe().split('\n').slice(0, 40).join('\n')}`);
    return [
      { what: 'Kubernetes calls, first spawn', seen: spread(seen.first, String), aim: '11', peer: '14' },
      { what: 'Kubernetes calls, spawn in a kept namespace', seen: spread(seen.again, String), aim: '7' },
      { what: 'Kubernetes calls, delete', seen: spread(seen.deleted, String), aim: '5', peer: '6' },
      {
        what: `watches held, 0 labs and ${plan.counted} labs`,
        seen: `${atStart} and ${proxy.requests.openWatches.size}`,
        aim: '4',
        peer: '2 per spawn',
      },
    ];
  } finally {
    await setting.close();
  }
}
