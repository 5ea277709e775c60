import type { Finding, Reason } from '../../../domain/lab/reasons.ts';
import { KubeError } from '../../../storage/kubernetes/kube-error.ts';

/** What a lab or a build needs cannot be made; the same call cannot succeed later, or not before somebody has done something. */
export class Refused extends Error {
  override readonly name = 'Refused';
  readonly finding: Finding;
  /** For how long it is worth trying all the same, in milliseconds: what refuses may be behind, or be changed in this moment. */
  readonly graceMs: number;

  constructor(reason: Reason, message: string, options: ErrorOptions & { readonly graceMs?: number } = {}) {
    super(message, 'cause' in options ? { cause: options.cause } : undefined);
    this.finding = { reason, message };
    this.graceMs = options.graceMs ?? 0;
  }
}

/** What a call was for: its sentences are about that. */
export type Noun = 'lab' | 'build';

/** 403s of the API server that pass by themselves: a controller of its own has not caught up yet. */
export const PASSING = /status unknown for quota|error looking up service account|service account .* not found/i;

/** A quota is given back by a controller of the cluster's own, which takes its time. */
const QUOTA_GRACE_MS = 5_000;
/** Roles are edited, and authorizers fail for a moment: while a lab has minutes to start. */
const FORBIDDEN_GRACE_MS = 30_000;

interface Forbidden {
  readonly reason: Reason;
  readonly sentence: (noun: Noun, text: string) => string;
  readonly graceMs: number;
}

const NOT_ADMITTED = (noun: Noun) => `The cluster does not admit the ${noun}.`;

/** 403s by what they say, first match first; none of them is phrased for a user. */
const FORBIDDEN: ReadonlyArray<Forbidden & { readonly pattern: RegExp }> = [
  {
    pattern: /exceeded quota/i,
    reason: 'QuotaExceeded',
    sentence: (noun, text) => quotaSentence(noun, text),
    graceMs: QUOTA_GRACE_MS,
  },
  {
    pattern: /(?:maximum|minimum) \S+ usage per|limit to request ratio per/i,
    reason: 'AdmissionDenied',
    sentence: (noun) =>
      `A limit of the namespace (LimitRange) does not admit the ${noun} in this size. Choose another size, or tell an administrator.`,
    graceMs: 0,
  },
  {
    pattern: /violates PodSecurity/i,
    reason: 'AdmissionDenied',
    sentence: (noun) => `The cluster's security rules do not admit the ${noun}.`,
    graceMs: 0,
  },
  {
    pattern: /cannot \w+ resource/i,
    reason: 'PermissionMissing',
    sentence: (noun) => `Labwright has not the rights that the ${noun} needs.`,
    graceMs: FORBIDDEN_GRACE_MS,
  },
];
const UNKNOWN: Forbidden = { reason: 'AdmissionDenied', sentence: NOT_ADMITTED, graceMs: FORBIDDEN_GRACE_MS };

/** Webhooks deny with any status, 400 where they name none, and policies with 422. */
export const DENIED = /admission webhook .* denied the request|ValidatingAdmissionPolicy .* denied request/i;

/**
 * Why the API server does not accept an object of a lab or a build, or undefined when the same call may succeed later.
 *
 * The raw answer stays in the cause, for the log.
 */
export function refusalOf(error: unknown, noun: Noun = 'lab'): Refused | undefined {
  if (error instanceof Refused) return error;
  if (!(error instanceof KubeError) || error.isTransient || error.isNamespaceTerminating) return undefined;
  if (DENIED.test(error.message)) return new Refused('AdmissionDenied', NOT_ADMITTED(noun), { cause: error });
  if (error.status === 400 || error.status === 413 || error.status === 422) {
    const message = `The cluster does not accept an object of the ${noun}; its configuration needs a look.`;
    return new Refused('InvalidObject', message, { cause: error });
  }
  if (error.status !== 403 || PASSING.test(error.message)) return undefined;
  const known = FORBIDDEN.find(({ pattern }) => pattern.test(error.message));
  const { reason, sentence, graceMs } = known ?? UNKNOWN;
  return new Refused(reason, sentence(noun, error.message), { cause: error, graceMs });
}

const WEBHOOK = /failed calling webhook "([\w.-]{1,253})"/;

/** What keeps the cluster from making an object of a lab, as long as it may pass. The API server's text is for the log. */
export function hindranceOf(error: unknown): Finding | undefined {
  const refused = refusalOf(error);
  if (refused !== undefined) return refused.finding;
  if (!(error instanceof KubeError) || error.isNamespaceTerminating) return undefined;
  const { kind } = error.target;
  const [, webhook] = WEBHOOK.exec(error.message) ?? [];
  const why =
    webhook !== undefined
      ? `the admission webhook "${webhook}" does not answer`
      : error.status === 0
        ? 'the Kubernetes API does not answer'
        : `the Kubernetes API answers with status ${error.status}`;
  const message = `The cluster does not take the ${kind} of the lab at the moment: ${why}.`;
  return { reason: 'ClusterUnavailable', message };
}

/** What a smaller size needs less of. */
const SIZE = /^(?:(?:limits|requests)\.)?(?:cpu|memory)$/;

/**
 * Which quota refuses and what it counts, from what the API server says of it: `exceeded quota: lab, requested:
 * limits.memory=3Gi, used: limits.memory=0, limited: limits.memory=2Gi`. The API server's text is for nobody, its amounts are.
 */
function quotaSentence(noun: Noun, text: string): string {
  const [, quota, requested = '', , limited = ''] =
    /exceeded quota: ([\w.-]{1,253}), requested: (\S+), used: (\S+), limited: ([^\s"]+)/.exec(text) ?? [];
  const counted = requested.split(',').map((amount) => amount.split('=')[0] ?? '');
  if (quota === undefined || counted.every((what) => SIZE.test(what))) {
    return `The ${noun} needs more than your quota leaves. Choose a smaller size.`;
  }
  return `The ${noun} needs more than the quota "${quota}" of its namespace leaves (${limited.replaceAll(',', ', ')}). Tell an administrator.`;
}
