import { describe, expect, it } from 'vitest';
import type { LabEvent } from '../../../src/domain/lab/lab.ts';
import { Operations, subjectOf, troubleFor } from '../../../src/reconcile/labs/operations.ts';
import type { OperationLog } from '../../../src/reconcile/labs/operation-log.ts';
import { anIntent } from '../support/observed.ts';

const SUBJECT = subjectOf(anIntent());
const TROUBLE = { reason: 'VolumeMountFailed', message: 'A volume cannot be mounted.', afterMs: 1 } as const;
const SECRETS = { env: { KEY: 'hush' }, token: null };
const NEVER = new AbortController().signal;

async function endOf(log: OperationLog): Promise<LabEvent | undefined> {
  let last: LabEvent | undefined;
  for await (const event of log.read(undefined, NEVER)) last = event;
  return last;
}

describe('the time that a lab has for starting', () => {
  const intent = anIntent();
  const { createdAt, deadline } = intent.spec;
  const whole = deadline - createdAt;
  const begin = () => new Operations().resume('spawn', SUBJECT);

  const look = (now: number, at: number, more = {}) => ({ hasPod: true, clockSkew: 0, now, at, ...more });

  it('goes by the monotonic clock from the first look on', () => {
    const operation = begin();
    expect(operation.timeLeft(intent, look(createdAt, 7))).toBe(whole);
    expect(operation.timeLeft(intent, look(deadline + whole, 8))).toBe(whole - 1);
    expect(operation.timeLeft(intent, look(0, 7 + whole))).toBe(0);
  });

  it('is never more than all of it', () => {
    expect(begin().timeLeft(intent, look(createdAt - whole, 0, { clockSkew: 10_000 }))).toBe(whole + 10_000);
  });

  it('is a minute at least for a pod that is looked at for the first time, and not for a lab without one', () => {
    const operation = begin();
    expect(operation.timeLeft(intent, look(deadline + whole, 0))).toBe(60_000);
    expect(operation.timeLeft(intent, look(deadline + whole, 60_000))).toBe(0);
    expect(operation.timeLeft(intent, look(deadline + whole, 0, { hasPod: false }))).toBe(-whole);
    const short = anIntent({ spec: { ...intent.spec, deadline: createdAt + 500 } });
    expect(begin().timeLeft(short, look(deadline, 0))).toBe(500);
  });

  it('begins anew when the image that was built for it is there', () => {
    const operation = begin();
    operation.timeLeft(intent, look(createdAt, 0));
    const builtImage = { reference: 'r', digest: 'd', at: deadline };
    expect(operation.timeLeft({ ...intent, builtImage }, look(deadline, whole))).toBe(whole);
  });
});

describe('the operation on a lab', () => {
  it('is the same for everyone who asks', () => {
    const operations = new Operations();
    const spawn = operations.resume('spawn', SUBJECT);
    expect(operations.resume('spawn', SUBJECT)).toBe(spawn);
    expect(operations.get('rachel')).toBe(spawn);
    expect(operations.last('rachel')).toBe(spawn);
    expect(operations.get('other')).toBeUndefined();
  });

  it('gives way to a delete, and its own readers are told', async () => {
    const operations = new Operations();
    const spawn = operations.resume('spawn', SUBJECT);
    const end = endOf(spawn.log);
    const deletion = operations.resume('delete', SUBJECT);
    expect(await end).toMatchObject({ type: 'failed' });
    expect(deletion.secrets).toBeNull();
    expect(operations.last('rachel')).toBe(deletion);
  });

  it('gives way to a new spawn, which knows nothing of what was wrong before', () => {
    const operations = new Operations();
    operations.resume('spawn', SUBJECT).noteEvent('A volume is missing', TROUBLE, 1);
    expect(operations.get('rachel')?.condition(5)).toEqual({ ...TROUBLE, since: 1, forMs: 4 });
    expect(operations.resume('spawn', { ...SUBJECT, spawnId: 'second' }).condition(5)).toBeNull();
  });

  it('that was a delete has come to its end when a new lab follows, though nobody saw the moment in between', async () => {
    const operations = new Operations();
    const end = endOf(operations.resume('delete', SUBJECT).log);
    operations.resume('spawn', { ...SUBJECT, spawnId: 'second' });
    expect(await end).toMatchObject({ type: 'complete' });
  });

  it('ends for its readers when the lab is gone, and can still be read for a while', async () => {
    const operations = new Operations();
    const { log } = operations.resume('delete', SUBJECT);
    operations.finish('rachel');
    operations.finish('nobody');
    expect(await endOf(log)).toMatchObject({ type: 'complete' });
    expect(operations.get('rachel')).toBeUndefined();
    expect(operations.last('rachel')?.log).toBe(log);
  });

  it('of labs that are gone is forgotten at last, the oldest first', () => {
    const operations = new Operations();
    for (let lab = 0; lab < 1_001; lab += 1) {
      operations.resume('delete', { ...SUBJECT, slug: `lab-${lab}` });
      operations.finish(`lab-${lab}`);
    }
    expect(operations.last('lab-0')).toBeUndefined();
    expect(operations.last('lab-1')).toBeDefined();
    expect(operations.last('lab-1000')).toBeDefined();
  });
});

describe('the secrets of a lab', () => {
  it('are there for an operation that begins while the intent is being written, and not after', async () => {
    const operations = new Operations();
    await operations.keepSecrets(SUBJECT.spawnId, SECRETS, () => {
      expect(operations.resume('spawn', SUBJECT).secrets).toBe(SECRETS);
      return Promise.resolve();
    });
    expect(operations.resume('spawn', { ...SUBJECT, slug: 'late' }).secrets).toBeNull();
    operations.finish('rachel');
    expect(operations.last('rachel')?.secrets).toBeNull();
  });

  it('are forgotten when the write fails', async () => {
    const operations = new Operations();
    const write = () => Promise.reject(new Error('no'));
    await expect(operations.keepSecrets(SUBJECT.spawnId, SECRETS, write)).rejects.toThrow('no');
    expect(operations.resume('spawn', SUBJECT).secrets).toBeNull();
  });
});

describe('a trouble', () => {
  const pull = { reason: 'ImagePullError', message: 'x', afterMs: 1 } as const;

  it('lasts from the first time it was seen, until it passes or becomes another', () => {
    const first = troubleFor(pull, null, 100);
    expect(first).toEqual({ ...pull, since: 100 });
    expect(troubleFor({ ...pull, message: 'y' }, first, 200)).toEqual({ ...pull, message: 'y', since: 100 });
    expect(troubleFor({ ...pull, reason: 'ImageNotFound' }, first, 200)).toMatchObject({ since: 200 });
    expect(troubleFor(undefined, first, 200)).toBeNull();
  });
});
