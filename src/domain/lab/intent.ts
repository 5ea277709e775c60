import type { V1ObjectMeta, V1Secret } from '@kubernetes/client-node';
import type { LabKey, LabSecrets, LabSpec } from './lab.ts';
import { readLabSpec, unreadableSpec } from './lab-spec.ts';
import { CONTROLLER_LABEL, KIND_LABEL, LAB_LABEL, labSlug, MANAGED_BY, MANAGED_BY_LABEL } from '../names.ts';
import type { LabBuild, LabBuiltImage, LabFailure, ObservedIntent } from './observed.ts';
import { parseAnnotation } from '../annotation.ts';
import type { Finding } from './reasons.ts';
import {
  intentName,
  LAB_INTENT_KIND,
  LAB_SPEC_ANNOTATION,
  SERVERNAME_ANNOTATION,
  USERNAME_ANNOTATION,
} from './object-names.ts';

/**
 * The intent: one Secret per lab in the controller's own namespace. Its name follows from the lab's key, so that the API
 * server decides which of two creates wins.
 *
 * | what | where | seen by the watch |
 * |---|---|---|
 * | user, options, image, size, deadline | annotation `spec` | yes |
 * | environment and token | data | no: it asks for metadata only |
 * | the lab is to go | annotation `deleting` | yes |
 * | the lab is over, and why | annotation `failure` | yes |
 * | pod and secrets of a failed lab are gone | annotation `cleaned` | yes |
 * | the build whose image it waits for, and that image | annotations `image-build`, `image` | yes |
 * | what the cluster does not do for it at the moment | annotation `hindrance` | yes |
 * | when a token that Labwright signs was renewed | annotation `token-renewed` | yes |
 *
 * A token that Labwright signs is not in here: it is made anew whenever it is needed.
 */
const DELETING = 'labwright.dev/deleting';
const FAILURE = 'labwright.dev/failure';
const CLEANED = 'labwright.dev/cleaned';
const HINDRANCE = 'labwright.dev/hindrance';
const TOKEN_RENEWED = 'labwright.dev/token-renewed';
const IMAGE_BUILD = 'labwright.dev/image-build';
/** What that annotation was called before; intents that were written then are still read. */
const IMAGE_BUILD_BEFORE = 'labwright.dev/build';
const IMAGE = 'labwright.dev/image';
const ENV_KEY = 'env.json';
const TOKEN_KEY = 'token';
/** Nobody can change it: it tells an intent of which nothing else is left from somebody else's Secret. */
export const INTENT_TYPE = 'labwright.dev/lab-intent';

type IntentVersion = Pick<ObservedIntent, 'uid' | 'resourceVersion'>;

/**
 * @param namespace the controller's own
 * @param resourceVersion given: replace the intent of that version (a lab that is over) and no other
 */
export function buildIntent(
  spec: LabSpec,
  secrets: LabSecrets,
  namespace: string,
  resourceVersion?: string,
): V1Secret & { metadata: V1ObjectMeta } {
  const key: LabKey = { username: spec.user.username, servername: spec.servername };
  const slug = labSlug(key);
  return {
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: {
      name: intentName(slug),
      namespace,
      ...(resourceVersion === undefined ? {} : { resourceVersion }),
      labels: intentLabels(slug, namespace),
      annotations: {
        [USERNAME_ANNOTATION]: key.username,
        [SERVERNAME_ANNOTATION]: key.servername,
        [LAB_SPEC_ANNOTATION]: JSON.stringify(spec),
      },
    },
    type: INTENT_TYPE,
    data: {
      [ENV_KEY]: encode(JSON.stringify(secrets.env)),
      ...(secrets.token === null ? {} : { [TOKEN_KEY]: encode(secrets.token) }),
    },
  };
}

/** The intent of a lab whose pod is there, from what that says. An image that was built for it is there. */
export function adoptedIntent(spec: LabSpec, namespace: string): V1Secret {
  const intent = buildIntent({ ...spec, adopted: true }, { env: {}, token: null }, namespace);
  if (spec.source === undefined) return intent;
  const { reference, digest } = spec.image;
  const image: LabBuiltImage = { reference, digest, at: spec.createdAt };
  const annotations = { ...intent.metadata.annotations, [IMAGE]: JSON.stringify(image) };
  return { ...intent, metadata: { ...intent.metadata, annotations } };
}

/** Merge patch: the lab is to go. Its secrets go with this call; `uid` makes sure that it is this lab. */
export function deletingPatch(uid: string, at: number): object {
  return { metadata: { uid, annotations: { [DELETING]: new Date(at).toISOString() } }, data: null };
}

/**
 * Merge patch: the lab is over, for this reason. Its secrets go with this call. It is for this version of the intent: a
 * failed lab's intent may be replaced by that of a new lab, which has the same uid.
 */
export function failurePatch({ uid, resourceVersion }: IntentVersion, failure: LabFailure): object {
  return { metadata: { uid, resourceVersion, annotations: { [FAILURE]: JSON.stringify(failure) } }, data: null };
}

/** Merge patch: nothing of the failed lab runs any more and nothing secret is left. For this version, as above. */
export function cleanedPatch({ uid, resourceVersion }: IntentVersion): object {
  return { metadata: { uid, resourceVersion, annotations: { [CLEANED]: 'true' } } };
}

/** Merge patch: what the cluster does not do for the lab at the moment. For this version, as above. */
export function hindrancePatch({ uid, resourceVersion }: IntentVersion, { reason, message }: Finding): object {
  return { metadata: { uid, resourceVersion, annotations: { [HINDRANCE]: JSON.stringify({ reason, message }) } } };
}

/**
 * Merge patch: the lab has a token that was made at this time. For this version: a lab that is over, or was asked for anew,
 * has another.
 */
export function renewedPatch({ uid, resourceVersion }: IntentVersion, at: number): object {
  return { metadata: { uid, resourceVersion, annotations: { [TOKEN_RENEWED]: new Date(at).toISOString() } } };
}

/** Merge patch: the build whose image the lab waits for. For this version: the lab may be over, or another. */
export function buildOfLabPatch({ uid, resourceVersion }: IntentVersion, build: LabBuild): object {
  return { metadata: { uid, resourceVersion, annotations: { [IMAGE_BUILD]: JSON.stringify(build) } } };
}

/** Merge patch: the image that was built for the lab. For this version, as above. */
export function imageOfLabPatch({ uid, resourceVersion }: IntentVersion, image: LabBuiltImage): object {
  return { metadata: { uid, resourceVersion, annotations: { [IMAGE]: JSON.stringify(image) } } };
}

/**
 * What an intent says; undefined when it is none. One that somebody has damaged is an intent all the same: it is in the way of
 * the next one, and what it asked for may run.
 */
export function parseIntent(metadata: V1ObjectMeta | undefined): ObservedIntent | undefined {
  const annotations = metadata?.annotations ?? {};
  const name = metadata?.name;
  const isOne = metadata?.labels?.[KIND_LABEL] === LAB_INTENT_KIND || annotations[LAB_SPEC_ANNOTATION] !== undefined;
  if (metadata === undefined || name === undefined || !isOne || !name.startsWith(intentName(''))) return undefined;
  const slug = name.slice(intentName('').length);
  const spec = ownSpec(readLabSpec(annotations[LAB_SPEC_ANNOTATION]), slug);
  return {
    slug,
    name,
    uid: metadata.uid ?? '',
    resourceVersion: metadata.resourceVersion ?? '',
    spec:
      spec ??
      unreadableSpec(slug, {
        username: annotations[USERNAME_ANNOTATION],
        servername: annotations[SERVERNAME_ANNOTATION],
        createdAt: new Date(metadata.creationTimestamp ?? 0).getTime(),
      }),
    damaged: spec === undefined,
    deleting: annotations[DELETING] !== undefined,
    failure: annotations[FAILURE] === undefined ? null : readFailure(annotations[FAILURE]),
    cleaned: annotations[CLEANED] !== undefined,
    build: readObject<LabBuild>(annotations[IMAGE_BUILD] ?? annotations[IMAGE_BUILD_BEFORE], ['id']),
    builtImage: readObject<LabBuiltImage>(annotations[IMAGE], ['reference', 'digest', 'at']),
    hindrance: readFinding(annotations[HINDRANCE]),
    tokenRenewedAt: parseTime(annotations[TOKEN_RENEWED]),
  };
}

/** The specification, if it is that of this lab: somebody may have written another one's names into it. */
function ownSpec(spec: LabSpec | undefined, slug: string): LabSpec | undefined {
  const key = { username: spec?.user.username ?? '', servername: spec?.servername ?? '' };
  return labSlug(key) === slug ? spec : undefined;
}

/**
 * Merge patch: the labels by which the watch finds the intent, where somebody has taken them away; undefined where all are
 * there.
 */
export function relabelPatch(metadata: V1ObjectMeta, namespace: string): object | undefined {
  const intent = parseIntent(metadata);
  if (intent === undefined) return undefined;
  const labels = intentLabels(intent.slug, namespace);
  const found = metadata.labels ?? {};
  if (Object.entries(labels).every(([key, value]) => found[key] === value)) return undefined;
  return { metadata: { uid: intent.uid, resourceVersion: intent.resourceVersion, labels } };
}

function intentLabels(slug: string, namespace: string): Record<string, string> {
  return {
    [MANAGED_BY_LABEL]: MANAGED_BY,
    [KIND_LABEL]: LAB_INTENT_KIND,
    [CONTROLLER_LABEL]: namespace,
    [LAB_LABEL]: slug,
  };
}

/** The secret half of an intent that was read with its data. */
export function parseSecrets(intent: V1Secret): LabSecrets {
  const token = intent.data?.[TOKEN_KEY];
  return {
    env: parseAnnotation<Record<string, string>>(decode(intent.data?.[ENV_KEY] ?? '')) ?? {},
    token: token === undefined ? null : decode(token),
  };
}

/** An object of an annotation; null where it is not there or lacks one of these. It is asked for anew then. */
function readObject<T extends object>(annotation: string | undefined, keys: ReadonlyArray<keyof T>): T | null {
  const value = parseAnnotation<T | null>(annotation) ?? null;
  return typeof value === 'object' && value !== null && keys.every((key) => key in value) ? value : null;
}

function readFinding(annotation: string | undefined): Finding | null {
  const finding = readObject<Finding>(annotation, ['reason', 'message']);
  return typeof finding?.reason === 'string' && typeof finding.message === 'string' ? finding : null;
}

/** A failure that can be told: otherwise only that there was one. */
function readFailure(annotation: string): LabFailure {
  const failure = readObject<LabFailure>(annotation, ['reason', 'message', 'at', 'status']);
  return failure !== null && typeof failure.at === 'number' && typeof failure.message === 'string'
    ? failure
    : UNREADABLE;
}

/** A lab that has failed stays so, also when somebody has damaged the reason. */
const UNREADABLE: LabFailure = { reason: 'Error', message: 'The lab has failed.', at: 0, status: 'failed' };

function parseTime(text: string | undefined): number | null {
  const at = Date.parse(text ?? '');
  return Number.isNaN(at) ? null : at;
}

function encode(text: string): string {
  return Buffer.from(text).toString('base64');
}

function decode(text: string): string {
  return Buffer.from(text, 'base64').toString('utf8');
}
