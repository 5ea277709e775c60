import { defineConfig } from 'vitest/config';
import { PURE, SHARED, SLOW, WORKERS } from './vitest.suites.ts';

/** `npm test`: everything that needs no cluster, but for what is slow. */
export default defineConfig({
  test: {
    maxWorkers: WORKERS,
    projects: [
      { test: { ...SHARED, name: 'pure', include: PURE, isolate: false } },
      {
        test: {
          ...SHARED,
          name: 'sandbox',
          isolate: false,
          include: ['test/**/*.test.ts'],
          exclude: [...PURE, ...SLOW],
          testTimeout: 20_000,
          hookTimeout: 60_000,
        },
      },
    ],
  },
});
