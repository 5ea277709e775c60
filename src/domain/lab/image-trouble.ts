import type { Trouble } from './reasons.ts';

/** Texts of container runtimes and registries that say that no later attempt can succeed. */
const HOPELESS =
  /not found|manifest unknown|name unknown|no such image|repository does not exist|denied|unauthorized|authorization failed|authentication required|no basic auth credentials|forbidden|invalid reference/i;
/** What a registry, or what is before it, may answer better a moment later, whatever else its text says. */
const PASSING =
  /\b(?:429|5\d\d)\b[ :]+[A-Z]|toomanyrequests|too many requests|rate ?limit|bad gateway|service unavailable|gateway time-?out|internal server error|temporarily|timed out|timeout|connection (?:refused|reset)|no such host|code = (?:Unavailable|DeadlineExceeded|ResourceExhausted)/i;
const OTHER_PLATFORM = /no match for platform|no matching manifest for|no image found in/i;
/** Names of images and addresses in such texts: their words are the user's, not the registry's. */
const NAMES = /"[^"\s]*"|\S*\/\S*/g;

/** How long a registry that fails is waited for where no setting says it. */
const GRACE_MS = 120_000;

export interface ImageSubject {
  /** Whose image it is, as the subject of a sentence. */
  readonly whose: string;
  /** Whether the reader has chosen it; otherwise an administrator has. */
  readonly chosen: boolean;
  /** Reasons of the kubelet that need no text. */
  readonly reason?: 'InvalidImageName' | 'ErrImageNeverPull';
}

/** Why a container has no image: what the kubelet quotes of the container runtime, and that of the registry. */
export function imageTrouble(text: string, { whose, chosen, reason }: ImageSubject): Trouble {
  const subject = chosen ? 'The image' : `The image for ${whose}`;
  const tell = chosen ? '' : ' Tell an administrator.';
  if (reason === 'InvalidImageName') {
    const name = chosen ? 'the image' : `the image for ${whose}`;
    return { reason, message: `The name of ${name} is not valid.${tell}`, afterMs: 0 };
  }
  if (reason === 'ErrImageNeverPull') {
    const message = `${subject} is not on the machine and may not be pulled.${tell}`;
    return { reason: 'ImageNotFound', message, afterMs: 0 };
  }
  const words = text.replaceAll(NAMES, '');
  if (OTHER_PLATFORM.test(words)) {
    const act = chosen ? ' Choose another image.' : tell;
    const message = `${subject} is not made for the kind of machine that was to run it (processor or operating system).${act}`;
    return { reason: 'ImagePlatform', message, afterMs: 0 };
  }
  if (HOPELESS.test(words) && !PASSING.test(words)) {
    const act = chosen ? ' Check its name and tag.' : tell;
    const message = `${subject} does not exist, or the cluster may not read it.${act}`;
    return { reason: 'ImageNotFound', message, afterMs: 0 };
  }
  const message = `${subject} cannot be fetched from its registry at the moment.`;
  return { reason: 'ImagePullError', message, afterMs: GRACE_MS, waitsFor: 'image' };
}
