import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { WantedLab } from '../../../src/domain/lab/observed.ts';
import { Backlog } from '../../../src/reconcile/labs/admission/backlog.ts';
import { anIntent, aPod, aSpec } from '../support/observed.ts';

const SPAWN_TIMEOUT = 120_000;

/** A cluster that makes labs at some pace, one after the other, and a backlog that looks at it. */
function aCluster(labsPerSecond: number) {
  const labs: Array<{ at: number; lab: WantedLab }> = [];
  let now = 0;
  let freeAt = 0;
  const asLab = (username: string, spawnId: string): WantedLab => {
    const user = { ...aSpec().user, username };
    return { intent: anIntent({ spec: aSpec({ spawnId, user }) }), namespace: undefined, pod: undefined };
  };
  const seen = ({ at, lab }: { at: number; lab: WantedLab }) =>
    at > now ? lab : { ...lab, pod: aPod({ spawnId: lab.intent.spec.spawnId }) };
  // Labs that have run for a minute may have ended as well.
  const labsNow = () => labs.filter(({ at }) => now - at < 60_000).map(seen);
  const backlog = new Backlog({ labs: labsNow });
  return {
    /** Asks for a lab; the answer is for how many seconds to wait, and 0 that it was accepted. */
    ask(username: string): number {
      const pause = backlog.pauseFor(username, SPAWN_TIMEOUT, now);
      if (pause > 0) return pause;
      freeAt = Math.max(now, freeAt) + 1_000 / labsPerSecond;
      labs.push({ at: freeAt, lab: asLab(username, `spawn-${labs.length}`) });
      backlog.noteAccepted();
      return 0;
    },
    pass(ms: number): void {
      now += ms;
    },
    /** How long the lab that was accepted last waits, in milliseconds. */
    lastWaits: () => freeAt - now,
    accepted: () => labs.length,
  };
}

describe('labs that are asked for', () => {
  it('are all accepted as long as the cluster keeps up', () => {
    const cluster = aCluster(24);
    for (let second = 0; second < 60; second += 1) {
      for (let user = 0; user < 20; user += 1) expect(cluster.ask(`user-${second}-${user}`)).toBe(0);
      cluster.pass(1_000);
    }
  });

  it('are accepted five hundred at once after a quiet time', () => {
    const cluster = aCluster(24);
    const asked = Array.from({ length: 500 }, (_, index) => cluster.ask(`user-${index}`));
    expect(asked.every((pause) => pause === 0)).toBe(true);
  });

  it('faster than they are made are accepted only as far as they can start in time', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 2, max: 30 }),
        fc.integer({ min: 2, max: 6 }),
        fc.integer({ min: 10, max: 30 }),
        (pace, times, seconds) => {
          const cluster = aCluster(pace);
          let longest = 0;
          for (let tenth = 0; tenth < seconds * 10; tenth += 1) {
            for (let user = 0; user < (pace * times) / 10; user += 1) cluster.ask(`user-${tenth}-${user}`);
            longest = Math.max(longest, cluster.lastWaits());
            cluster.pass(100);
          }
          expect(longest).toBeLessThan(SPAWN_TIMEOUT);
          expect(cluster.accepted()).toBeGreaterThanOrEqual(pace * seconds);
        },
      ),
      { numRuns: 6 },
    );
  });

  it('are refused for as long as it takes, and a minute at most', () => {
    const cluster = aCluster(1);
    let pause = 0;
    for (let user = 0; pause === 0; user += 1) pause = cluster.ask(`user-${user}`);
    expect(pause).toBe(1);
    // What was taken for granted was too much, as the next seconds show.
    for (let second = 0; second < 5; second += 1) {
      cluster.pass(1_000);
      pause = cluster.ask('late');
    }
    expect(pause).toBe(60);
  });

  it('by somebody who waits for one already are refused first', () => {
    const cluster = aCluster(10);
    let pause = 0;
    let servers = 0;
    while ((pause = cluster.ask('greedy')) === 0) {
      servers += 1;
      if (servers % 100 === 0) cluster.pass(250);
    }
    expect(pause).toBeGreaterThan(0);
    expect(cluster.ask('modest')).toBe(0);
  });
});
