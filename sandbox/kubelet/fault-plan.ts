import type { V1Pod } from '@kubernetes/client-node';
import { BUILD_USER_LABEL } from '../../src/domain/build/build-intent.ts';
import type { ParsedFault } from '../faults.ts';
import { isBuild } from './build-pod.ts';

export type FaultOf<Name extends ParsedFault['fault']> = Extract<ParsedFault, { fault: Name }>;

/** The faults of one pod: of each kind the first that matches it. */
export class FaultPlan {
  readonly #faults: readonly ParsedFault[];

  constructor(faults: readonly ParsedFault[]) {
    this.#faults = faults;
  }

  get isEmpty(): boolean {
    return this.#faults.length === 0;
  }

  get<Name extends ParsedFault['fault']>(name: Name): FaultOf<Name> | undefined {
    return this.#faults.find((fault): fault is FaultOf<Name> => fault.fault === name);
  }
}

/** Decides which faults a new pod has. It counts the pods that matched, for `every`. */
export class FaultBook {
  readonly #counts = new Map<ParsedFault, number>();
  #faults: readonly ParsedFault[];

  constructor(faults: readonly ParsedFault[]) {
    this.#faults = faults;
  }

  /** From now on; pods that are already under way keep theirs. */
  replace(faults: readonly ParsedFault[]): void {
    this.#faults = faults;
    this.#counts.clear();
  }

  planFor(pod: V1Pod): FaultPlan {
    return new FaultPlan(this.#faults.filter((fault) => matches(fault, pod) && this.#isTurn(fault)));
  }

  #isTurn(fault: ParsedFault): boolean {
    const count = (this.#counts.get(fault) ?? 0) + 1;
    this.#counts.set(fault, count);
    return count % (fault.match.every ?? 1) === 0;
  }
}

/** Faults that only builds can have. */
const OF_BUILDS: ReadonlySet<string> = new Set(['buildFails', 'pushFails', 'silent']);

function matches({ fault, match }: ParsedFault, pod: V1Pod): boolean {
  const { metadata, spec } = pod;
  const { annotations = {}, labels = {}, namespace } = metadata ?? {};
  const kind = isBuild(pod) ? 'build' : 'lab';
  const wantedKind = match.kind ?? (OF_BUILDS.has(fault) ? 'build' : undefined);
  if (wantedKind !== undefined && wantedKind !== kind) return false;
  const wanted: [string | undefined, string | undefined][] = [
    [match.username, kind === 'build' ? labels[BUILD_USER_LABEL] : annotations['labwright.dev/username']],
    [match.servername, annotations['labwright.dev/servername']],
    [match.namespace, namespace],
    [match.image, spec?.containers[0]?.image],
  ];
  return wanted.every(([pattern, value]) => pattern === undefined || fits(pattern, value ?? ''));
}

/** `*` in a pattern stands for any characters. */
function fits(pattern: string, value: string): boolean {
  const parts = pattern.split('*').map((part) => part.replaceAll(/[.+?^${}()|[\]\\]/g, '\\$&'));
  return new RegExp(`^${parts.join('.*')}$`, 's').test(value);
}
