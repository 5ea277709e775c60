import { defineConfig } from 'vitest/config';
import { SHARED, WORKERS } from './vitest.suites.ts';

/**
 * `npm run test:shared`: what is tested of labs with all of them in one namespace. A test that is about namespaces of labs' own says so and
 * has them here, too.
 */
export default defineConfig({
  test: {
    ...SHARED,
    include: ['test/reconcile/labs/**/*.test.ts'],
    env: { LABWRIGHT_TEST_NAMESPACES: 'shared' },
    isolate: false,
    maxWorkers: WORKERS,
  },
});
