import { capitalize } from '../../util/capitalize.ts';
import type { LabPhase, LabState } from '../../domain/lab/lab.ts';

/** What a phase means for the person whose lab it is. */
const PHASES: Readonly<Record<LabPhase, string>> = {
  accepted: 'Starting: the request has been accepted',
  building: 'Starting: its image is being built',
  waiting_for_namespace: 'Starting: waiting until the last lab has been cleared away',
  creating: 'Starting: the lab is being set up',
  scheduling: 'Starting: waiting for a machine',
  pulling: 'Starting: the image is being fetched',
  starting: 'Starting: the server of the lab is coming up',
  running: 'Running',
  deleting: 'Stopping',
  terminated: 'Stopped',
  failed: 'Failed',
};

/** The state in two words or a sentence; the rest of the sentence, where there is one, stands apart. */
export function phaseWords({ phase }: Pick<LabState, 'phase'>): { readonly state: string; readonly detail: string } {
  const [state = '', detail = ''] = PHASES[phase].split(': ');
  return { state, detail: detail === '' ? '' : `${capitalize(detail)}.` };
}

/** Since when it is as it is. */
export function sinceWords(
  { phase, startedAt, finishedAt, spec }: Pick<LabState, 'phase' | 'startedAt' | 'finishedAt' | 'spec'>,
  now: number,
): { readonly label: string; readonly at: number; readonly ago: string } {
  const ended = phase === 'failed' || phase === 'terminated';
  const at = (ended ? finishedAt : phase === 'running' ? startedAt : null) ?? spec.createdAt;
  const label = ended && finishedAt !== null ? 'Ended' : phase === 'running' ? 'Running since' : 'Asked for';
  return { label, at, ago: agoWords(now - at) };
}

/** `3 hours ago`, in the largest unit that fits. */
export function agoWords(ms: number): string {
  const minutes = Math.floor(ms / 60_000);
  if (minutes < 1) return 'just now';
  if (minutes < 60) return `${amount(minutes, 'minute')} ago`;
  const hours = Math.floor(minutes / 60);
  return hours < 48 ? `${amount(hours, 'hour')} ago` : `${amount(Math.floor(hours / 24), 'day')} ago`;
}

/** `21 November 2026, 12:01 UTC` */
export function timeWords(ms: number): string {
  const time = new Intl.DateTimeFormat('en-GB', {
    day: 'numeric',
    month: 'long',
    year: 'numeric',
    hour: '2-digit',
    minute: '2-digit',
    timeZone: 'UTC',
  });
  return `${time.format(ms).replace(' at ', ', ')} UTC`;
}

function amount(number: number, unit: string): string {
  return `${String(number)} ${unit}${number === 1 ? '' : 's'}`;
}
