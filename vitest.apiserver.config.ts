import { availableParallelism } from 'node:os';
import { defineConfig } from 'vitest/config';

/**
 * The suites that talk to a cluster, against a real kube-apiserver. The same files run on the sandbox in `npm test`.
 * Namespaces take Kubernetes five seconds and more to terminate, hence the longer deadlines.
 */
export default defineConfig({
  test: {
    include: [
      'test/{conformance,storage,reconcile,crash,builder}/**/*.test.ts',
      'test/routes/process/jwks.test.ts',
      'test/support/*.test.ts',
    ],
    env: { LABWRIGHT_TEST_CLUSTER: 'apiserver' },
    globalSetup: ['test/support/api-server-setup.ts'],
    setupFiles: ['test/support/leaks.ts', 'test/support/canaries.ts'],
    reporters: ['default', './test/support/api-server-reporter.ts'],
    // Most of a test is waiting; etcd and kube-apiserver want a core.
    maxWorkers: Math.max(3, availableParallelism()),
    testTimeout: 60_000,
    hookTimeout: 120_000,
    restoreMocks: true,
  },
});
