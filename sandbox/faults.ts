import { parse } from 'yaml';
import { z } from 'zod';

/** As long as a timer can be. */
const seconds = z.number().min(0).max(2_147_483);
const match = z
  .strictObject({
    username: z.string().optional(),
    servername: z.string().optional(),
    namespace: z.string().optional(),
    image: z.string().optional(),
    /** What the pod is for; default: any, where the fault is not one of builds only. */
    kind: z.enum(['lab', 'build']).optional(),
    /** Every so many-th pod that matches; 1 is each. */
    every: z.int().min(1).optional(),
  })
  .default({});

const kinds = [
  z.strictObject({ fault: z.literal('unschedulable'), match, message: z.string().optional() }),
  z.strictObject({
    fault: z.literal('imagePull'),
    match,
    reason: z.enum(['notFound', 'unauthorized', 'transient']).default('notFound'),
    /** For `transient`: how many pulls fail before one works. */
    attempts: z.int().min(1).default(2),
  }),
  z.strictObject({ fault: z.literal('invalidImageName'), match }),
  z.strictObject({
    fault: z.literal('containerConfig'),
    match,
    message: z.string().default('secret "missing" not found'),
  }),
  z.strictObject({ fault: z.literal('containerStart'), match, message: z.string().optional() }),
  z.strictObject({ fault: z.literal('mount'), match, volume: z.string().default('home') }),
  z.strictObject({ fault: z.literal('initContainer'), match, exitCode: z.int().min(1).max(255).default(1) }),
  z.strictObject({
    fault: z.literal('crash'),
    match,
    after: seconds.default(0),
    exitCode: z.int().min(0).max(255).default(1),
  }),
  z.strictObject({ fault: z.literal('oom'), match, after: seconds.default(0) }),
  z.strictObject({ fault: z.literal('evict'), match, after: seconds.default(0) }),
  z.strictObject({ fault: z.literal('vanish'), match, after: seconds.default(0) }),
  z.strictObject({ fault: z.literal('nodeLost'), match, after: seconds.default(0) }),
  z.strictObject({ fault: z.literal('neverReady'), match }),
  z.strictObject({ fault: z.literal('succeed'), match }),
  z.strictObject({ fault: z.literal('fail'), match }),
  z.strictObject({ fault: z.literal('stuckTerminating'), match }),
  z.strictObject({ fault: z.literal('buildFails'), match }),
  z.strictObject({ fault: z.literal('pushFails'), match }),
  z.strictObject({ fault: z.literal('silent'), match }),
  z.strictObject({
    fault: z.literal('slow'),
    match,
    factor: z.number().min(0).default(10),
    seconds: seconds.default(0),
  }),
] as const;

const faultSchema = z.discriminatedUnion('fault', kinds);
const fileSchema = z.strictObject({ faults: z.array(faultSchema) });

/** Something that goes wrong with the pods it matches. Times are in seconds after the pod is ready. */
export type Fault = z.input<typeof faultSchema>;
export type ParsedFault = z.output<typeof faultSchema>;

/** Thrown for a faults file that cannot be used; the message names every place and what was expected there. */
export class FaultsError extends Error {
  override readonly name = 'FaultsError';
}

/**
 * Reads a faults file (docs/sandbox.md says what it may hold).
 *
 * @throws FaultsError
 */
export function parseFaults(text: string): ParsedFault[] {
  let document: unknown;
  try {
    document = parse(text);
  } catch (cause) {
    throw new FaultsError(`The faults file is not YAML: ${cause instanceof Error ? cause.message : ''}`, { cause });
  }
  const parsed = fileSchema.safeParse(document);
  if (parsed.success) return parsed.data.faults;
  throw new FaultsError(`The faults file is not valid:\n${z.prettifyError(parsed.error)}`, { cause: parsed.error });
}

/** Fills in what the faults given in code left out. @throws FaultsError */
export function completeFaults(faults: readonly Fault[]): ParsedFault[] {
  const parsed = z.array(faultSchema).safeParse(faults);
  if (parsed.success) return parsed.data;
  throw new FaultsError(`The faults are not valid:\n${z.prettifyError(parsed.error)}`, { cause: parsed.error });
}
