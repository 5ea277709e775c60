import { Floor } from '../floor.ts';
import { type Batch, inFlight } from '../in-flight.ts';
import { startSetting } from '../setting.ts';
import { decimal, milliseconds, percent, quantile, type Row, spread } from '../statistics.ts';
import { type CpuByProcess, describeCpu, perItem } from '../noise.ts';
import type { Plan, Progress } from '../plan.ts';

interface Sample {
  readonly floor: number;
  readonly floorP50: number;
  /** The same while no pod gets a node: what the API server alone can do. */
  readonly bareFloor: number;
  readonly bareP50: number;
  readonly rate: number;
  readonly p50: number;
  readonly p95: number;
  readonly cpu: number;
  readonly deleteP50: number;
  readonly deleteP95: number;
  readonly deleteCpu: number;
  /** Share of the machine that others took. */
  readonly noise: number;
  /** Processor time of every process of the run, per spawn. */
  readonly byProcess: CpuByProcess;
}

const PEER: Readonly<Record<number, string>> = { 1: 'p50 100 ms', 16: '22 (0.59 of its floor)' };

/**
 * Spawns per second from the POST to the `complete` event, against the floor, at several numbers in flight. Floor and
 * controller take turns on the same servers, so that a ratio is always of two neighbours.
 */
export async function throughput(plan: Plan, progress: Progress): Promise<Row[]> {
  const samples = new Map<number, Sample[]>();
  for (let repetition = 0; repetition < plan.repetitions; repetition += 1) {
    const setting = await startSetting();
    try {
      const { controller, client, config } = setting;
      const floor = new Floor(client, config);
      controller.start();
      await controller.firstAnswer();
      await inFlight(4, names('warm', 20), (name) => controller.api.spawn(name));
      await inFlight(4, names('warm', 20), (name) => floor.make(name));
      for (const [concurrency, count] of plan.throughput) {
        const floorFirst = repetition % 2 === 0;
        const measureFloor = async (): Promise<Batch<void>> => {
          const batch = await inFlight(concurrency, names(`f${concurrency}`, count), (name) => floor.make(name));
          await setting.settled();
          return batch;
        };
        let bare = floorFirst ? await measureFloor() : undefined;
        const users = names(`u${concurrency}`, count);
        const cpu = controller.cpuMs();
        setting.noise.begin();
        const spawns = await inFlight(concurrency, users, async (name) => {
          const { status, last } = await controller.api.spawn(name);
          if (last?.type !== 'complete') throw new Error(`${name}: ${status} ${last?.type} ${last?.message}`);
        });
        const spawnCpu = (controller.cpuMs() - cpu) / count;
        await setting.settled();
        const used = setting.noise.end();
        bare ??= await measureFloor();
        setting.kubelet('stopped');
        const pending = await inFlight(concurrency, names(`p${concurrency}`, count), (name) => floor.make(name));
        setting.kubelet('running');
        await setting.settled();
        const deleteCpu = controller.cpuMs();
        const deletes = await inFlight(concurrency, users, async (name) => {
          const status = await controller.api.delete(name);
          if (status !== 204) throw new Error(`DELETE ${name} answered ${status}`);
        });
        const sample: Sample = {
          floor: bare.perSecond,
          floorP50: quantile(bare.latencies, 0.5),
          bareFloor: pending.perSecond,
          bareP50: quantile(pending.latencies, 0.5),
          rate: spawns.perSecond,
          p50: quantile(spawns.latencies, 0.5),
          p95: quantile(spawns.latencies, 0.95),
          cpu: spawnCpu,
          deleteP50: quantile(deletes.latencies, 0.5),
          deleteP95: quantile(deletes.latencies, 0.95),
          deleteCpu: (controller.cpuMs() - deleteCpu) / count,
          noise: used.others,
          byProcess: perItem(used.cpu, count),
        };
        samples.set(concurrency, [...(samples.get(concurrency) ?? []), sample]);
        const others = percent(sample.noise);
        progress(
          `${concurrency} in flight: ${decimal(sample.rate)}/s, floor ${decimal(sample.floor)}/s, without kubelet ${decimal(sample.bareFloor)}/s, others ${others}`,
        );
      }
    } finally {
      await setting.close();
    }
  }
  return [...samples].flatMap(([concurrency, all]) => rows(concurrency, all));
}

function rows(concurrency: number, samples: readonly Sample[]): Row[] {
  const column = (key: Exclude<keyof Sample, 'byProcess'>): number[] => samples.map((sample) => sample[key]);
  const at = `${concurrency} in flight`;
  const ratios = samples.map(({ rate, floor }) => rate / floor);
  return [
    {
      what: `spawns per second, ${at}`,
      seen: spread(column('rate'), decimal),
      aim: concurrency === 16 ? '66' : '',
      peer: PEER[concurrency] ?? '',
    },
    { what: `  the floor, ${at}`, seen: spread(column('floor'), decimal), peer: concurrency === 16 ? '37' : '' },
    { what: `  share of the floor, ${at}`, seen: spread(ratios, decimal), aim: '0.85' },
    { what: `  spawn p50, ${at}`, seen: spread(column('p50'), milliseconds), aim: concurrency === 1 ? '30 ms' : '' },
    { what: `  spawn p95, ${at}`, seen: spread(column('p95'), milliseconds) },
    { what: `  floor p50, ${at}`, seen: spread(column('floorP50'), milliseconds) },
    {
      what: `  floor without a kubelet, ${at}`,
      seen: spread(column('bareFloor'), decimal),
      aim: concurrency === 16 ? '(57 to 85)' : '',
    },
    {
      what: `  its p50, ${at}`,
      seen: spread(column('bareP50'), milliseconds),
      aim: concurrency === 1 ? '(25 ms)' : '',
    },
    {
      what: `  controller CPU per spawn, ${at}`,
      seen: spread(column('cpu'), milliseconds),
      aim: '5 ms',
      peer: '24 ms',
    },
    { what: `  delete p50, ${at}`, seen: spread(column('deleteP50'), milliseconds), peer: '5.3 s' },
    { what: `  delete p95, ${at}`, seen: spread(column('deleteP95'), milliseconds) },
    { what: `  controller CPU per delete, ${at}`, seen: spread(column('deleteCpu'), milliseconds) },
    { what: '  CPU of all processes per spawn', seen: describeCpu(samples.map(({ byProcess }) => byProcess)) },
    { what: '  share of the machine others took', seen: spread(column('noise'), percent) },
  ];
}

function names(prefix: string, count: number): string[] {
  return Array.from({ length: count }, (_, index) => `${prefix}-${index}`);
}
