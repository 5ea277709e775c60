import { defineConfig } from 'vitest/config';

/** Runs the fixture of the leak check alone. */
export default defineConfig({
  test: { include: ['test/support/leaks-fixture/*.fixture.ts'], setupFiles: ['test/support/leaks.ts'] },
});
