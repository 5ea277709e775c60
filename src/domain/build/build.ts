import type { Finding } from '../lab/reasons.ts';
import { Problem } from '../problem.ts';

/** Where a repository is kept, and so how its refs are resolved. The words are BinderHub's provider prefixes. */
export type RepositoryProvider = 'gh' | 'gl' | 'git' | 'gist' | 'zenodo';

/** A repository, written in one way: two spellings of one repository give equal values. */
export interface Repository {
  readonly provider: RepositoryProvider;
  /**
   * What repo2docker is given: `https://github.com/ada/notebooks`, `ssh://git@git.example.org/ada/notebooks.git`,
   * `10.5281/zenodo.3242074`. It never holds a password or a token.
   */
  readonly url: string;
}

/** A repository at one commit. */
export interface ResolvedRepository extends Repository {
  /** As it was asked for: a branch, a tag, a commit, or `HEAD`. */
  readonly ref: string;
  /** The full commit hash; for a DOI the version that the archive names. */
  readonly commit: string;
  /** There is no branch `ref`, and the commit is that of the default branch. */
  readonly isFallback?: boolean;
  /** What BinderHub would make names of (its `get_build_slug`), for the compatible naming scheme. */
  readonly binderSlug: string;
}

/** What whoever asked has to know about what is built; undefined where it is what was asked for. */
export function noticeOf({ isFallback = false, ref }: ResolvedRepository): string | undefined {
  return isFallback ? `There is no branch "${ref}" in the repository: its default branch is built.` : undefined;
}

/**
 * Everything about a build except secrets: the durable intent, an annotation of its Job. It is written once and never
 * changes.
 */
export interface BuildSpec {
  /** The first 40 hex digits (160 bits) of `key`: names the build to callers, and its Job. */
  readonly id: string;
  /** SHA-256 in hex over canonical repository, commit, path and the digest of the builder's configuration. */
  readonly key: string;
  readonly repository: ResolvedRepository;
  /** Directory inside the repository that is built, without slashes at its ends; `""` is the whole. */
  readonly path: string;
  /** Where the image goes, with a tag: `registry.example.org/labs/ada-notebooks:…`. */
  readonly image: string;
  /** Name of the user who asked first; limits count for them. */
  readonly requestedBy: string;
  /** It goes on even if nobody waits for it. */
  readonly detached: boolean;
  /** Milliseconds since the epoch. */
  readonly createdAt: number;
}

/** Where a build stands. The last three are terminal. */
export type BuildPhase =
  | 'queued'
  | 'starting'
  | 'scheduling'
  | 'pulling'
  | 'fetching'
  | 'building'
  | 'pushing'
  | 'confirming'
  | 'ready'
  | 'failed'
  | 'cancelled';

/** How a build ended. */
export type BuildResult = BuildOutcome & {
  /** Where it ran and since when; absent for one that never had its turn. */
  readonly ran?: {
    readonly executor: string;
    readonly node: string | null;
    /** Milliseconds since the epoch. */
    readonly startedAt: number | null;
  };
  /** Lines of its log when it ended: whoever tells readers of it on another replica tells them these first. */
  readonly lines?: number;
  /** Nothing was built: the image was in the registry when it was asked for. */
  readonly cached?: boolean;
};

type BuildOutcome =
  | {
      readonly status: 'ready';
      /** `sha256:…`, as the registry has confirmed it. */
      readonly digest: string;
      /** Milliseconds since the epoch. */
      readonly at: number;
    }
  | (Finding & { readonly status: 'failed' | 'cancelled'; readonly at: number });

/** What is known of one build at this moment. */
export interface BuildState {
  readonly spec: BuildSpec;
  readonly phase: BuildPhase;
  /** A machine word when it has failed, was cancelled, or something keeps it waiting. */
  readonly reason: string | null;
  /** One sentence that goes with `reason`. */
  readonly message: string | null;
  /** Place in the queue, from 1; null when it does not wait in it. */
  readonly position: number | null;
  /** `repository@sha256:…`, what labs start from; null before the registry has confirmed it. */
  readonly image: string | null;
  /** Nothing was built: the registry had the image already. */
  readonly cached: boolean;
  readonly executor: string | null;
  readonly node: string | null;
  /** Milliseconds since the epoch. */
  readonly startedAt: number | null;
  readonly finishedAt: number | null;
}

/** One entry of a build's event stream. `id` is opaque to readers; it is sent back as `Last-Event-ID`. */
export type BuildEvent =
  | {
      readonly id: string;
      readonly type: 'phase';
      readonly phase: BuildPhase;
      readonly message: string;
      readonly position?: number;
    }
  /** A line of the log. `line` counts from 1; `phase` is repo2docker's word, where the line has one. */
  | {
      readonly id: string;
      readonly type: 'log';
      readonly line: number;
      readonly phase: string | null;
      readonly text: string;
    }
  | {
      readonly id: string;
      readonly type: 'ready';
      readonly message: string;
      /** With its tag. */
      readonly image: string;
      readonly digest: string;
      readonly cached: boolean;
    }
  | { readonly id: string; readonly type: 'failed' | 'cancelled'; readonly reason: string; readonly message: string };

/** An event before it has its place in the stream. */
export type BuildNews = BuildEvent extends infer Each ? (Each extends BuildEvent ? Omit<Each, 'id'> : never) : never;

export function isBuildOver({ type }: Pick<BuildEvent, 'type'>): boolean {
  return type === 'ready' || type === 'failed' || type === 'cancelled';
}

/** A `Problem` with what a build was asked for, or with what it needs. */
export class BuildProblem extends Problem {
  override readonly name = 'BuildProblem';
}
