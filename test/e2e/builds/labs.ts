import { request } from 'undici';
import type { StreamEvent } from '../../support/lab-api.ts';
import { waitFor } from '../../support/wait-for.ts';
import { timed, took } from '../transcript.ts';
import type { BuildScene } from './setting.ts';

const LONG_MS = 300_000;

/** Asks for a lab from a repository. */
export async function createLab(
  { labwright, hub, transcript }: BuildScene,
  username: string,
  options: Readonly<Record<string, string>>,
): Promise<void> {
  const env = {
    JUPYTERHUB_SERVICE_PREFIX: `/user/${username}/`,
    JUPYTERHUB_USER: username,
    ...hub.environment(username),
  };
  const { result, ms } = await timed(() => labwright.builds.createLab(username, options, env));
  transcript.hold(`create ${username} from a repository answers 201`, result.status === 201, took(ms));
  if (result.status !== 201) throw new Error(`No lab: ${result.text}`);
}

/** The one event stream of a lab, to its end or until `isEnough`. */
export async function followLab(
  { labwright, transcript }: BuildScene,
  username: string,
  options: { lastEventId?: string | undefined; isEnough?: (event: StreamEvent) => boolean } = {},
): Promise<StreamEvent[]> {
  const events: StreamEvent[] = [];
  const { lastEventId, isEnough } = options;
  const signal = AbortSignal.timeout(LONG_MS);
  const stream = labwright.process.api.events(username, {
    signal,
    ...(lastEventId === undefined ? {} : { lastEventId }),
  });
  for await (const event of stream) {
    transcript.say(`  ${event.type} ${event.progress ?? ''} ${event.message}`);
    events.push(event);
    if (isEnough?.(event) === true) break;
  }
  return events;
}

/** The rules of a lab's stream that was read to its end, in one piece or in several. */
export function holdLabStream({ transcript }: BuildScene, username: string, events: readonly StreamEvent[]): void {
  const progress = events.flatMap((event) => event.progress ?? []);
  const isForward = progress.every((value, at) => value >= (progress[at - 1] ?? 0));
  transcript.hold(`${username}: progress never goes back`, isForward, progress.join(' '));
  const last = events.at(-1);
  const ends = events.filter(({ type }) => type === 'complete' || type === 'failed');
  transcript.hold(
    `${username}: one stream to one end`,
    last?.type === 'complete' && ends.length === 1,
    last?.message ?? '',
  );
}

/** JupyterLab answers, and shows its owner a file that came with the repository. */
export async function holdLab(
  { labwright, hub, transcript }: BuildScene,
  username: string,
  file: { readonly name: string; readonly content: string },
): Promise<void> {
  const url = (await labwright.process.api.get(username))?.internal_url ?? '';
  const headers = { authorization: `token ${hub.tokenOf(username)}` };
  const ask = async (path: string): Promise<string | undefined> => {
    try {
      const signal = AbortSignal.timeout(5_000);
      const { statusCode, body } = await request(`${url}${path}`, { headers, reset: true, signal });
      const text = await body.text();
      return statusCode === 200 ? text : undefined;
    } catch {
      return undefined;
    }
  };
  const { result, ms } = await timed(() => waitFor(`HTTP at ${url}`, 60_000, () => ask('api'), 100));
  transcript.hold(`${username} answers HTTP`, result.includes('version'), `${result}, ${took(ms)}`);
  const found = await ask(`static/${file.name}`);
  transcript.hold(`${username} has the file of the repository`, found === file.content, found?.trim());
}

export async function deleteLab({ labwright, transcript }: BuildScene, username: string): Promise<void> {
  const { result, ms } = await timed(() => labwright.process.api.delete(username));
  transcript.hold(`delete ${username} answers 204`, result === 204, `${result} after ${took(ms)}`);
}
