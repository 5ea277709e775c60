import { errorCode } from '../../../util/http.ts';
import { KubeError } from '../kube-error.ts';

/** One sentence for the person who has to find out why there is no picture of the cluster. */
export function describeOutage(server: string, error: Error | undefined): string {
  if (!(error instanceof KubeError)) return `The Kubernetes API at ${server} has not answered yet.`;
  const { status, target } = error;
  if (status === 0) return `The Kubernetes API at ${server} cannot be reached: ${innermost(error)}.`;
  if (status === 401) return `The Kubernetes API at ${server} does not accept Labwright's credentials (401).`;
  if (status === 403) {
    return `The Kubernetes API at ${server} does not let Labwright ${target.verb} ${target.kind} objects (403); see deploy/ for the rights it needs.`;
  }
  return `The Kubernetes API at ${server} answers ${target.verb} ${target.kind} with ${status} (${error.reason}).`;
}

function innermost(error: Error): string {
  let deepest = error;
  while (deepest.cause instanceof Error) deepest = deepest.cause;
  return [errorCode(deepest), deepest.message].filter((part) => part !== undefined && part !== '').join(' ');
}
