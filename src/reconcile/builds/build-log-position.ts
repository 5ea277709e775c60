/** A place in the stream of a build, as a reader sends it back. */
export interface BuildLogPosition {
  readonly id: string;
  /** Tells builds of one id apart. */
  readonly build: string;
  /** Which log of which process counted the sequence. */
  readonly epoch: string;
  /** Of the event. */
  readonly sequence: number;
  /** Number of the last line that the reader has seen. */
  readonly line: number;
}

const PROCESS = Date.now().toString(36);
let logs = 0;

/** A word that no other log has: not in this process and in none before it. */
export function newEpoch(): string {
  logs += 1;
  return `${PROCESS}_${logs.toString(36)}`;
}

/** `<build id>.<build>-<epoch>.<sequence>.<line>` */
export function formatEventId(id: string, { build, epoch, sequence, line }: Omit<BuildLogPosition, 'id'>): string {
  return `${id}.${build}-${epoch}.${sequence}.${line}`;
}

/** What an event id says, or undefined when it is none of a build. */
export function parseBuildEventId(text: string | undefined): BuildLogPosition | undefined {
  const match = /^([\w-]{1,64})\.([0-9a-z]{1,16})-([0-9a-z_]{1,24})\.(\d{1,10})\.(\d{1,10})$/.exec(text ?? '');
  if (match === null) return undefined;
  const [, id = '', build = '', epoch = '', sequence, line] = match;
  return { id, build, epoch, sequence: Number(sequence), line: Number(line) };
}
