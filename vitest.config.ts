import { availableParallelism } from 'node:os';
import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    setupFiles: ['test/support/leaks.ts', 'test/support/canaries.ts'],
    testTimeout: 20_000,
    hookTimeout: 60_000,
    restoreMocks: true,
    // Most of a test is waiting: more workers than a small machine has cores.
    maxWorkers: Math.max(4, availableParallelism()),
  },
});
