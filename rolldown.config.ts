import { cp } from 'node:fs/promises';
import { join } from 'node:path';
import { defineConfig, type Plugin } from 'rolldown';

/**
 * `npm run build`: the program as plain JavaScript in `build/app`, for the container image. Types are stripped and modules are
 * loaded once here and not at each start, which saves a third of the memory and two thirds of the time to start
 * (docs/decisions/bundle.md).
 *
 * Files that the program reads beside its modules keep their distance: `package.json` and `docs` two folders up,
 * recordings beside.
 */
const recordings: Plugin = {
  name: 'recordings',
  async writeBundle({ dir = '' }) {
    await cp(join(import.meta.dirname, 'sandbox/kubelet/recordings'), join(dir, 'recordings'), { recursive: true });
  },
};

export default defineConfig({
  input: { main: 'src/main.ts' },
  platform: 'node',
  // Optional binary parts of ssh2, which goes on without them.
  external: [/\.node$/, 'cpu-features'],
  plugins: [recordings],
  output: { dir: 'build/app', format: 'esm', cleanDir: true },
});
