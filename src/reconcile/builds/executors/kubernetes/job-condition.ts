import type { Trouble } from '../../../../domain/lab/reasons.ts';
import { DENIED, PASSING } from '../../../labs/objects/refusal.ts';

/** The Job controller tries again for ever; a refusal by the rules of the cluster is one of every attempt. */
const REFUSED_AFTER_MS = 3_000;
const QUOTA_AFTER_MS = 120_000;
/** A 403 that nobody can explain: roles are edited, and authorizers fail for a moment. The next attempt may take this long. */
const FORBIDDEN_AFTER_MS = 60_000;

/** Rules that judge the pod itself: Pod Security, LimitRange, the security context constraints of OpenShift, validation. */
const RULES =
  /violates PodSecurity|(?:maximum|minimum) \S+ usage per|limit to request ratio|unable to validate against any security context constraint|\bis invalid:/i;

/**
 * What an event about a Job says of the pod that it cannot make. There is no pod then, so nobody else says it. Only what is
 * known to be a refusal ends the build soon; anything else, such as a webhook that does not answer, may go better at the next
 * attempt, and ends with the time for scheduling.
 *
 * @param reason `FailedCreate`
 */
export function findJobCondition(reason: string, message: string): Trouble | undefined {
  if (reason !== 'FailedCreate') return undefined;
  if (/exceeded quota/i.test(message)) {
    return {
      reason: 'QuotaExceeded',
      message: 'The namespace of builds has no quota left for the build; it waits for some.',
      afterMs: QUOTA_AFTER_MS,
    };
  }
  const isRule = DENIED.test(message) || RULES.test(message);
  if (isRule || (/\bforbidden\b/i.test(message) && !PASSING.test(message))) {
    return {
      reason: 'AdmissionDenied',
      message: "The cluster's rules do not admit the pod of the build. Tell an administrator.",
      afterMs: isRule ? REFUSED_AFTER_MS : FORBIDDEN_AFTER_MS,
    };
  }
  return {
    reason: 'SchedulingTimeout',
    message: 'The cluster cannot make the pod of the build at the moment; it is tried again.',
    afterMs: Number.POSITIVE_INFINITY,
  };
}
