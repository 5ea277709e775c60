import { inFlight } from '../in-flight.ts';
import { type CpuByProcess, describeCpu, perItem } from '../noise.ts';
import type { Plan, Progress } from '../plan.ts';
import { startSetting } from '../setting.ts';
import { milliseconds, percent, quantile, type Row, spread } from '../statistics.ts';

/** Closing time: every lab is deleted at the same moment. */
export async function rush(plan: Plan, progress: Progress): Promise<Row[]> {
  const samples: { p50: number; slowest: number; total: number; refused: number; noise: number; cpu: CpuByProcess }[] =
    [];
  for (let repetition = 0; repetition < plan.repetitions; repetition += 1) {
    const setting = await startSetting();
    try {
      const { api } = setting.controller;
      setting.controller.start();
      await setting.controller.firstAnswer();
      const users = Array.from({ length: plan.rush }, (_, index) => `user-${index}`);
      await inFlight(50, users, (name) => api.spawn(name));
      await setting.settled();
      setting.noise.begin();
      const { results, latencies, seconds } = await inFlight(plan.rush, users, (name) => api.delete(name));
      const used = setting.noise.end();
      const sample = {
        p50: quantile(latencies, 0.5),
        slowest: Math.max(...latencies),
        total: seconds * 1000,
        refused: results.filter((status) => status !== 204).length,
        noise: used.others,
        cpu: perItem(used.cpu, plan.rush),
      };
      progress(
        `${plan.rush} deletes at once: ${milliseconds(sample.total)}, ${sample.refused} not 204, others ${percent(sample.noise)}`,
      );
      samples.push(sample);
    } finally {
      await setting.close();
    }
  }
  const at = `${plan.rush} deletes at once`;
  return [
    {
      what: `${at}, errors`,
      seen: spread(
        samples.map(({ refused }) => refused),
        String,
      ),
      aim: '0',
      peer: '90 of 400',
    },
    {
      what: `${at}, slowest`,
      seen: spread(
        samples.map(({ slowest }) => slowest),
        milliseconds,
      ),
      aim: '2 s',
    },
    {
      what: `${at}, p50`,
      seen: spread(
        samples.map(({ p50 }) => p50),
        milliseconds,
      ),
    },
    { what: '  CPU of all processes per delete', seen: describeCpu(samples.map(({ cpu }) => cpu)) },
    {
      what: '  share of the machine others took',
      seen: spread(
        samples.map(({ noise }) => noise),
        percent,
      ),
    },
  ];
}
