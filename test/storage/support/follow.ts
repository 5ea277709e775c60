import type { V1ConfigMap } from '@kubernetes/client-node';
import { pino } from 'pino';
import { onTestFinished } from 'vitest';
import { type Cached, Reflector, type ReflectorOptions } from '../../../src/storage/kubernetes/reflector.ts';
import { ConfigMaps } from '../../../src/storage/kubernetes/resources.ts';
import { type ScriptedOptions, startScripted } from './client.ts';
import type { Answer, Exchange } from './scripted-server.ts';

export interface KeptMap extends Cached {
  readonly value: string | undefined;
}

type Options = Partial<ReflectorOptions<V1ConfigMap, KeptMap>>;

/** An object as the server tells of it. */
export function aMap(name: string, version: number, { uid = `uid-${name}`, value = 'v' } = {}): V1ConfigMap {
  return { metadata: { namespace: 'ns', name, uid, resourceVersion: String(version) }, data: { value } };
}

/** The answer to a list: everything at one version. */
export function listOf(version: number, ...items: V1ConfigMap[]): Answer {
  return (exchange) => exchange.json({ metadata: { resourceVersion: String(version) }, items });
}

/** A watch on which nothing happens until the test says so. */
export const QUIET: Answer = (exchange) => void exchange.open();

/**
 * A reflector that follows a scripted collection: `lists` and `watches` are the answers to come, then `list` (an empty
 * one) and a quiet watch. It stops when the test ends.
 */
export async function follow({
  lists = [],
  watches = [],
  list = listOf(1),
  watch = QUIET,
  clientOptions = {},
  ...options
}: {
  lists?: Answer[];
  watches?: Answer[];
  list?: Answer;
  watch?: Answer;
  clientOptions?: ScriptedOptions;
} & Options = {}) {
  const { server, client } = await startScripted(clientOptions);
  server.otherwise = (exchange: Exchange) => {
    const answer = exchange.isWatch ? (watches.shift() ?? watch) : (lists.shift() ?? list);
    answer(exchange);
  };
  const changes: string[] = [];
  const logged: string[] = [];
  const reflector = new Reflector<V1ConfigMap, KeptMap>({
    client,
    resource: ConfigMaps,
    select: { labelSelector: 'a=b' },
    project: ({ metadata, data }) => ({
      uid: metadata?.uid ?? '',
      resourceVersion: metadata?.resourceVersion ?? '',
      value: data?.['value'],
    }),
    onChange: (key, current, before) => {
      const what = current === undefined ? 'gone' : before === undefined ? 'new' : 'changed';
      changes.push(`${key} ${what}`);
    },
    logger: pino({ level: 'debug' }, { write: (line: string) => logged.push(line) }),
    minDelayMs: 1,
    maxDelayMs: 20,
    ...options,
  });
  const stop = new AbortController();
  const done = reflector.run(stop.signal);
  onTestFinished(async () => {
    stop.abort();
    await done;
  });
  return { server, client, reflector, changes, logged, done, stop: () => stop.abort() };
}
