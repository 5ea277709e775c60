import { LabwrightError } from '../domain/errors.ts';
import { KubeError } from '../storage/kubernetes/kube-error.ts';

/** What the cluster refuses or does not answer is no fault of the caller, and none of ours that a stack would explain. */
export function explainKubeError(error: unknown): never {
  if (!(error instanceof KubeError)) throw error;
  const message = 'The Kubernetes API does not answer as it should at the moment; try again';
  throw new LabwrightError('not_ready', 503, message, { cause: error, retryAfter: 2 });
}
