import type { BuildPhase } from '../../../domain/build/build.ts';

/** A place in the stream of a build, as a reader sends it back. */
export interface BuildLogPosition {
  readonly id: string;
  /** Tells builds of one id apart. */
  readonly build: string;
  /** Which log counted the sequence, see `EventLog`. */
  readonly epoch: string;
  /** Of the event. */
  readonly sequence: number;
  /** Number of the last line that the reader has seen. */
  readonly line: number;
  /** How far the reader knows the build to be, see `rankOf`. */
  readonly rank: number;
}

/** What a container does, one after the other: no later process can see a build go back in these. */
const FORWARD: readonly BuildPhase[] = ['fetching', 'building', 'pushing', 'confirming'];

/** From 1 on for the phases that only go forward, 0 for all others. */
export function rankOf(phase: BuildPhase): number {
  return FORWARD.indexOf(phase) + 1;
}

/** `<build id>.<build>-<epoch>.<sequence>.<line>.<rank>` */
export function formatEventId(
  id: string,
  { build, epoch, sequence, line, rank }: Omit<BuildLogPosition, 'id'>,
): string {
  return `${id}.${build}-${epoch}.${sequence}.${line}.${rank}`;
}

/** What an event id says, or undefined when it is none of a build. */
export function parseBuildEventId(text: string | undefined): BuildLogPosition | undefined {
  const match = /^([\w-]{1,64})\.([0-9a-z]{1,16})-([0-9a-z_]{1,24})\.(\d{1,10})\.(\d{1,10})\.(\d)$/.exec(text ?? '');
  if (match === null) return undefined;
  const [, id = '', build = '', epoch = '', sequence, line, rank] = match;
  return { id, build, epoch, sequence: Number(sequence), line: Number(line), rank: Number(rank) };
}

/** The place that an event id names, where it is one of this very build. */
export function positionIn(text: string | undefined, id: string, build: string): BuildLogPosition | undefined {
  const position = parseBuildEventId(text);
  return position?.id === id && position.build === build ? position : undefined;
}
