import { describe, expect, it } from 'vitest';
import { SYSTEM_CLOCK } from '../../../src/util/clock.ts';
import { type Setting, useCluster } from '../support/controller.ts';
import { aLab } from '../support/labs.ts';
import { until } from '../support/until.ts';

const clusters = useCluster({ concurrent: true });

const DAY = 24 * 60 * 60_000;

/** A clock whose wall time is moved by hand. */
function aClock() {
  const clock = { off: 0, now: () => SYSTEM_CLOCK.now() + clock.off, monotonic: SYSTEM_CLOCK.monotonic };
  return clock;
}

/** Has the controller look at the lab once more, and waits until it has told its reader of it. */
async function lookAgain(setting: Setting, message: string): Promise<void> {
  await setting.setPodStatus({
    conditions: [{ type: 'PodScheduled', status: 'False', reason: 'Unschedulable', message }],
  });
  await until('the lab was looked at', () => setting.state().message?.includes(message) ?? false);
}

describe.concurrent('a clock that jumps while a lab starts', () => {
  it.each([DAY, -DAY])('by %i ms takes no time from the lab', async (ms) => {
    const clock = aClock();
    const setting = await clusters.setting({ kubelet: false, clock });
    await setting.labs.create(aLab());
    await setting.untilPhase('scheduling');
    clock.off = ms;
    await lookAgain(setting, 'no room');
    await setting.runByHand();
    await setting.untilPhase('running');
  });
});

describe.concurrent('a controller whose clock is ahead of the one before', () => {
  it('lets a lab that is starting come up', async () => {
    const setting = await clusters.setting({ kubelet: false });
    await setting.labs.create(aLab());
    await setting.untilPhase('scheduling');
    const clock = aClock();
    clock.off = DAY;
    await setting.restart({ clock });
    await lookAgain(setting, 'no room');
    await setting.runByHand();
    await setting.untilPhase('running');
    expect(setting.state().reason).toBeNull();
  });
});
