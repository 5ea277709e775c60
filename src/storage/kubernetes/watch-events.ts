import type { KubernetesObject, V1Status } from '@kubernetes/client-node';
import type { Readable } from 'node:stream';
import { errorCode, KubeError, type Target } from './kube-error.ts';

export interface WatchEvent<T extends KubernetesObject> {
  readonly type: 'ADDED' | 'MODIFIED' | 'DELETED' | 'BOOKMARK';
  readonly object: T;
}

/** Longest line taken from a watch, in characters: etcd's own limit for an object is 1.5 MiB. */
const MAX_LINE = 8 * 1024 * 1024;

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
  body.setEncoding('utf8');
  let rest = '';
  try {
    for await (const chunk of body as AsyncIterable<string>) {
      const lines = (rest + chunk).split('\n');
      rest = lines.pop() ?? '';
      if (rest.length > MAX_LINE) throw broken(target, 'a line of the stream is too long');
      for (const line of lines) if (line !== '') yield parseEvent<T>(line, target);
    }
  } catch (cause) {
    if (signal.aborted) return;
    if (cause instanceof KubeError) throw cause;
    if (cause instanceof Error && errorCode(cause) === 'UND_ERR_BODY_TIMEOUT') {
      throw new KubeError(
        target,
        { status: 0, reason: 'Silent', message: 'nothing was heard for too long' },
        { cause },
      );
    }
    throw broken(target, cause instanceof Error ? cause.message : 'the stream broke', cause);
  } finally {
    body.destroy();
  }
  if (rest !== '') throw broken(target, 'the stream ended in the middle of an event');
}

function parseEvent<T extends KubernetesObject>(line: string, target: Target): WatchEvent<T> {
  let event: { type?: string; object?: unknown } | null;
  try {
    event = JSON.parse(line) as typeof event;
  } catch {
    // Without the cause: it quotes the line.
    throw broken(target, 'a line of the stream is not JSON');
  }
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

function broken(target: Target, message: string, cause?: unknown): KubeError {
  return new KubeError(target, { status: 0, reason: 'NoAnswer', message }, { cause });
}
