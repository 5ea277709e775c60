import { readdir } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { listObjects, writeManifest } from '../../src/builder/manifest.ts';
import { goldenLabs } from './cases.ts';

const GOLDEN = new URL('../golden/', import.meta.url);
const labs = await goldenLabs();

/** `npx vitest run test/builder/golden.test.ts --update` writes the files anew; read the difference before it is committed. */
describe('golden objects', () => {
  it.each(Object.entries(labs))('builds the lab "%s" as its golden file says', async (name, objects) => {
    await expect(writeManifest(listObjects(objects))).toMatchFileSnapshot(new URL(`lab-${name}.yaml`, GOLDEN).pathname);
  });

  it('has no golden file without a lab', async () => {
    const files = (await readdir(GOLDEN)).filter((file) => file.startsWith('lab-'));
    expect(files.sort()).toEqual(
      Object.keys(labs)
        .map((name) => `lab-${name}.yaml`)
        .sort(),
    );
  });

  it('builds equal objects from equal input', async () => {
    expect(await goldenLabs()).toEqual(labs);
  });
});
