import { z } from '@hono/zod-openapi';
import type { LabEvent } from '../../domain/lab/lab.ts';
import { eventId, pulledStream, type StreamFormat, type StreamSource } from '../server/streams/pulled-stream.ts';
import { eventFrame } from '../server/streams/event-frame.ts';
import { pythonObject } from '../server/streams/python-json.ts';

const Data = z.object({
  message: z.string(),
  progress: z.int().min(1).max(100).optional().meta({ description: 'On events of the type `info` only.' }),
});
const TYPES = ['info', 'error', 'complete', 'failed'] as const satisfies readonly LabEvent['type'][];

export const LabEventFrame = eventFrame(TYPES, Data).meta({ id: 'LabEvent' });

const LAB_EVENTS: StreamFormat<LabEvent> = {
  format: formatEvent,
  isLast: ({ type }) => type === 'complete' || type === 'failed',
  keepAlive: ': keep-alive\r\n',
};

/**
 * A lab's events as the bytes of a `text/event-stream`.
 *
 * @returns undefined when there is no source
 */
export function eventStream(source: StreamSource<LabEvent>): ReadableStream<Uint8Array<ArrayBuffer>> | undefined {
  return pulledStream(source, LAB_EVENTS);
}

/** One event in the bytes of Nublado's server, with an id in front. */
function formatEvent({ id, type, message, progress }: LabEvent): string {
  const shown = progress !== undefined && progress > 0 ? Math.trunc(progress) : undefined;
  const data: z.output<typeof Data> = { message, progress: shown };
  return `id: ${eventId(id)}\r\nevent: ${type}\r\ndata: ${pythonObject(data)}\r\n\r\n`;
}
