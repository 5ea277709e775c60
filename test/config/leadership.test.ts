import { describe, expect, it } from 'vitest';
import { leadership } from '../../src/config/leadership.ts';

const problems = (value: object) =>
  (leadership.safeParse(value).error?.issues ?? []).map(({ path, message }) => `${path.join('.')}: ${message}`);

describe('the configuration of leadership', () => {
  it('has the times of client-go where nothing is written', () => {
    expect(leadership.parse(undefined)).toEqual({ leaseDuration: 15_000, renewDeadline: 10_000, retryPeriod: 2_000 });
  });

  it.each([
    [{ leaseDuration: '2s', renewDeadline: '1s', retryPeriod: '200ms' }, 'leaseDuration: expected whole seconds'],
    [{ leaseDuration: '11m' }, 'leaseDuration: expected whole seconds'],
    [{ leaseDuration: '15500ms' }, 'leaseDuration: expected whole seconds'],
    [{ leaseDuration: '10s' }, 'renewDeadline: expected at least a second less'],
    [{ renewDeadline: '4s' }, 'retryPeriod: expected at most two fifths'],
    [{ retryPeriod: '5s' }, 'retryPeriod: expected at most two fifths'],
    [{ retryPeriod: '100ms' }, 'retryPeriod: expected 200ms or more'],
  ])('refuses %j', (value, problem) => {
    expect(problems(value)).toEqual([expect.stringContaining(problem)]);
  });

  it('takes a short lease, and a long one', () => {
    expect(problems({ leaseDuration: '3s', renewDeadline: '2s', retryPeriod: '300ms' })).toEqual([]);
    expect(problems({ leaseDuration: '10m', renewDeadline: '8m', retryPeriod: '1m' })).toEqual([]);
  });
});
