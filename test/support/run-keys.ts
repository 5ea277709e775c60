import { pino } from 'pino';
import type { KeyService } from '../../src/auth/keys/service.ts';
import { Manager } from '../../src/reconcile/manager.ts';
import { signingKeysController } from '../../src/reconcile/signing-keys.ts';

/** Keeps keys as the program does, until `signal` aborts. */
export function runKeys(keys: KeyService, signal: AbortSignal): Promise<void> {
  const logger = pino({ level: 'silent' });
  return new Manager({ logger }).addController(signingKeysController(keys, logger)).run(signal);
}
