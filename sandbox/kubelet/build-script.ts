import type { V1Pod } from '@kubernetes/client-node';
import { readFileSync } from 'node:fs';
import { imageOfBuild } from './build-pod.ts';
import type { FaultPlan } from './fault-plan.ts';

/** What a build does that nobody runs. */
export interface BuildScript {
  /** What it writes: a text is a line, its newline is added; bytes are written as they are. */
  readonly lines?: Iterable<string | Buffer> | AsyncIterable<string | Buffer>;
  /** Milliseconds before each line; default 0. */
  readonly delayMs?: number;
  /** Default 0. */
  readonly exitCode?: number;
  /** It pushes an image after its last line, if it has not failed by then; default true. */
  readonly push?: boolean;
  /** After its last line nothing happens any more. */
  readonly hang?: boolean;
  /** It has ended before anybody saw it running. */
  readonly exitBeforeRunning?: boolean;
}

const recordings = new Map<string, readonly string[]>();

/** repo2docker 2026.4 with `--json-logs` in a pod of a real cluster, building with buildah. */
function recorded(name: 'build' | 'failing-build', pod: V1Pod): readonly string[] {
  let lines = recordings.get(name);
  if (lines === undefined) {
    const text = readFileSync(new URL(`recordings/${name}.jsonl`, import.meta.url), 'utf8');
    lines = text.trimEnd().split('\n');
    recordings.set(name, lines);
  }
  const image = imageOfBuild(pod);
  return lines.map((line) => line.replaceAll('%IMAGE%', () => JSON.stringify(image).slice(1, -1)));
}

/** Faults that come while something runs; the build waits for them half-way. */
const INTERRUPTIONS = ['crash', 'oom', 'evict', 'vanish', 'nodeLost'] as const;

/**
 * What a build does unless a test says otherwise: a recorded log and what its faults make of it.
 *
 * @param buildMs how long all of it takes
 */
export function usualScript(pod: V1Pod, plan: FaultPlan, buildMs: number): BuildScript {
  if (plan.get('silent') !== undefined) return { hang: true };
  const fails = plan.get('buildFails') !== undefined;
  const all = recorded(fails ? 'failing-build' : 'build', pod);
  const delayMs = buildMs / all.length;
  if (INTERRUPTIONS.some((name) => plan.get(name) !== undefined)) {
    return { lines: all.slice(0, all.length / 2), delayMs, hang: true };
  }
  return fails ? { lines: all, delayMs, exitCode: 1 } : { lines: all, delayMs };
}
