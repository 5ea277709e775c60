import { once } from 'node:events';
import type { BuildEvent, BuildSpec, BuildState } from '../../../src/domain/build/build.ts';
import type { BuildRequest, BuildService } from '../../../src/reconcile/builds/build-service.ts';
import { aConfig, testApp } from '../support.ts';

export const BUILDS = '/labwright/builds/v1/builds';
export const BINDER = '/labwright/build';
export const BUILD_ID = '3f1c9a7e5b2d4f6081a3c5e7092b4d6f8a1c3e50';
export const COMMIT = '1a2b3c4d5e6f708192a3b4c5d6e7f8091a2b3c4d';
export const DIGEST = `sha256:${'ab'.repeat(32)}`;
export const TAGGED = `registry.example.org/labs/ada-notebooks:1a2b3c4d5e6f-${BUILD_ID}`;
export const PINNED = `registry.example.org/labs/ada-notebooks@${DIGEST}`;

/** The usual configuration, with builds. */
export const config = aConfig({
  builds: {
    registry: { host: 'registry.example.org' },
    builder: { image: 'registry.example.org/builder:1' },
  },
});

export function aBuildState(change: Partial<BuildState> = {}, spec: Partial<BuildSpec> = {}): BuildState {
  return {
    spec: {
      id: BUILD_ID,
      key: `${BUILD_ID}${'0'.repeat(24)}`,
      repository: {
        provider: 'gh',
        url: 'https://github.com/ada/notebooks',
        ref: 'main',
        commit: COMMIT,
        binderSlug: 'ada-notebooks',
      },
      path: '',
      image: TAGGED,
      requestedBy: 'ada',
      detached: false,
      createdAt: Date.UTC(2026, 10, 21, 12),
      ...spec,
    },
    phase: 'building',
    reason: null,
    message: null,
    position: null,
    image: null,
    cached: false,
    executor: 'cluster',
    node: 'node-1',
    startedAt: Date.UTC(2026, 10, 21, 12, 1),
    finishedAt: null,
    ...change,
  };
}

export const READY: Partial<BuildState> = { phase: 'ready', image: PINNED, finishedAt: Date.UTC(2026, 10, 21, 12, 9) };

export interface FakeBuilds extends BuildService {
  readonly requests: BuildRequest[];
  readonly cancelled: { readonly id: string; readonly by: string }[];
}

/** Builds in memory, each call answered at once; whoever asks for a build gets the first of them. */
export function fakeBuilds(
  states: readonly BuildState[] = [aBuildState()],
  change: Partial<BuildService> = {},
): FakeBuilds {
  const requests: BuildRequest[] = [];
  const cancelled: { id: string; by: string }[] = [];
  const get = (id: string) => states.find(({ spec }) => spec.id === id);
  return {
    requests,
    cancelled,
    ready: () => Promise.resolve(),
    isReady: () => true,
    health: () => ({ component: 'builds', ready: true }),
    outages: () => [],
    staleness: undefined,
    request(request) {
      requests.push(request);
      return Promise.resolve({ ...states[0]!, began: false });
    },
    list: ({ username, repository, phase } = {}) =>
      states.filter(
        (state) =>
          (username === undefined || state.spec.requestedBy === username) &&
          (repository === undefined || state.spec.repository.url === repository) &&
          (phase === undefined || state.phase === phase),
      ),
    get,
    find: (id) => Promise.resolve(get(id)),
    cancel: (id, by) => Promise.resolve(void cancelled.push({ id, by })),
    events: (id) => (get(id) === undefined ? undefined : inOrder(EVENTS)),
    log: (id) => Promise.resolve(get(id) === undefined ? undefined : inOrder(['one\n', 'two'])),
    ...change,
  };
}

/** The app with these builds. */
export function buildApp(builds: BuildService | undefined, deps: Partial<Parameters<typeof testApp>[0]> = {}) {
  return testApp({ config, builds, ...deps });
}

/** What a build tells that goes well. */
export const EVENTS: readonly BuildEvent[] = [
  { id: 'a-1', type: 'phase', phase: 'queued', message: 'Waiting for 2 other builds', position: 3 },
  { id: 'a-2', type: 'phase', phase: 'fetching', message: 'Fetching the repository' },
  { id: 'a-3', type: 'log', line: 1, phase: null, text: 'Picked Git content provider.\n' },
  { id: 'a-4', type: 'log', line: 2, phase: 'fetching', text: 'Cloning into Zoë\n' },
  { id: 'a-5', type: 'log', line: 3, phase: 'building', text: 'Step 1/5 : FROM x\n' },
  { id: 'a-6', type: 'phase', phase: 'confirming', message: 'Asking the registry' },
  { id: 'a-7', type: 'ready', message: 'The image is there', image: TAGGED, digest: DIGEST, cached: false },
];

export async function* inOrder<Item>(items: readonly Item[]): AsyncGenerator<Item> {
  for (const item of items) yield await Promise.resolve(item);
}

/** Gives its events, then waits until the signal aborts, and counts what it was asked for. */
export function endless(first: readonly BuildEvent[]) {
  const seen = { given: 0, ended: 0 };
  async function* events(_: string, __: string | undefined, signal: AbortSignal): AsyncGenerator<BuildEvent> {
    try {
      for (const event of first) {
        seen.given += 1;
        yield event;
      }
      if (!signal.aborted) await once(signal, 'abort');
    } finally {
      seen.ended += 1;
    }
  }
  return { seen, events };
}

export async function until(condition: () => boolean): Promise<void> {
  const deadline = performance.now() + 15_000;
  while (!condition()) {
    if (performance.now() > deadline) throw new Error('the condition did not come true');
    await new Promise((resolve) => setImmediate(resolve));
  }
}

export async function readChunk(reader: ReadableStreamDefaultReader<Uint8Array>): Promise<string> {
  const { value } = await reader.read();
  return new TextDecoder().decode(value);
}
