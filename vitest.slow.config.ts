import { defineConfig } from 'vitest/config';
import { SHARED, SLOW, WORKERS } from './vitest.suites.ts';

/** `npm run test:slow`: crashes at every call, storms of faults, attacks, and whole programs. */
export default defineConfig({
  test: { ...SHARED, include: SLOW, maxWorkers: WORKERS, testTimeout: 20_000, hookTimeout: 60_000 },
});
