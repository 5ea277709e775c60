import type { Trouble } from '../../../../domain/lab/reasons.ts';

/** The Job controller tries again for ever; a refusal by the rules of the cluster is one of every attempt. */
const REFUSED_AFTER_MS = 3_000;
const QUOTA_AFTER_MS = 120_000;

/**
 * What an event about a Job says of the pod that it cannot make. There is no pod then, so nobody else says it.
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
  return {
    reason: 'AdmissionDenied',
    message: "The cluster's rules do not admit the pod of the build. Tell an administrator.",
    afterMs: REFUSED_AFTER_MS,
  };
}
