import type { KubernetesObject, V1Status } from '@kubernetes/client-node';
import type { Readable } from 'node:stream';
import { isSilence } from '../../util/http.ts';
import { jsonLines } from '../../util/json-lines.ts';
import { KubeError, type Target } from './kube-error.ts';

export interface WatchEvent<T extends KubernetesObject> {
  readonly type: 'ADDED' | 'MODIFIED' | 'DELETED' | 'BOOKMARK';
  readonly object: T;
}

/** Longest line taken from a watch, in characters: etcd's own limit for an object is 1.5 MiB. */
const LINES = { longest: 8 * 1024 * 1024, unfinished: 'the stream ended in the middle of an event' };

/**
 * Reads a watch stream: one JSON document a line.
 *
 * A stream that ends in the middle of a line, a line that is not an event and an `ERROR` event are errors of the watch;
 * the events before them have been delivered.
 */
export async function* readWatchEvents<T extends KubernetesObject>(
  body: Readable,
  target: Target,
  signal: AbortSignal,
): AsyncGenerator<WatchEvent<T>> {
  try {
    for await (const value of jsonLines(body, LINES)) yield asEvent<T>(value, target);
  } catch (cause) {
    if (signal.aborted) return;
    if (cause instanceof KubeError) throw cause;
    if (isSilence(cause)) throw broken(target, 'nothing was heard for too long', cause, 'Silent');
    throw broken(target, cause instanceof Error ? cause.message : 'the stream broke', cause);
  } finally {
    body.destroy();
  }
}

function asEvent<T extends KubernetesObject>(value: unknown, target: Target): WatchEvent<T> {
  const event = value as { type?: string; object?: unknown } | null;
  switch (event?.type) {
    case 'ADDED':
    case 'MODIFIED':
    case 'DELETED':
    case 'BOOKMARK':
      if (typeof event.object !== 'object' || event.object === null) break;
      return event as WatchEvent<T>;
    case 'ERROR': {
      const status = (event.object ?? {}) as V1Status;
      throw new KubeError(target, {
        status: status.code ?? 500,
        reason: status.reason ?? 'Unknown',
        message: status.message ?? 'the API server ended the watch with an error',
        details: status.details,
      });
    }
    default:
      break;
  }
  throw broken(target, 'the stream holds something that is not a watch event');
}

function broken(target: Target, message: string, cause?: unknown, reason = 'NoAnswer'): KubeError {
  return new KubeError(target, { status: 0, reason, message }, { cause });
}
