import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { LabEvent } from '../../../src/domain/lab/lab.ts';
import type { ObservedIntent, ObservedLab } from '../../../src/domain/lab/observed.ts';
import type { LabTimings } from '../../../src/reconcile/labs/decide.ts';
import { LabEventReporter } from '../../../src/reconcile/labs/lab-events.ts';
import type { OperationLog } from '../../../src/reconcile/labs/operation-log.ts';
import { Operations } from '../../../src/reconcile/labs/operations.ts';
import { anyLab } from '../support/any-lab.ts';
import { anIntent, aNamespace, aPod, aSpec, CREATED } from '../support/observed.ts';

const TIMINGS: LabTimings = {
  patience: { machine: 300_000, image: 120_000, container: 60_000 },
  failedRetention: 3_600_000,
  namespaceRetention: 900_000,
  leftoverGrace: 300_000,
  clockSkew: 0,
};
const SLUG = 'rachel';
const NOBODY: ObservedLab = { intent: undefined, namespace: undefined, pod: undefined };
const FAILURE = { reason: 'Error', message: 'It ended.', at: CREATED, status: 'failed' } as const;

/** A replica that is shown one state of the cluster after another. */
class Replica {
  readonly operations = new Operations();
  readonly logs = new Set<OperationLog>();
  #shown = NOBODY;
  readonly #seen = new Set<string>();
  readonly #reporter = new LabEventReporter({
    cache: {
      observe: () => this.#shown,
      hasSeenPod: ({ spec }: ObservedIntent) => this.#seen.has(spec.spawnId),
    },
    operations: this.operations,
    timings: TIMINGS,
    clock: { now: () => CREATED + 1_000, monotonic: () => 1_000 },
  });

  nextLook(): number | undefined {
    return this.#reporter.nextLook(SLUG);
  }

  show(lab: Partial<ObservedLab>): OperationLog | undefined {
    this.#shown = { ...NOBODY, ...lab };
    if (lab.pod !== undefined) this.#seen.add(lab.pod.spawnId);
    const log = this.#reporter.report(SLUG)?.log;
    if (log !== undefined) this.logs.add(log);
    return log;
  }
}

/** Everything that is in the log now. */
async function read(log: OperationLog | undefined): Promise<LabEvent[]> {
  const events: LabEvent[] = [];
  const halt = new AbortController();
  setImmediate(() => halt.abort());
  for await (const event of log?.read(undefined, halt.signal) ?? []) events.push(event);
  return events;
}

const messages = (events: readonly LabEvent[]) => events.map(({ message }) => message);
const running = aPod({ phase: 'Running', ready: true, started: true, node: 'n' });

describe('what a replica tells of a lab', () => {
  it('whose pod does not go is told without any change of the pod', async () => {
    const replica = new Replica();
    const intent = anIntent({ deleting: true });
    const going = (goneBy: number) => ({
      intent,
      pod: aPod({ ...running, terminating: true, goneBy, node: 'node-7' }),
    });
    const log = replica.show(going(CREATED));
    expect(messages(await read(log))).toEqual(['Shutting down Kubernetes pod']);
    expect(replica.nextLook()).toBe(29_000);
    replica.show(going(CREATED - 29_000));
    expect(replica.nextLook()).toBeUndefined();
    expect(messages(await read(log)).at(-1)).toContain('its machine (node-7) does not confirm');
  });

  it('follows from what its cache shows, in the order of a spawn', async () => {
    const replica = new Replica();
    replica.show({ intent: anIntent(), namespace: aNamespace({ terminating: true }) });
    replica.show({ intent: anIntent(), namespace: aNamespace() });
    replica.show({ intent: anIntent(), namespace: aNamespace(), pod: aPod({ unschedulable: 'no room' }) });
    const log = replica.show({ intent: anIntent(), namespace: aNamespace(), pod: running });
    expect(messages(await read(log))).toEqual([
      'Starting lab creation for rachel',
      'Waiting for the namespace of an earlier lab to go',
      'Created Kubernetes objects for user lab',
      'The cluster has no room for the lab at the moment; it waits for a machine.',
      'Lab Kubernetes pod started for rachel',
    ]);
  });

  it('is nothing of a failure before that is noted in the cluster, and then its reason', async () => {
    const replica = new Replica();
    const ended = aPod({ phase: 'Failed' });
    expect((await read(replica.show({ intent: anIntent(), pod: ended }))).map(({ type }) => type)).not.toContain(
      'failed',
    );
    const events = await read(replica.show({ intent: anIntent({ failure: FAILURE }), pod: ended }));
    expect(events.slice(-2)).toMatchObject([
      { type: 'error', message: 'It ended.' },
      { type: 'failed', message: 'Lab spawn failed: It ended.' },
    ]);
  });

  it('is at first that the image is not the one that was asked for', async () => {
    const replica = new Replica();
    const { image } = aSpec();
    const spec = aSpec({ image: { ...image, asked: 'example.org/lab:1@sha256:old' } });
    const log = replica.show({ intent: anIntent({ spec }), namespace: aNamespace() });
    expect(messages(await read(log))[1]).toBe(
      `example.org/lab:1@sha256:old is not offered any more; its tag stands for another image now: ${image.reference}`,
    );
  });

  it('is the end of a delete when the lab is gone, or when another one is there already', async () => {
    for (const after of [NOBODY, { intent: anIntent({ spec: aSpec({ spawnId: 'next' }), uid: 'intent-2' }) }]) {
      const replica = new Replica();
      const log = replica.show({ intent: anIntent({ deleting: true }), pod: running });
      replica.show(after);
      const events = await read(log);
      expect(messages(events)).toContain('Shutting down Kubernetes pod');
      expect(events.at(-1)).toMatchObject({ type: 'complete', message: 'Lab for rachel deleted' });
    }
  });

  it('has one end for each spawn and each delete, whatever the cluster shows and however much of it was missed', async () => {
    const spawns = fc.constantFrom('one', 'two', 'three');
    const steps = fc.array(fc.tuple(anyLab, spawns), { minLength: 1, maxLength: 12 });
    await fc.assert(
      fc.asyncProperty(steps, async (shown) => {
        const replica = new Replica();
        for (const [{ intent, ...rest }, spawnId] of shown) {
          const named = intent === undefined ? undefined : { ...intent, spec: { ...intent.spec, spawnId } };
          const times = 1 + (spawnId.length % 2);
          for (let time = 0; time < times; time += 1) replica.show({ intent: named, ...rest });
        }
        replica.show(NOBODY);
        for (const log of replica.logs) {
          const events = await read(log);
          const ends = events.filter(({ type }) => type === 'complete' || type === 'failed');
          expect(ends).toHaveLength(1);
          expect(events.at(-1)).toBe(ends[0]);
          const progress = events.flatMap((event) => event.progress ?? []);
          expect(progress).toEqual(progress.toSorted((a, b) => a - b));
        }
      }),
      { numRuns: 200 },
    );
  });
});
