import { defineConfig } from 'vitest/config';
import { SHARED, SLOW, WORKERS } from './vitest.suites.ts';

/**
 * `npm test`: everything that needs no cluster, but for what is slow. Files share workers: starting one and loading the modules for
 * each file was a third of the time, and what a file leaves behind fails it either way (test/support/leaks.ts).
 */
export default defineConfig({
  test: { ...SHARED, include: ['test/**/*.test.ts'], exclude: SLOW, isolate: false, maxWorkers: WORKERS },
});
