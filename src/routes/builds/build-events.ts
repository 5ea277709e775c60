import { z } from '@hono/zod-openapi';
import { pinned } from '../../domain/image/image-reference.ts';
import { type BuildEvent, isBuildOver } from '../../domain/build/build.ts';
import { BUILD_PHASES } from './build-state.ts';
import { eventFrame } from '../server/streams/event-frame.ts';
import { eventId, type StreamFormat } from '../server/streams/pulled-stream.ts';

/** Characters of a stream that are sent at once. */
export const BATCH = 16 * 1024;

const PhaseData = z.object({
  phase: z.enum(BUILD_PHASES),
  message: z.string(),
  position: z.int().optional().meta({ description: 'Place in the queue, from 1.' }),
});
const LogData = z.object({
  line: z.int().meta({ description: 'From 1.' }),
  phase: z.string().nullable().meta({ description: 'The word of repo2docker, where the line has one.' }),
  text: z.string(),
});
const ReadyData = z.object({
  message: z.string(),
  image: z.string().meta({ description: 'With its tag.' }),
  image_reference: z.string().meta({ description: 'By its digest.' }),
  image_digest: z.string(),
  cached: z.boolean(),
});
const EndData = z.object({ reason: z.string(), message: z.string() });
type BuildEventData = z.output<typeof PhaseData | typeof LogData | typeof ReadyData | typeof EndData>;

export const BuildEventFrame = z
  .union([
    eventFrame(['phase'], PhaseData),
    eventFrame(['log'], LogData),
    eventFrame(['ready'], ReadyData),
    eventFrame(['failed', 'cancelled'], EndData),
  ])
  .meta({ id: 'BuildEvent' });

/** The events of a build as our own clients read them: by type, with an id to go on from. */
export const BUILD_EVENTS: StreamFormat<BuildEvent> = {
  format: (event) =>
    `id: ${eventId(event.id)}\r\nevent: ${event.type}\r\ndata: ${JSON.stringify(dataOf(event))}\r\n\r\n`,
  isLast: isBuildOver,
  batch: BATCH,
  keepAlive: ': keep-alive\r\n',
};

function dataOf(event: BuildEvent): BuildEventData {
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
