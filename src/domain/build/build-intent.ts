import type { V1Job, V1JobStatus, V1ObjectMeta } from '@kubernetes/client-node';
import type { BuildResult, BuildSpec } from './build.ts';
import { CONTROLLER_LABEL, KIND_LABEL, MANAGED_BY, MANAGED_BY_LABEL, slugOf } from '../names.ts';
import { parseAnnotation } from '../annotation.ts';

/**
 * The intent of a build: a suspended Job in the namespace of builds. Its name follows from the build's key, so that the API
 * server decides which of two creates wins.
 *
 * | what | where | changes |
 * |---|---|---|
 * | repository, commit, image, who asked | annotation `build` | never |
 * | somebody waits for it until then | annotation `wanted-until` | while there are readers |
 * | it is to end, and who wants that | annotation `cancel` | once |
 * | what it does, as its log says, and what holds it up | annotation `progress` | by the replica that leads |
 * | how it ended | annotation `result` | once |
 * | its turn has come | `spec.suspend` | by whoever releases it: Labwright or Kueue |
 *
 * What is secret is in a Secret of the same name that the Job owns.
 */
/** The specification, as JSON. */
const BUILD = 'labwright.dev/build';
const WANTED_UNTIL = 'labwright.dev/wanted-until';
const CANCEL = 'labwright.dev/cancel';
const RESULT = 'labwright.dev/result';
const PROGRESS = 'labwright.dev/progress';

/** Value of the kind label on everything of a build. */
export const BUILD_KIND = 'build';
/** Label on everything of a build: its id. */
export const BUILD_LABEL = 'labwright.dev/build-id';
/** Labels for people who look with kubectl: slugs of user and repository. */
export const BUILD_USER_LABEL = 'labwright.dev/user';
export { BUILD_CONTAINER } from './build-run.ts';

/** Name of the Job of a build and of its Secret. */
export function buildObjectName(id: string): string {
  return `build-${id}`;
}

/** Selects what belongs to the builds of one controller. */
export function buildSelector(controller: string): string {
  return `${MANAGED_BY_LABEL}=${MANAGED_BY},${CONTROLLER_LABEL}=${controller},${KIND_LABEL}=${BUILD_KIND}`;
}

/** The labels of everything that belongs to one build. */
export function buildLabels(spec: Pick<BuildSpec, 'id' | 'requestedBy'>, controller: string): Record<string, string> {
  return {
    [MANAGED_BY_LABEL]: MANAGED_BY,
    [KIND_LABEL]: BUILD_KIND,
    [CONTROLLER_LABEL]: controller,
    [BUILD_LABEL]: spec.id,
    [BUILD_USER_LABEL]: slugOf(spec.requestedBy),
  };
}

/** The annotations of a Job that was just asked for. */
export function buildAnnotations(spec: BuildSpec, interestExpiresAt: number): Record<string, string> {
  return { [BUILD]: JSON.stringify(spec), [WANTED_UNTIL]: new Date(interestExpiresAt).toISOString() };
}

/** What is kept of the Job of a build. */
export interface ObservedBuild {
  readonly spec: BuildSpec;
  readonly name: string;
  readonly uid: string;
  readonly resourceVersion: string;
  readonly suspended: boolean;
  /** Whether Kubernetes has ended the Job, and how: the reason of its condition `Failed`, or `Complete`. */
  readonly finished: string | null;
  readonly terminating: boolean;
  /** Milliseconds since the epoch. */
  readonly interestExpiresAt: number;
  /** Who wants it to end, and which reason that is; null while nobody does. */
  readonly cancel: { readonly by: string; readonly reason: 'Cancelled' | 'Abandoned' } | null;
  readonly result: BuildResult | null;
  /** What the replica that leads has noted for the readers of the others; absent when that is nothing. */
  readonly progress?: BuildProgress;
}

/** What only the replica knows that follows the log of a build and asks the registry for its image. */
export interface BuildProgress {
  /** repo2docker's word for what it is doing. */
  readonly phase?: string;
  /** What holds up the end, in one sentence. */
  readonly message?: string;
}

/** Whether a request may join it: what is over, or on its way out, is nobody's answer. */
export function isUnderWay({ result, cancel, terminating }: ObservedBuild): boolean {
  return result === null && cancel === null && !terminating;
}

/** What the Job of a build says; undefined for one that this version cannot read. */
export function parseBuild({ metadata, spec, status }: V1Job): ObservedBuild | undefined {
  const build = parseAnnotation<BuildSpec>(metadata?.annotations?.[BUILD]);
  if (metadata?.name === undefined || !isBuildSpec(build) || metadata.labels?.[BUILD_LABEL] !== build.id) {
    return undefined;
  }
  const annotations = metadata.annotations ?? {};
  const progress = progressOf(annotations[PROGRESS]);
  return {
    ...(progress === undefined ? {} : { progress }),
    spec: build,
    name: metadata.name,
    uid: metadata.uid ?? '',
    resourceVersion: metadata.resourceVersion ?? '',
    suspended: spec?.suspend === true,
    finished: endOf(status),
    terminating: metadata.deletionTimestamp !== undefined,
    interestExpiresAt: Date.parse(annotations[WANTED_UNTIL] ?? '') || 0,
    cancel: cancelOf(annotations[CANCEL]),
    result: resultOf(annotations[RESULT], build.createdAt),
  };
}

/** Newer versions put other conditions before the one that counts, so all are looked at. */
function endOf(status: V1JobStatus | undefined): string | null {
  const is = (wanted: string) =>
    status?.conditions?.find((condition) => condition.type === wanted && condition.status === 'True');
  if (is('Complete') !== undefined) return 'Complete';
  const failed = is('Failed');
  return failed === undefined ? null : (failed.reason ?? 'Failed');
}

type Version = Pick<ObservedBuild, 'uid' | 'resourceVersion'>;

/** Merge patch: somebody waits for the build until then, milliseconds since the epoch. */
export function interestPatch({ uid }: Pick<Version, 'uid'>, until: number): object {
  return { metadata: { uid, annotations: { [WANTED_UNTIL]: new Date(until).toISOString() } } };
}

/** Merge patch: the build is to end. For this version: it may have ended, or somebody may wait for it again. */
export function cancelPatch({ uid, resourceVersion }: Version, cancel: NonNullable<ObservedBuild['cancel']>): object {
  return { metadata: { uid, resourceVersion, annotations: { [CANCEL]: JSON.stringify(cancel) } } };
}

/** Merge patch: what the build does now, for the readers of other replicas. */
export function progressPatch({ uid }: Pick<Version, 'uid'>, progress: BuildProgress): object {
  return { metadata: { uid, annotations: { [PROGRESS]: JSON.stringify(progress) } } };
}

/** The annotation of a Job whose build is over before it began: its image was there. */
export function resultAnnotation(result: BuildResult): Record<string, string> {
  return { [RESULT]: JSON.stringify(result) };
}

/** Merge patch: how the build ended. For this version, so that it is said once. */
export function resultPatch({ uid, resourceVersion }: Version, result: BuildResult): object {
  return { metadata: { uid, resourceVersion, annotations: { [RESULT]: JSON.stringify(result) } } };
}

/** Merge patch: the turn of the build has come. For this version: it may have ended meanwhile, and must not run then. */
export function releasePatch({ uid, resourceVersion }: Pick<Version, 'uid'> & Partial<Version>): object {
  return { metadata: { uid, resourceVersion }, spec: { suspend: false } };
}

/** Merge patch: the Job makes no more pods, and ends those it has. */
export function suspendPatch(uid: string): object {
  return { metadata: { uid }, spec: { suspend: true } };
}

/** The part of an object's metadata that all objects of a build share. */
export function buildMetadata(spec: BuildSpec, where: { controller: string; namespace: string }): V1ObjectMeta {
  return { name: buildObjectName(spec.id), namespace: where.namespace, labels: buildLabels(spec, where.controller) };
}

/** One that is to end stays so, also when somebody has damaged who wanted that. */
function cancelOf(text: string | undefined): ObservedBuild['cancel'] {
  if (text === undefined) return null;
  const { by, reason } = parseAnnotation<Partial<NonNullable<ObservedBuild['cancel']>>>(text) ?? {};
  return { by: String(by ?? ''), reason: reason === 'Abandoned' ? reason : 'Cancelled' };
}

/** Readers are told what it says: anything else in it is left out. */
function progressOf(text: string | undefined): BuildProgress | undefined {
  const found: { [Key in keyof BuildProgress]?: unknown } | undefined =
    text === undefined ? undefined : (parseAnnotation(text) ?? undefined);
  if (found === undefined) return undefined;
  const { phase, message } = found;
  return {
    ...(typeof phase === 'string' ? { phase } : {}),
    ...(typeof message === 'string' ? { message } : {}),
  };
}

/** A build that has ended stays so, also when somebody has damaged the result. */
function resultOf(text: string | undefined, createdAt: number): BuildResult | null {
  if (text === undefined) return null;
  const result: { [Key in 'status' | 'digest' | 'reason' | 'message' | 'at']?: unknown } | undefined =
    parseAnnotation(text) ?? undefined;
  const texts = result?.status === 'ready' ? [result.digest] : [result?.reason, result?.message];
  const isResult =
    ['ready', 'failed', 'cancelled'].includes(String(result?.status)) &&
    texts.every((part) => typeof part === 'string') &&
    isTime(result?.at);
  // It is as old as the build at least: what is left of it is kept for a while all the same.
  return isResult ? (result as BuildResult) : { ...UNREADABLE, at: createdAt };
}

const UNREADABLE = { status: 'failed', reason: 'Error', message: 'The build has failed.' } as const;

/** Whether it is a moment that a Date can hold. */
function isTime(ms: unknown): boolean {
  return typeof ms === 'number' && !Number.isNaN(new Date(ms).getTime());
}

function isBuildSpec(spec: BuildSpec | undefined): spec is BuildSpec {
  const { id, key, image, requestedBy, repository, createdAt } = (spec ?? {}) as { [Key in keyof BuildSpec]?: unknown };
  const { url, commit } = (repository ?? {}) as { url?: unknown; commit?: unknown };
  return [id, key, image, requestedBy, url, commit].every((text) => typeof text === 'string') && isTime(createdAt);
}
