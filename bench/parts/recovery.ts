import { setTimeout as delay } from 'node:timers/promises';
import { inFlight } from '../in-flight.ts';
import type { Plan, Progress } from '../plan.ts';
import { type Setting, startSetting } from '../setting.ts';
import { milliseconds, percent, type Row, spread } from '../statistics.ts';

const PEER: Readonly<Record<number, { time: string; memory: string; calls: string }>> = {
  1000: { time: '10.5 s', memory: '178 MiB', calls: '3002' },
};

/** A controller starts and finds labs: how soon it knows them all, what it asks for that, what it weighs. */
export async function recovery(plan: Plan, progress: Progress): Promise<Row[]> {
  const setting = await startSetting();
  try {
    const rows: Row[] = [];
    let made = 0;
    for (const labs of plan.recovery) {
      await make(setting, made, labs);
      made = labs;
      rows.push(...(await measure(setting, labs, plan.starts, progress)));
    }
    return rows;
  } finally {
    await setting.close();
  }
}

async function make(setting: Setting, from: number, to: number): Promise<void> {
  if (from === to) return;
  const { controller } = setting;
  controller.start();
  await controller.firstAnswer();
  const users = Array.from({ length: to - from }, (_, index) => `user-${from + index}`);
  await inFlight(32, users, async (name) => {
    const { status, last } = await controller.api.spawn(name);
    if (last?.type !== 'complete') throw new Error(`${name}: ${status} ${last?.type} ${last?.message}`);
  });
  await setting.settled();
  await controller.kill();
}

async function measure(setting: Setting, labs: number, starts: number, progress: Progress): Promise<Row[]> {
  const times: number[] = [];
  const memory: number[] = [];
  const peak: number[] = [];
  setting.noise.begin();
  for (let start = 0; start < starts; start += 1) {
    const { controller } = setting;
    const since = performance.now();
    controller.start();
    const { running, ms } = await controller.firstAnswer(since);
    if (running.length !== labs) throw new Error(`${running.length} labs are known of ${labs}`);
    times.push(ms);
    await delay(2_000);
    memory.push(controller.memory().now);
    peak.push(controller.memory().peak);
    await controller.kill();
  }
  const noise = setting.noise.end().others;
  const { controller, proxy } = setting.counted;
  const since = performance.now();
  controller.start();
  await controller.firstAnswer();
  await delay(2_000);
  const asked = proxy.requests.calls(since).length;
  const watches = proxy.requests.openWatches.size;
  await controller.kill();
  progress(
    `${labs} labs: ${spread(times, milliseconds)}, ${asked} calls, ${watches} watches, others ${percent(noise)}`,
  );
  const peer = PEER[labs];
  const aims = labs === 1000;
  const mebibytes = (value: number): string => `${value.toFixed(0)} MiB`;
  return [
    {
      what: `start to first complete answer, ${labs} labs`,
      seen: spread(times, milliseconds),
      aim: aims ? '1 s' : '',
      peer: peer?.time ?? '',
    },
    { what: `  calls for that`, seen: String(asked), aim: aims ? '20' : '', peer: peer?.calls ?? '' },
    { what: `  watches held`, seen: String(watches), aim: '4' },
    {
      what: `  resident memory after 2 s`,
      seen: spread(memory, mebibytes),
      aim: aims ? '150 MiB' : '',
      peer: peer?.memory ?? '',
    },
    { what: `  highest resident memory`, seen: spread(peak, mebibytes) },
  ];
}
