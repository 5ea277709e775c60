import { z } from 'zod';
import { duration, positiveDuration } from '../units.ts';

const MINUTE = 60_000;
const DAY = 24 * 60 * MINUTE;
const TIME_OF_DAY = /^([01]?\d|2[0-3]):([0-5]\d)$/;

const hours = z.strictObject({
  before: z
    .string()
    .regex(TIME_OF_DAY, { error: 'expected a time of day such as 09:00, in quotes' })
    .transform((text) => {
      const [, hour = '0', minute = '0'] = TIME_OF_DAY.exec(text) ?? [];
      return Number(hour) * 60 + Number(minute);
    })
    .describe('Time of day by which images are to be there, such as "09:00".'),
  timeZone: z
    .string()
    .refine(isTimeZone, { error: 'expected a time zone such as Europe/Berlin or UTC' })
    .default('UTC')
    .describe('Time zone of `before`.'),
  lead: positiveDuration
    .refine((ms) => ms <= DAY, { error: 'expected a day at most' })
    .default(60 * MINUTE)
    .describe('How long before that pulls begin.'),
});

/** Pulling images ahead. */
export const prepull = z.strictObject({
  pullsAtOnce: z
    .int()
    .min(1)
    .max(1000)
    .default(10)
    .describe('Nodes that pull at once. On each node one image is pulled at a time.'),
  perRegistry: z.int().min(1).max(1000).default(5).describe('How many of them pull from the same registry.'),
  mostUsed: z
    .int()
    .min(0)
    .max(100)
    .default(0)
    .describe(
      'How many of the images that most labs run at the moment are pulled ahead, too, though no source wants them.',
    ),
  timeout: duration
    .refine((ms) => ms >= MINUTE, { error: 'expected a minute at least' })
    .default(30 * MINUTE)
    .describe('How long the pull of one image may take.'),
  diskShare: z
    .number()
    .gt(0)
    .max(1)
    .default(0.5)
    .describe(
      'Share of the ephemeral storage of a node that images pulled ahead may take, unpacked, as far as their sizes are known. ' +
        'What is least important is left out.',
    ),
  window: hours
    .optional()
    .describe('Begin pulls only at a certain time of the day; a node is warmed in its first hour all the same.'),
});

function isTimeZone(text: string): boolean {
  try {
    new Intl.DateTimeFormat('en', { timeZone: text });
    return true;
  } catch {
    return false;
  }
}
