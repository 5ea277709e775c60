import { describe, expect, it } from 'vitest';
import { exampleConfig } from '../builder/cases.ts';
import { configJsonSchema } from '../../src/config/json-schema.ts';
import { readExamples, withoutExample } from './examples.ts';
import { undescribedKeys, writeReference } from './reference.ts';

describe('docs/configuration.md', () => {
  /** `npx vitest run test/config/reference.test.ts --update` writes it anew. */
  it('has every key with its type, its default and its meaning', async () => {
    const path = new URL('../../docs/configuration.md', import.meta.url).pathname;
    await expect(writeReference(await exampleConfig('minimal'), await readExamples())).toMatchFileSnapshot(path);
  });

  it('leaves no key without a meaning, but those of Kubernetes', () => {
    expect(undescribedKeys()).toEqual([]);
  });

  it('has an example for every key, of a configuration that can be used', async () => {
    // That each of the files can be used is a test of its own.
    expect(withoutExample(configJsonSchema(), await readExamples())).toEqual([]);
  });
});
