import type { PodSubject } from './pod-subject.ts';
import type { Finding, Trouble } from './reasons.ts';

/** Storage that is not there yet, or never will be: no machine more helps. */
const UNBOUND =
  /unbound immediate PersistentVolumeClaims|persistentvolumeclaim "[^"]*" (?:not found|bound to non-existent)|didn't find available persistent volumes|storageclass\.storage\.k8s\.io "[^"]*" not found|waiting for ephemeral volume/i;
const ELSEWHERE = /volume node affinity conflict|no available volume zone|had no available volume zone/i;
const NO_ROOM = /Insufficient |Too many pods|exceed max volume count/i;
const OTHER_KIND = /node affinity|node selector|untolerated taint|topology spread constraints|pod affinity rules/i;

/** Why the scheduler has found no place for a pod, from what it says: `0/3 nodes are available: 1 Insufficient cpu, …`. */
export function schedulingTrouble(text: string, { noun }: PodSubject): Trouble {
  return { ...findingOf(withoutPreemption(text), noun), afterMs: Number.POSITIVE_INFINITY, waitsFor: 'machine' };
}

function findingOf(text: string, noun: string): Finding {
  if (UNBOUND.test(text)) {
    const message = `A volume of the ${noun} has no storage yet: its claim is not bound. Tell an administrator if it stays so.`;
    return { reason: 'VolumeMountFailed', message };
  }
  if (ELSEWHERE.test(text) && !NO_ROOM.test(text)) {
    const where = 'tied to machines (a zone, or one machine) of which the cluster has none at the moment';
    return {
      reason: 'VolumeMountFailed',
      message: `A volume of the ${noun} is ${where}. Tell an administrator if it stays so.`,
    };
  }
  return { reason: 'Unschedulable', message: sentenceFor(text, noun) };
}

function sentenceFor(text: string, noun: string): string {
  if (ELSEWHERE.test(text)) {
    return `The machines that can reach the volume of the ${noun} have no room at the moment; it waits for one.`;
  }
  if (!NO_ROOM.test(text) && OTHER_KIND.test(text)) {
    return `The cluster has no machine of the kind that the ${noun} asks for (its labels, taints or affinities); it waits for one.`;
  }
  return `The cluster has no room for the ${noun} at the moment; it waits for a machine.`;
}

/** What follows is about other pods. */
function withoutPreemption(text: string): string {
  return text.replace(/\bpreemption:[\s\S]*$/, '');
}
