import type { V1Job } from '@kubernetes/client-node';
import { pino } from 'pino';
import { parseBuild } from '../../../src/domain/build/build-intent.ts';
import type { BuildSpec } from '../../../src/domain/build/build.ts';
import { type Cached, Reflector } from '../../../src/storage/kubernetes/reflector.ts';
import { Jobs } from '../../../src/storage/kubernetes/resources.ts';
import type { BuildSetting } from './setting.ts';

interface SeenJob extends Cached {
  readonly spec: BuildSpec;
  readonly isReleased: boolean;
}

/** Sees every state that the Jobs of builds are ever in, by a watch of its own beside the controllers. */
export class JobWatch {
  /** The builds that may run now, after each change. */
  readonly moments: (readonly BuildSpec[])[] = [];
  /** In the order in which they were released. */
  readonly released: string[] = [];
  readonly #reflector: Reflector<V1Job, SeenJob>;
  readonly #halt = new AbortController();
  readonly #running: Promise<void>;

  static async start(setting: BuildSetting): Promise<JobWatch> {
    const watch = new JobWatch(setting);
    await watch.#reflector.ready;
    return watch;
  }

  private constructor({ cluster, namespace }: BuildSetting) {
    this.#reflector = new Reflector<V1Job, SeenJob>({
      client: cluster.client,
      resource: Jobs,
      select: { namespace },
      logger: pino({ level: 'silent' }),
      project: (job) => {
        const build = parseBuild(job);
        if (build === undefined) return undefined;
        // One with a result has ended by itself or is held back before its place is given to another; Kubernetes counts
        // that a moment later.
        const isOver = build.finished !== null || build.result !== null || build.terminating;
        const isReleased = !build.suspended && !isOver;
        return { uid: build.uid, resourceVersion: build.resourceVersion, spec: build.spec, isReleased };
      },
      onChange: (_key, now, before) => {
        if (now?.isReleased === true && before?.isReleased !== true) this.released.push(now.spec.id);
        const running = [...this.#reflector.values()].filter(({ isReleased }) => isReleased);
        this.moments.push(running.map(({ spec }) => spec));
      },
    });
    this.#running = this.#reflector.run(this.#halt.signal);
  }

  /** Most builds that ran at one moment, all together or with something in common. */
  most(key: (spec: BuildSpec) => string = () => ''): number {
    let most = 0;
    for (const moment of this.moments) {
      const counts = new Map<string, number>();
      for (const spec of moment) counts.set(key(spec), (counts.get(key(spec)) ?? 0) + 1);
      most = Math.max(most, ...counts.values());
    }
    return most;
  }

  async stop(): Promise<void> {
    this.#halt.abort();
    await this.#running;
  }
}
