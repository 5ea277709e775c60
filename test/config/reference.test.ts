import { describe, expect, it } from 'vitest';
import { exampleConfig } from '../builder/cases.ts';
import { undescribedKeys, writeReference } from './reference.ts';

describe('docs/configuration.md', () => {
  /** `npx vitest run test/config/reference.test.ts --update` writes it anew. */
  it('has every key with its type, its default and its meaning', async () => {
    const path = new URL('../../docs/configuration.md', import.meta.url).pathname;
    await expect(writeReference(await exampleConfig('minimal'))).toMatchFileSnapshot(path);
  });

  it('leaves no key without a meaning, but those of Kubernetes', () => {
    expect(undescribedKeys()).toEqual([]);
  });
});
