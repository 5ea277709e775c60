import type { Logger } from 'pino';
import type { KeyService } from '../auth/keys/service.ts';
import { Controller } from './controller.ts';

const KEY = 'keys';
/** Longer than the store takes to answer, with its retries. */
const RUN_TIMEOUT_MS = 60_000;

/** The controller `signing-keys`: every replica signs and seals, so every one reads the keys, and whichever is first makes them. */
export function signingKeysController(keys: KeyService, logger: Logger): Controller {
  return new Controller({
    name: 'signing-keys',
    needsLeader: false,
    caches: [],
    sources: [(enqueue, signal) => keys.onUnknown(() => enqueue(KEY), signal)],
    keys: () => [KEY],
    reconcile: async (_key, { signal }) => ({ requeueAfterMs: await keys.refresh(signal) }),
    runTimeoutMs: RUN_TIMEOUT_MS,
    logger,
  });
}
