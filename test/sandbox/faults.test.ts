import { readFile } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { FaultsError, parseFaults } from '../../sandbox/faults.ts';
import { FaultBook } from '../../sandbox/kubelet/fault-plan.ts';

const pod = (image = 'x:1') => ({ metadata: { namespace: 'lab-ada' }, spec: { containers: [{ name: 'c', image }] } });

describe('a faults file', () => {
  it('is shipped as an example that can be used', async () => {
    const text = await readFile(new URL('../../deploy/sandbox-faults.yaml', import.meta.url), 'utf8');
    expect(parseFaults(text).length).toBeGreaterThan(0);
  });

  it('says what goes wrong with which pods', () => {
    const faults = parseFaults(`
faults:
  - fault: imagePull
    match: { username: ada }
  - fault: oom
    match: { image: "*:big" }
    after: 30
`);
    expect(faults).toEqual([
      { fault: 'imagePull', match: { username: 'ada' }, reason: 'notFound', attempts: 2 },
      { fault: 'oom', match: { image: '*:big' }, after: 30 },
    ]);
  });

  it('that is wrong is refused with every place and what was expected there', () => {
    const text = 'faults:\n  - fault: oom\n    after: soon\n  - fault: crash\n    exitCode: 999\n    colour: red\n';
    expect(() => parseFaults(text)).toThrow(FaultsError);
    expect(() => parseFaults(text)).toThrow(/faults\[0\]\.after/);
    expect(() => parseFaults(text)).toThrow(/faults\[1\]\.exitCode/);
    expect(() => parseFaults(text)).toThrow(/colour/);
    expect(() => parseFaults('faults: [{ fault: oom, after: 3000000 }]')).toThrow(/faults\[0\]\.after/);
    expect(() => parseFaults('faults: [{ fault: gremlins }]')).toThrow(/faults\[0\]\.fault/);
    expect(() => parseFaults('a: [')).toThrow(/The faults file is not YAML/);
    expect(() => parseFaults('')).toThrow(FaultsError);
  });
});

describe('the faults of a pod', () => {
  it('are those that match it', () => {
    const book = new FaultBook(parseFaults('faults: [{ fault: oom, match: { namespace: lab-*, image: "*:1" } }]'));
    expect(book.planFor(pod()).get('oom')).toBeDefined();
    expect(book.planFor(pod('x:2')).isEmpty).toBe(true);
  });

  it('can be those of every second pod', () => {
    const book = new FaultBook(parseFaults('faults: [{ fault: oom, match: { every: 2 } }]'));
    expect([1, 2, 3, 4].map(() => book.planFor(pod()).isEmpty)).toEqual([true, false, true, false]);
  });

  it('can be replaced', () => {
    const book = new FaultBook(parseFaults('faults: [{ fault: oom }]'));
    book.replace([]);
    expect(book.planFor(pod()).isEmpty).toBe(true);
  });
});
