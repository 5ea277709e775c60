import { LabwrightError } from '../domain/errors.ts';
import { KubeError } from '../storage/kubernetes/kube-error.ts';

/** What the cluster refuses or does not answer is no fault of the caller, and none of ours that a stack would explain. */
export function explainKubeError(error: unknown): never {
  if (!(error instanceof KubeError)) throw error;
  const refused = describeRefusal(error);
  if (refused !== undefined) throw refused;
  const message = 'The Kubernetes API does not answer as it should at the moment; try again';
  throw new LabwrightError('not_ready', 503, message, { cause: error, retryAfter: 2 });
}

/** What a repetition would not change: it is about what Labwright keeps in its own namespace. */
function describeRefusal(error: KubeError): LabwrightError | undefined {
  const { status, message } = error;
  const cause = { cause: error };
  if (
    status === 413 ||
    /Too long: (?:may not be more than|must have at most) \d+|request is too large/i.test(message)
  ) {
    const text = 'What was asked for is too large to be kept: its environment may have about a megabyte';
    return new LabwrightError('payload_too_large', 413, text, cause);
  }
  const [, quota] = status === 403 ? (/exceeded quota: ([\w.-]{1,253}),/.exec(message) ?? []) : [];
  if (quota === undefined) return undefined;
  const text = `The quota "${quota}" of Labwright's own namespace is used up; tell an administrator`;
  return new LabwrightError('not_ready', 503, text, { ...cause, retryAfter: 60 });
}
