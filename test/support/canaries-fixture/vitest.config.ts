import { defineConfig } from 'vitest/config';

/** For the fixture alone: the suite's own configuration does not pick it up. */
export default defineConfig({
  test: { include: ['test/support/canaries-fixture/*.fixture.ts'], setupFiles: ['test/support/canaries.ts'] },
});
