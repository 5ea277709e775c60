/** What is so in one pod and not in the other. */
export interface Difference {
  /** The fact without its container. */
  readonly fact: string;
  /** The container that it is about; `pod` also for the lab itself. */
  readonly of: 'pod' | 'before' | 'sidecar';
  /** Name of an init container or a sidecar. */
  readonly container: string;
  /** In the other's pod. */
  readonly theirs: string | undefined;
  /** In Labwright's. */
  readonly ours: string | undefined;
}

export type Kind = 'better' | 'neutral' | 'lost';
/** What no hub may lose. */
export type Matter = 'home' | 'image' | 'size' | 'group' | 'env' | 'file' | 'other';

/** A kind of difference, explained once. */
export interface Rule {
  readonly name: string;
  readonly kind: Kind;
  readonly why: string;
  readonly holds: (difference: Difference) => boolean;
}

export function differenceOf(key: string, theirs: string | undefined, ours: string | undefined): Difference {
  const [, of, container = '', fact = key] = /^(before|sidecar) (\S+): (.*)$/s.exec(key) ?? [];
  return { fact, of: (of as 'before' | 'sidecar' | undefined) ?? 'pod', container, theirs, ours };
}

export function matterOf({ fact, of }: Difference): Matter {
  if (of !== 'pod') return 'other';
  if (fact.startsWith('mount /home')) return 'home';
  if (fact === 'image') return 'image';
  if (/^(?:limit|request) /.test(fact)) return 'size';
  if (fact === 'groups') return 'group';
  if (fact.startsWith('file ')) return 'file';
  return fact.startsWith('env ') ? 'env' : 'other';
}
