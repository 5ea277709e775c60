import { availableParallelism } from 'node:os';

/** What every suite shares. */
export const SHARED = {
  setupFiles: ['test/support/leaks.ts', 'test/support/canaries.ts'],
  restoreMocks: true,
  testTimeout: 20_000,
  hookTimeout: 60_000,
};

/** Most of a test is waiting: more workers than a small machine has cores. */
export const WORKERS = Math.max(5, availableParallelism());

/**
 * Files that kill processes at every call, put every fault between controller and cluster, run several replicas, drive a browser, fill a real registry, or start
 * the whole program with real labs: `npm run test:slow`, in CI as `npm test` is.
 */
export const SLOW = [
  'test/crash/**/*.test.ts',
  'test/**/*-faults.test.ts',
  'test/**/*-replicas.test.ts',
  'test/**/*-browser.test.ts',
  'test/reconcile/leader-process.test.ts',
  'test/sandbox/processes/**/*.test.ts',
  'test/storage/registry/real/**/*.test.ts',
  'test/routes/malformed.test.ts',
  'test/routes/attacks*.test.ts',
];
