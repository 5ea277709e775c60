import type { LabEvent } from '../../domain/lab/lab.ts';
import { eventId, pulledStream, type StreamFormat, type StreamSource } from '../server/streams/pulled-stream.ts';
import { pythonObject } from '../server/streams/python-json.ts';

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
  return `id: ${eventId(id)}\r\nevent: ${type}\r\ndata: ${pythonObject({ message, progress: shown })}\r\n\r\n`;
}
