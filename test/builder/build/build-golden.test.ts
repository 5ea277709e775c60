import { readdir } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { writeManifest } from '../../../src/builder/manifest.ts';
import { goldenBuilds, listBuildObjects } from './build-cases.ts';

const GOLDEN = new URL('../../golden/', import.meta.url);
const builds = await goldenBuilds();

/** `npx vitest run test/builder/build-golden.test.ts --update` writes the files anew; read the difference first. */
describe('golden objects of builds', () => {
  it.each(Object.entries(builds))('makes the build "%s" as its golden file says', async (name, objects) => {
    const file = new URL(`build-${name}.yaml`, GOLDEN).pathname;
    await expect(writeManifest(listBuildObjects(objects))).toMatchFileSnapshot(file);
  });

  it('has no golden file without a build', async () => {
    const files = (await readdir(GOLDEN)).filter((file) => file.startsWith('build-'));
    expect(files.sort()).toEqual(
      Object.keys(builds)
        .map((name) => `build-${name}.yaml`)
        .sort(),
    );
  });

  it('makes equal objects from equal input', async () => {
    expect(await goldenBuilds()).toEqual(builds);
  });
});
