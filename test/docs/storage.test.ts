import { readFile } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { parse, stringify } from 'yaml';
import { parseConfig } from '../../src/config/index.ts';
import { checkLabs } from '../../src/cli/check-labs.ts';

const page = await readFile(new URL('../../docs/storage.md', import.meta.url), 'utf8');
/** The examples, by the heading that they are below. */
const examples = [...page.matchAll(/^```yaml\n(.*?)^```$/gms)].map(([, text = ''], index) => {
  const before = page.slice(0, page.indexOf(text));
  return { heading: `${[...before.matchAll(/^## (.*)$/gm)].at(-1)?.[1] ?? ''} (${String(index)})`, text };
});
const REST = {
  baseUrl: 'https://hub.example.org',
  auth: { proxyHeaders: { trustedAddresses: ['127.0.0.1/32'] } },
  images: { list: [{ reference: 'example.org/lab:1' }] },
};

describe('docs/storage.md', () => {
  it('has an example for each case', () => {
    expect(examples.length).toBeGreaterThanOrEqual(9);
  });

  it.each(examples)('shows what can be used: $heading', ({ text }) => {
    const { lab, ...more } = parse(text) as { lab: object };
    const sizes = [{ name: 'small', cpu: 1, memory: '1Gi' }];
    const config = parseConfig(stringify({ ...REST, ...more, lab: { sizes, ...lab } }), 'storage.md');
    expect(checkLabs(config)).toEqual([]);
  });
});
