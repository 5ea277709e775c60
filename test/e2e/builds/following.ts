import { timed, took, type Transcript } from '../transcript.ts';
import type { BuildStreamEvent } from './builds-api.ts';
import type { Labwright } from './labwright.ts';
import type { BuildScene } from './setting.ts';

const LONG_MS = 300_000;
const PHASES = ['queued', 'starting', 'scheduling', 'pulling', 'fetching', 'building', 'pushing', 'confirming'];

/** One reading of a build's events. */
export interface Following {
  readonly events: readonly BuildStreamEvent[];
  readonly last: BuildStreamEvent | undefined;
}

/** Reads the events of a build to their end, or until `isEnough`. Says the phases, and not the log. */
export async function follow(
  { transcript }: BuildScene,
  { builds }: Labwright,
  id: string,
  options: { lastEventId?: string | undefined; isEnough?: (event: BuildStreamEvent) => boolean; quiet?: boolean } = {},
): Promise<Following> {
  const events: BuildStreamEvent[] = [];
  const { lastEventId, isEnough, quiet = false } = options;
  for await (const event of builds.events(id, { lastEventId, signal: AbortSignal.timeout(LONG_MS) })) {
    if (event.type !== 'log' && !quiet) transcript.say(`  ${describe(event)}`);
    events.push(event);
    if (isEnough?.(event) === true) break;
  }
  return { events, last: events.at(-1) };
}

export function describe(event: BuildStreamEvent | undefined): string {
  if (event === undefined) return 'no event';
  const { type, phase, line, message, text, reason } = event;
  return [type, phase, line, reason, message ?? text?.trimEnd()].filter((word) => word !== undefined).join(' ');
}

export function logOf(events: readonly BuildStreamEvent[]): string {
  return linesOf(events)
    .map(({ text = '' }) => (text.endsWith('\n') ? text : `${text}\n`))
    .join('');
}

export function linesOf(events: readonly BuildStreamEvent[]): BuildStreamEvent[] {
  return events.filter(({ type }) => type === 'log');
}

/** The rules of every stream that was read from its beginning to its end, in one piece or in several. */
export function holdStream(transcript: Transcript, what: string, events: readonly BuildStreamEvent[]): void {
  const lines = linesOf(events);
  const isCounted = lines.every(({ line }, at) => line === at + 1);
  transcript.hold(`${what}: every line once and in order`, lines.length > 0 && isCounted, `${lines.length} lines`);
  const ends = events.filter(({ type }) => ['ready', 'failed', 'cancelled'].includes(type));
  transcript.hold(`${what}: one terminal event, the last`, ends.length === 1 && ends[0] === events.at(-1));
  const ids = new Set(events.map(({ id }) => id));
  transcript.hold(`${what}: no event twice`, ids.size === events.length);
  const phases = events.filter(({ type }) => type === 'phase').map(({ phase }) => PHASES.indexOf(phase ?? ''));
  const isForward = phases.every((phase, at) => phase >= 0 && phase >= (phases[at - 1] ?? 0));
  transcript.hold(`${what}: its phases only go forward`, isForward && phases.length > 0);
}

/** Asks for a build and follows it to its end. */
export async function build(
  scene: BuildScene,
  repository: string,
  options: { labwright?: Labwright; ref?: string; path?: string } = {},
) {
  const { labwright = scene.labwright, ...target } = options;
  const { transcript } = scene;
  const answer = await timed(() => labwright.builds.request({ repository, ...target }));
  const { status, text, state } = answer.result;
  transcript.hold(`${repository} is asked for and begins`, status === 201, `${status} after ${took(answer.ms)}`);
  if (status !== 201) throw new Error(`The build did not begin: ${status} ${text}`);
  const { result, ms } = await timed(() => follow(scene, labwright, state.id));
  transcript.say(`  ${result.last?.type ?? 'no end'} after ${took(ms)}`);
  return { ...result, id: state.id, ms, state: (await labwright.builds.get(state.id)).state };
}

/** The build is ready, and what it says of its image is what the registry says. */
export async function holdReady(
  { transcript, registry }: BuildScene,
  what: string,
  { last, state }: { last: BuildStreamEvent | undefined; state: { image: string; image_digest: string | null } },
): Promise<void> {
  transcript.hold(`${what} is ready`, last?.type === 'ready', describe(last));
  const digest = await registry.digestOf(state.image);
  const isSame = digest !== undefined && digest === last?.image_digest && digest === state.image_digest;
  transcript.hold(`${what} has the digest that the registry has`, isSame, `${digest ?? 'none'}`);
}
