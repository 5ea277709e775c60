import { describe, expect, it } from 'vitest';
import { waitFor } from './wait-for.ts';

describe('waiting for a condition', () => {
  it('gives the first answer that is not undefined', async () => {
    let asked = 0;
    expect(await waitFor('three', 5_000, () => ((asked += 1) === 3 ? asked : undefined), 1)).toBe(3);
  });

  it('fails with what it waited for when the deadline passes', async () => {
    await expect(waitFor('nothing', 10, () => undefined, 1)).rejects.toThrow('Waited 10 ms in vain for nothing');
  });
});
