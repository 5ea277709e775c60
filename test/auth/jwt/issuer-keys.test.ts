import { pino } from 'pino';
import { afterEach, beforeAll, describe, expect, it } from 'vitest';
import '../../support/leaks.ts';
import { IssuerKeys, type IssuerKeysOptions, type KnownKeys } from '../../../src/auth/jwt/issuer-keys.ts';
import { LabwrightError } from '../../../src/domain/errors.ts';
import { until } from '../../reconcile/support/until.ts';
import { makeKey, type TestKey } from './support/issuer.ts';

const MINUTE = 60_000;

interface Question {
  /** When it was asked, by the clock of the test. */
  readonly at: number;
  answer(keys: readonly TestKey[]): void;
  fail(why?: string): void;
}

let keys: IssuerKeys;
let one: TestKey;
let two: TestKey;
beforeAll(async () => {
  [one, two] = [await makeKey('one'), await makeKey('two')];
});
afterEach(() => keys.close());

/** Keys of an issuer that answers when the test says so, by a clock that the test moves. */
function start(options: Partial<IssuerKeysOptions> = {}) {
  const questions: Question[] = [];
  const logs: { level: number; msg: string; why?: string }[] = [];
  let passed = 0;
  keys = new IssuerKeys({
    name: 'https://issuer.example.org',
    ask: () =>
      new Promise((resolve, reject) => {
        questions.push({
          at: performance.now() + passed,
          answer: (answered) => resolve({ issuer: 'https://issuer.example.org', jwks: { keys: answered.map(jwkOf) } }),
          fail: (why = 'it is down') => reject(new Error(why)),
        });
      }),
    logger: pino({ level: 'debug' }, { write: (line) => void logs.push(JSON.parse(line) as (typeof logs)[number]) }),
    cooldownMs: 60,
    now: () => performance.now() + passed,
    ...options,
  });
  return {
    questions,
    logs,
    pass: (ms: number) => void (passed += ms),
    /** The question with this number, from 0, once it has been asked. */
    question: (number: number) => until(`question ${number} is asked`, () => questions[number]),
  };
}

/** With keys that the issuer has given already: the answer to question 0. */
async function startKnowing(known: readonly TestKey[], options?: Partial<IssuerKeysOptions>) {
  const started = start(options);
  const found = find('one');
  (await started.question(0)).answer(known);
  await found;
  return started;
}

const jwkOf = ({ jwk }: TestKey) => jwk;

/** Looks for a key by its name, as a token with that `kid` does: true, false, or the status of the refusal. */
function find(kid: string): Promise<boolean | number> {
  return keys
    .search(({ find: among }: KnownKeys) =>
      Promise.resolve(among.jwks().keys.some((key) => key.kid === kid) || undefined),
    )
    .then((found) => found === true)
    .catch((error: unknown) => {
      if (error instanceof LabwrightError) return error.status;
      throw error;
    });
}

describe('the keys of an issuer', () => {
  it('are asked for once, by the first who needs them, however many there are', async () => {
    const { questions, question } = start();
    expect(questions).toHaveLength(0);
    const found = Promise.all(Array.from({ length: 100 }, () => find('one')));
    (await question(0)).answer([one]);
    expect(new Set(await found)).toEqual(new Set([true]));
    expect(questions).toHaveLength(1);
  });

  it('are answered from memory while they are fresh', async () => {
    const { questions, pass } = await startKnowing([one]);
    pass(4.9 * MINUTE);
    expect(await find('one')).toBe(true);
    expect(questions).toHaveLength(1);
  });

  it('are answered from memory when they are old, and looked at again meanwhile', async () => {
    const { questions, question, pass } = await startKnowing([one, two]);
    pass(5.1 * MINUTE);
    expect(await Promise.all([find('one'), find('two'), find('one')])).toEqual([true, true, true]);
    expect(questions).toHaveLength(2);
    (await question(1)).answer([two]);
    await until('the dropped key is gone', () => keys.peek()?.find.jwks().keys.length === 1);
    const gone = find('one');
    (await question(2)).answer([two]);
    expect(await gone).toBe(false);
  });

  it('go on through an outage of days, which is tried less and less often and logged every few minutes', async () => {
    const { questions, pass, logs } = await startKnowing([one]);
    const HOURS = 48;
    pass(6 * MINUTE);
    for (let minute = 0; minute < HOURS * 60; minute += 1) {
      const asked = questions.length;
      expect(await find('one')).toBe(true);
      if (questions.length > asked) questions.at(-1)!.fail();
      pass(MINUTE);
    }
    const complaints = logs.filter(({ level }) => level === 40);
    expect(questions.length).toBeLessThan(HOURS * 60);
    expect(complaints.length).toBeGreaterThan(HOURS);
    expect(complaints.length).toBeLessThanOrEqual(HOURS * 12 + 1);
    expect(complaints[0]).toMatchObject({ why: 'it is down', known: true, issuer: 'https://issuer.example.org' });
    pass(10 * MINUTE);
    const asked = questions.length;
    const again = await until('it is asked again', async () => {
      expect(await find('one')).toBe(true);
      return questions[asked];
    });
    again.answer([one]);
    await until('the end of the outage is logged', () => logs.at(-1)?.level === 30);
  });
});

describe('a key that is not known', () => {
  it('is looked for by one refresh, however many need it', async () => {
    const { questions, question, pass } = await startKnowing([one]);
    pass(MINUTE);
    const found = Promise.all(Array.from({ length: 200 }, () => find('two')));
    (await question(1)).answer([one, two]);
    expect(new Set(await found)).toEqual(new Set([true]));
    expect(questions).toHaveLength(2);
  });

  it('is refused only on the word of a refresh that began after the request came', async () => {
    const { questions, question, pass } = await startKnowing([one]);
    pass(MINUTE);
    const early = find('two');
    const running = await question(1);
    // The issuer has read its answer; only now the key is made and a token comes with it.
    const late = find('two');
    running.answer([one]);
    expect(await early).toBe(false);
    (await question(2)).answer([one, two]);
    expect(await late).toBe(true);
    expect(questions).toHaveLength(3);
  });

  it('is looked for once more when the refresh that was under way fails', async () => {
    const { question, pass } = await startKnowing([one]);
    pass(MINUTE);
    const early = find('two');
    const running = await question(1);
    const late = find('two');
    running.fail();
    expect(await early).toBe(503);
    (await question(2)).answer([one, two]);
    expect(await late).toBe(true);
  });

  it('costs the issuer no more than one question in each cooldown, whatever is asked for', async () => {
    const cooldownMs = 60;
    const { questions } = await startKnowing([one], { cooldownMs });
    const answering = new AbortController();
    const endsAt = performance.now() + 600;
    const outcomes = new Set<boolean | number>();
    const attack = async () => {
      while (performance.now() < endsAt) outcomes.add(await find(`kid-${Math.random()}`));
      answering.abort();
    };
    const issuer = (async () => {
      for (let next = 1; !answering.signal.aborted; next += 1) {
        await until(
          'a question comes or the attack is over',
          () => questions[next] !== undefined || answering.signal.aborted,
        );
        questions[next]?.answer([one]);
      }
    })();
    await Promise.all([...Array.from({ length: 50 }, attack), issuer]);
    expect(outcomes).toEqual(new Set([false]));
    const gaps = questions.slice(1).map(({ at }, index) => at - questions[index]!.at);
    expect(Math.min(...gaps)).toBeGreaterThan(cooldownMs - 1);
    expect(questions.length).toBeGreaterThan(5);
  });

  it('is 503 while the issuer cannot be asked, and known keys go on', async () => {
    const { question, pass } = await startKnowing([one]);
    pass(MINUTE);
    const unknown = find('two');
    (await question(1)).fail();
    expect(await unknown).toBe(503);
    expect(await find('one')).toBe(true);
    const again = find('two');
    (await question(2)).answer([one, two]);
    expect(await again).toBe(true);
  });

  it('is waited for no longer than patience lasts', async () => {
    const { question, pass } = await startKnowing([one], { patienceMs: 50 });
    pass(MINUTE);
    expect(await find('two')).toBe(503);
    // The refresh goes on, and is of use to whoever comes next.
    (await question(1)).answer([one, two]);
    await until('the answer is in', () => keys.peek()?.find.jwks().keys.length === 2);
    expect(await find('two')).toBe(true);
  });

  it('is waited for by no more than a bounded number', async () => {
    const { question, pass } = await startKnowing([one], { waiters: 3 });
    pass(MINUTE);
    const found = Promise.all(Array.from({ length: 5 }, () => find('two')));
    (await question(1)).answer([one, two]);
    expect((await found).sort()).toEqual([503, 503, true, true, true]);
  });
});

describe('an issuer that has never answered', () => {
  it('makes everybody wait and then try again later', async () => {
    const { question, logs } = start();
    const found = Promise.all([find('one'), find('two')]);
    (await question(0)).fail();
    expect(await found).toEqual([503, 503]);
    expect(logs).toMatchObject([{ level: 40, known: false }]);
  });

  it('is given up on after a deadline', async () => {
    const { question, logs } = start({ deadlineMs: 20 });
    const found = find('one');
    await question(0);
    expect(await found).toBe(503);
    expect(logs).toMatchObject([{ why: 'no answer in time' }]);
  });

  it.each([null, [], 'keys', { keys: {} }, { keys: [1] }, {}])('has not answered with %j either', async (jwks) => {
    start({ ask: () => Promise.resolve({ issuer: 'x', jwks }) });
    expect(await find('one')).toBe(503);
  });

  it('may have no keys at all', async () => {
    start({ ask: () => Promise.resolve({ issuer: 'x', jwks: { keys: [] } }) });
    expect(await find('one')).toBe(false);
  });
});

describe('closing', () => {
  it('ends those who wait for an answer, and those who wait for their turn', async () => {
    const { pass, logs } = await startKnowing([one], { cooldownMs: 60_000 });
    const inTurn = find('two');
    await keys.close();
    expect(await inTurn).toBe(503);
    pass(10 * MINUTE);
    expect(await find('one')).toBe(true);
    expect(await find('two')).toBe(503);
    expect(logs).toEqual([]);
  });

  it('does not wait for the answer to the question that is open', async () => {
    const { question, questions } = start();
    const found = find('one');
    await question(0);
    await keys.close();
    expect(await found).toBe(503);
    questions[0]!.fail();
  });
});
