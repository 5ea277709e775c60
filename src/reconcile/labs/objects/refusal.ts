import type { Finding, Reason } from '../../../domain/lab/reasons.ts';
import { KubeError } from '../../../storage/kubernetes/kube-error.ts';

/** What a lab needs cannot be made, and trying again cannot help. */
export class Refused extends Error {
  override readonly name = 'Refused';
  readonly finding: Finding;

  constructor(reason: Reason, message: string, options?: ErrorOptions) {
    super(message, options);
    this.finding = { reason, message };
  }
}

/** 403s of the API server that pass by themselves: a controller of its own has not caught up yet. */
const PASSING = /status unknown for quota|error looking up service account|service account .* not found/i;

/** 403s by what they say, first match first; none of them is phrased for a user. */
const FORBIDDEN: ReadonlyArray<readonly [RegExp, Reason, string]> = [
  [/exceeded quota/i, 'QuotaExceeded', 'The lab needs more than your quota leaves. Choose a smaller size.'],
  [/violates PodSecurity/i, 'AdmissionDenied', "The cluster's security rules do not admit the lab."],
  [/cannot \w+ resource/i, 'PermissionMissing', 'Labwright has not the rights that the lab needs.'],
];

/** Webhooks deny with any status, 400 where they name none, and policies with 422. */
const DENIED = /admission webhook .* denied the request|ValidatingAdmissionPolicy .* denied request/i;
const NOT_ADMITTED = 'The cluster does not admit the lab.';

/**
 * Why the API server will never accept a lab's object, or undefined when the same call may succeed later.
 *
 * The raw answer stays in the cause, for the log.
 */
export function refusalOf(error: unknown): Refused | undefined {
  if (error instanceof Refused) return error;
  if (!(error instanceof KubeError) || error.isTransient || error.isNamespaceTerminating) return undefined;
  if (DENIED.test(error.message)) return new Refused('AdmissionDenied', NOT_ADMITTED, { cause: error });
  if (error.status === 400 || error.status === 413 || error.status === 422) {
    const message = 'The cluster does not accept an object of the lab; its configuration needs a look.';
    return new Refused('InvalidObject', message, { cause: error });
  }
  if (error.status !== 403 || PASSING.test(error.message)) return undefined;
  const [, reason, message] = FORBIDDEN.find(([pattern]) => pattern.test(error.message)) ?? [
    undefined,
    'AdmissionDenied' as const,
    NOT_ADMITTED,
  ];
  return new Refused(reason, message, { cause: error });
}
