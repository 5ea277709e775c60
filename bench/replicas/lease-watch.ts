import { pino } from 'pino';
import type { KubeClient } from '../../src/storage/kubernetes/kube-client.ts';
import { Reflector } from '../../src/storage/kubernetes/reflector.ts';
import { type Lease, Leases } from '../../src/storage/kubernetes/resources.ts';
import { aborted } from '../../src/util/sleep.ts';

export interface Holding {
  /** The name of the pod; empty for nobody. */
  readonly holder: string;
  /** `performance.now()` */
  readonly at: number;
}

/** Who held the Lease when, as the API server told it. */
export class LeaseWatch {
  readonly history: Holding[] = [];
  readonly #stop = new AbortController();
  readonly #work: Promise<void>;
  #changed = Promise.withResolvers<void>();

  constructor(client: KubeClient, namespace: string) {
    const reflector = new Reflector<Lease, { uid: string; resourceVersion: string }>({
      client,
      resource: Leases,
      select: { namespace },
      project: ({ metadata, spec }) => {
        this.#note((spec?.holderIdentity ?? '').replace(/_[^_]*$/, ''));
        return { uid: metadata?.uid ?? '', resourceVersion: metadata?.resourceVersion ?? '' };
      },
      onChange: () => undefined,
      logger: pino({ level: 'silent' }),
    });
    this.#work = reflector.run(this.#stop.signal);
  }

  get holder(): string {
    return this.history.at(-1)?.holder ?? '';
  }

  /** Who held it at that time. */
  at(time: number): string {
    return this.history.findLast(({ at }) => at <= time)?.holder ?? '';
  }

  /** Milliseconds since `since` until somebody other than `before` holds it; undefined when nobody does in time. */
  async nextLeader(before: string, since: number, timeoutMs: number): Promise<number | undefined> {
    const signal = AbortSignal.timeout(timeoutMs);
    while (!signal.aborted) {
      const next = this.history.find(({ holder, at }) => at > since && holder !== '' && holder !== before);
      if (next !== undefined) return next.at - since;
      await Promise.race([this.#changed.promise, aborted(signal)]);
    }
    return undefined;
  }

  async close(): Promise<void> {
    this.#stop.abort();
    await this.#work;
  }

  #note(holder: string): void {
    if (this.history.at(-1)?.holder === holder) return;
    this.history.push({ holder, at: performance.now() });
    this.#changed.resolve();
    this.#changed = Promise.withResolvers<void>();
  }
}
