import { pinned } from '../../domain/image/image-reference.ts';
import { type BuildEvent, isBuildOver } from '../../domain/build/build.ts';
import { eventId, type StreamFormat } from '../server/streams/pulled-stream.ts';

/** Characters of a stream that are sent at once. */
export const BATCH = 16 * 1024;

/** The events of a build as our own clients read them: by type, with an id to go on from. */
export const BUILD_EVENTS: StreamFormat<BuildEvent> = {
  format: (event) =>
    `id: ${eventId(event.id)}\r\nevent: ${event.type}\r\ndata: ${JSON.stringify(dataOf(event))}\r\n\r\n`,
  isLast: isBuildOver,
  batch: BATCH,
  keepAlive: ': keep-alive\r\n',
};

function dataOf(event: BuildEvent): object {
  switch (event.type) {
    case 'phase': {
      const { phase, message, position } = event;
      return { phase, message, ...(position === undefined ? {} : { position }) };
    }
    case 'log': {
      const { line, phase, text } = event;
      return { line, phase, text };
    }
    case 'ready': {
      const { message, image, digest, cached } = event;
      return { message, image, image_reference: pinned(image, digest), image_digest: digest, cached };
    }
    case 'failed':
    case 'cancelled': {
      const { reason, message } = event;
      return { reason, message };
    }
  }
}
