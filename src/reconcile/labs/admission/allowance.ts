import { describeMemory } from '../../../util/quantities.ts';
import type { LabSpec } from '../../../domain/lab/lab.ts';
import { currentPod, isRunning, type WantedLab } from '../../../domain/lab/observed.ts';
import { type Finding, findEnd } from '../../../domain/lab/reasons.ts';

/** What of a lab counts against what its user may have at once. */
type Counted = Pick<LabSpec, 'resources' | 'quota'>;

/**
 * What a lab exceeds of what its user may have at once; undefined when it fits. The quota in each lab's namespace bounds only
 * that lab, since every named server has a namespace of its own.
 *
 * @param others the user's other labs, as far as they take something of it
 * @param labsPerUser most labs that a user has at once
 */
export function exceeds(
  { resources, quota }: Counted,
  others: readonly Counted[],
  labsPerUser: number,
): Finding | undefined {
  // What one lab alone exceeds is another error, and the namespace's own quota refuses it.
  if (others.length === 0) return undefined;
  if (others.length >= labsPerUser) {
    const have = `You have ${others.length} ${others.length === 1 ? 'lab' : 'labs'}`;
    return finding(`${have}, and that is as many as you may have at once. Stop one of them first.`);
  }
  if (quota === null) return undefined;
  const cpu = sum(others.map((lab) => lab.resources.limits.cpu));
  const memory = sum(others.map((lab) => lab.resources.limits.memory));
  const { limits } = resources;
  if (milli(cpu + limits.cpu) > milli(quota.cpu)) {
    return tooMuch(cores(cpu), `${cores(quota.cpu)} cores`, cores(limits.cpu));
  }
  if (memory + limits.memory > quota.memory) {
    return tooMuch(describeMemory(memory), `${describeMemory(quota.memory)} of memory`, describeMemory(limits.memory));
  }
  return undefined;
}

/**
 * Whether a lab takes something of what its user may have: from the moment it is asked for until it is over, as it is reported.
 *
 * @param podSeen whether the pod of this spawn has been there
 */
export function takesShare(lab: WantedLab, podSeen: boolean): boolean {
  const { deleting, failure, damaged } = lab.intent;
  if (deleting || failure !== null || damaged) return false;
  const pod = currentPod(lab);
  return pod === undefined ? !podSeen : findEnd(pod) === undefined;
}

/**
 * Whether another lab of the user comes before this one. While this one has not been begun, whatever has been begun does, and
 * what was asked for earlier. Once both have been begun, as by two leaders that did not know of each other, the one that runs does,
 * or else the earlier one; where the clocks of replicas differ by some seconds, it is an order all the same.
 *
 * @param isBegun whether anything has been made for a lab
 */
export function comesBefore(other: WantedLab, lab: WantedLab, isBegun: (lab: WantedLab) => boolean): boolean {
  const pod = currentPod(other);
  if (pod !== undefined && isRunning(pod)) return true;
  const [isOtherBegun, isThisBegun] = [isBegun(other), isBegun(lab)];
  if (isOtherBegun !== isThisBegun) return isOtherBegun;
  const [first, second] = [other.intent.spec, lab.intent.spec];
  return first.createdAt === second.createdAt ? first.spawnId < second.spawnId : first.createdAt < second.createdAt;
}

function tooMuch(used: string, allowed: string, needed: string): Finding {
  const amounts = `Your other labs use ${used} of the ${allowed} that you may have at once, and this one needs ${needed}.`;
  return finding(`${amounts} Stop one of them, or choose a smaller size.`);
}

function finding(message: string): Finding {
  return { reason: 'QuotaExceeded', message };
}

function sum(amounts: readonly number[]): number {
  return amounts.reduce((total, amount) => total + amount, 0);
}

/** Kubernetes counts no smaller part of a core. */
function milli(amount: number): number {
  return Math.round(amount * 1000);
}

function cores(amount: number): string {
  return String(milli(amount) / 1000);
}
