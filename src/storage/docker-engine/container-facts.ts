import { z } from 'zod';

/** What is looked at of `GET /containers/{id}/json`. */
const Inspected = z.object({
  Id: z.string(),
  Config: z.object({ Labels: z.record(z.string(), z.string()).nullish() }),
  State: z.object({
    Status: z.string(),
    OOMKilled: z.boolean().default(false),
    ExitCode: z.int().default(0),
    StartedAt: z.string().default(''),
    FinishedAt: z.string().default(''),
  }),
});
const Listed = z.array(
  z.object({
    Id: z.string(),
    State: z.string(),
    /** Seconds since the epoch. */
    Created: z.number(),
    Labels: z.record(z.string(), z.string()).nullish(),
  }),
);
const Event = z.object({ Type: z.string(), Action: z.string(), Actor: z.object({ ID: z.string() }) });

export type ContainerStatus = 'created' | 'running' | 'ended';

/** What is kept of a container. */
export interface ContainerFacts {
  readonly id: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly status: ContainerStatus;
  readonly oomKilled: boolean;
  readonly exitCode: number;
  /** Milliseconds since the epoch, by the engine's clock; null when it has not happened. */
  readonly startedAt: number | null;
  readonly finishedAt: number | null;
}

export type ListedContainer = Pick<ContainerFacts, 'id' | 'labels' | 'status'> & { readonly createdAt: number };

/** @throws {z.ZodError} the engine answers with something else */
export function parseContainer(answer: unknown): ContainerFacts {
  const { Id, Config, State } = Inspected.parse(answer);
  return {
    id: Id,
    labels: Config.Labels ?? {},
    status: statusOf(State.Status),
    oomKilled: State.OOMKilled,
    exitCode: State.ExitCode,
    startedAt: timeOf(State.StartedAt),
    finishedAt: timeOf(State.FinishedAt),
  };
}

export function parseList(answer: unknown): ListedContainer[] {
  return Listed.parse(answer).map(({ Id, State, Created, Labels }) => ({
    id: Id,
    labels: Labels ?? {},
    status: statusOf(State),
    createdAt: Created * 1000,
  }));
}

/** The container that an event is about; undefined when it is about something else. */
export function parseEvent(event: unknown): string | undefined {
  const { data } = Event.safeParse(event);
  // `exec_die` and the like are of processes that somebody else runs in it.
  return data?.Type === 'container' && !data.Action.startsWith('exec') ? data.Actor.ID : undefined;
}

/** The words of Docker and those of Podman that Docker does not have. */
function statusOf(word: string): ContainerStatus {
  switch (word) {
    case 'created':
    case 'configured':
    case 'initialized':
      return 'created';
    case 'exited':
    case 'stopped':
    case 'dead':
      return 'ended';
    default:
      return 'running';
  }
}

/** Go writes the year 1 for what has not happened. */
function timeOf(text: string): number | null {
  const time = Date.parse(text);
  return time > 0 ? time : null;
}
