import { setTimeout as delay } from 'node:timers/promises';
import type { V1Pod } from '@kubernetes/client-node';
import { buildObjectNames } from '../../src/domain/lab/object-names.ts';
import { labSlug } from '../../src/domain/names.ts';
import { Pods } from '../../src/storage/kubernetes/resources.ts';
import type { LabView } from '../../test/support/lab-api.ts';
import type { Plan, Progress } from '../plan.ts';
import { BAD_IMAGE } from '../images.ts';
import { type Setting, startSetting } from '../setting.ts';
import { milliseconds, quantile, type Row } from '../statistics.ts';

const POLL_MS = 2;
const EVICTED: V1Pod['status'] = {
  phase: 'Failed',
  reason: 'Evicted',
  message: 'The node was low on resource: memory.',
};

/** What happens behind the controller's back, and how soon its answers say so. */
export async function surprises(plan: Plan, progress: Progress): Promise<Row[]> {
  const setting = await startSetting();
  try {
    setting.controller.start();
    await setting.controller.firstAnswer();
    const deleted: number[] = [];
    const evicted: number[] = [];
    const bad: number[] = [];
    for (let index = 0; index < plan.surprises; index += 1) {
      deleted.push(
        await surprise(setting, `deleted-${index}`, (pod) =>
          setting.client.delete(Pods, pod, { gracePeriodSeconds: 0 }),
        ),
      );
      evicted.push(
        await surprise(setting, `evicted-${index}`, (pod) =>
          setting.client.patch(Pods, pod, { status: EVICTED }, { subresource: 'status' }),
        ),
      );
      const start = performance.now();
      const { last } = await setting.controller.api.spawn(`bad-image-${index}`, BAD_IMAGE);
      if (last?.type !== 'failed') throw new Error(`A bad image ended in ${last?.type}: ${last?.message}`);
      bad.push(performance.now() - start);
    }
    progress(`surprises: ${plan.surprises} of each kind`);
    return [
      { what: 'status after a pod was deleted', seen: describe(deleted), aim: '1 s', peer: 'up to 300 s' },
      { what: 'status after a pod was evicted', seen: describe(evicted), aim: '1 s', peer: 'up to 300 s' },
      { what: 'a bad image is reported', seen: describe(bad), aim: '5 s', peer: '600 s' },
    ];
  } finally {
    await setting.close();
  }
}

/** Milliseconds from the answer to `strike` until the lab's state no longer says running. */
async function surprise(
  { controller, config }: Setting,
  username: string,
  strike: (pod: { namespace: string; name: string }) => Promise<unknown>,
): Promise<number> {
  const { last } = await controller.api.spawn(username);
  if (last?.type !== 'complete') throw new Error(`${username}: ${last?.type} ${last?.message}`);
  const key = { username, servername: '' };
  const { namespace, pod } = buildObjectNames(key, { namespace: `${config.lab.namespacePrefix}-${labSlug(key)}` });
  await strike({ namespace, name: pod });
  const start = performance.now();
  let lab: LabView | undefined;
  do {
    lab = await controller.api.get(username);
    if (performance.now() - start > 60_000) throw new Error(`${username} is still ${lab?.status}`);
    await delay(POLL_MS);
  } while (lab?.status !== 'failed');
  return performance.now() - start;
}

function describe(values: readonly number[]): string {
  return `p50 ${milliseconds(quantile(values, 0.5))}, most ${milliseconds(Math.max(...values))}`;
}
