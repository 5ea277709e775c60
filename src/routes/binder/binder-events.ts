import { z } from '@hono/zod-openapi';
import { pinned } from '../../domain/image/image-reference.ts';
import type { BuildEvent, BuildPhase, BuildState } from '../../domain/build/build.ts';
import { BATCH } from '../builds/build-events.ts';
import { digestOf } from '../builds/build-state.ts';
import { eventFrame } from '../server/streams/event-frame.ts';
import type { StreamFormat } from '../server/streams/pulled-stream.ts';
import { pythonObject } from '../server/streams/python-json.ts';

/** One object of BinderHub's stream; each event has its own order of the keys. */
const Data = z.object({
  message: z.string(),
  phase: z.string().optional().meta({ description: '`ready` and `failed` end the stream.' }),
  status_code: z.int().optional().meta({ description: 'Of a refusal: the status that it would have had.' }),
  reason: z.string().optional().meta({ description: 'Word for why a build has failed.' }),
  imageName: z.string().optional(),
  imageDigest: z.string().optional(),
  buildId: z.string().optional(),
  cached: z.boolean().optional(),
});
export type BinderEvent = Readonly<z.output<typeof Data>>;

export const BinderEventFrame = eventFrame(['message'], Data).meta({ id: 'BinderEvent' });

/** Words of repo2docker that its lines are forwarded with. Any other would end the stream for its reader, or mislead it. */
const LINE_PHASES: ReadonlySet<string> = new Set(['fetching', 'building', 'pushing']);

/** Where the build stands, as BinderHub has words for it. What its lines tell by themselves is not told twice. */
const STAGES: Readonly<Partial<Record<BuildPhase, string>>> = {
  queued: 'waiting',
  starting: 'waiting',
  scheduling: 'waiting',
  pulling: 'waiting',
  confirming: 'pushing',
};

export const WAITING: BinderEvent = { phase: 'waiting', message: 'Waiting for build to start...\n' };

/**
 * An EventSource whose reader does not close it asks again when the stream ends, and each question of a build that has failed
 * begins another one. It is told to wait for a day.
 */
const STAY_AWAY = 'retry: 86400000\n\n';

export const BINDER_EVENTS: StreamFormat<BinderEvent> = {
  format: (event) => `${event.phase === 'failed' ? STAY_AWAY : ''}${binderFrame(event)}`,
  isLast: ({ phase }) => phase === 'ready' || phase === 'failed',
  batch: BATCH,
  keepAlive: ':keepalive\n',
  // Its clients do not come back by themselves, and take an end without a last word for a failure of their own.
  cutShort: (why) =>
    binderFrame(
      why === 'stopping'
        ? refusedEvent(503, 'The build service is restarting. The build goes on: ask for it again in a moment.')
        : refusedEvent(500, 'Internal Server Error'),
    ),
};

/** A frame of the stream: no id and no type, since its clients look at the data alone. */
export function binderFrame(event: BinderEvent): string {
  return `data: ${pythonObject(event)}\n\n`;
}

export function refusedEvent(status: number, message: string): BinderEvent {
  return { phase: 'failed', status_code: status, message: withNewline(message) };
}

/** The one event about an image that was there. */
export function foundEvent({ spec, image }: BuildState, notice?: string): BinderEvent {
  return {
    phase: 'ready',
    imageName: image ?? spec.image,
    message: `Done! Found built image\n${notice === undefined ? '' : withNewline(notice)}`,
    imageDigest: digestOf(image) ?? undefined,
    buildId: spec.id,
    cached: true,
  };
}

/**
 * The events of a build in BinderHub's words, the first of them at once.
 *
 * @param notice what whoever asked has to know about what is built
 */
export async function* binderEvents(
  id: string,
  events: AsyncIterable<BuildEvent>,
  notice?: string,
): AsyncGenerator<BinderEvent> {
  yield WAITING;
  if (notice !== undefined) yield { phase: 'waiting', message: withNewline(notice) };
  for await (const event of events) {
    const said = binderEvent(id, event);
    if (said !== undefined) yield said;
  }
}

function binderEvent(id: string, event: BuildEvent): BinderEvent | undefined {
  switch (event.type) {
    case 'phase': {
      const phase = STAGES[event.phase];
      // That it waits has been said already, unless there is a place in the queue to tell.
      if (phase === undefined || (event.phase === 'queued' && event.position === undefined)) return undefined;
      return { phase, message: withNewline(event.message) };
    }
    case 'log': {
      // As repo2docker wrote it: a part of a line goes on in the next one.
      const message = event.text;
      if (event.phase === null) return { message };
      if (event.phase === 'unknown') return { phase: event.phase, message };
      return { message, phase: LINE_PHASES.has(event.phase) ? event.phase : 'building' };
    }
    case 'ready': {
      const { image, digest, cached } = event;
      const message = 'Done! Image built\n';
      return { phase: 'ready', message, imageName: pinned(image, digest), imageDigest: digest, buildId: id, cached };
    }
    case 'failed':
    case 'cancelled':
      return { phase: 'failed', message: withNewline(event.message), reason: event.reason, buildId: id };
  }
}

/** Terminals write the messages as they are. */
function withNewline(text: string): string {
  return /[\r\n]$/.test(text) ? text : `${text}\n`;
}
