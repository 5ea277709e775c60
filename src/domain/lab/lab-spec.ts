import { isRecord } from '../../util/is-record.ts';
import { parseAnnotation } from '../annotation.ts';
import { labSlug } from '../names.ts';
import type { LabSpec } from './lab.ts';

type Check = (value: unknown) => boolean;

const text: Check = (value) => typeof value === 'string';
const count: Check = (value) => typeof value === 'number' && Number.isFinite(value);
const flag: Check = (value) => typeof value === 'boolean';
const absentOr =
  (check: Check): Check =>
  (value) =>
    value === undefined || check(value);
const nullOr =
  (check: Check): Check =>
  (value) =>
    value === null || check(value);
const list =
  (check: Check): Check =>
  (value) =>
    Array.isArray(value) && value.every(check);
const object =
  (fields: Readonly<Record<string, Check>>): Check =>
  (value) =>
    isRecord(value) && Object.entries(fields).every(([key, check]) => check(value[key]));
const record =
  (check: Check): Check =>
  (value) =>
    isRecord(value) && Object.values(value).every(check);

const time: Check = (value) => typeof value === 'number' && Math.abs(value) <= 8.64e15;
const quantity = object({ cpu: count, memory: count });

/** Whatever is read of a specification somewhere; what was added in a later version may be absent. */
const IS_LAB_SPEC = object({
  spawnId: text,
  user: object({
    username: text,
    name: absentOr(nullOr(text)),
    uid: count,
    gid: count,
    groups: list(object({ name: text, id: count })),
    email: absentOr(text),
    home: absentOr(text),
  }),
  servername: text,
  namespace: text,
  objectName: absentOr(text),
  options: object({ size: text, enable_debug: flag, reset_user_env: flag, image: text }),
  image: object({ reference: text, name: text, digest: text, asked: absentOr(text), origin: absentOr(text) }),
  overlays: absentOr(list(text)),
  profile: absentOr(object({ name: text, options: record(record(text)), ownSize: absentOr(flag) })),
  source: absentOr(object({ repository: isRecord, ref: text, path: text })),
  resources: object({ limits: quantity, requests: quantity }),
  extendedResources: record(text),
  quota: nullOr(quantity),
  servicePrefix: text,
  earlierSpawns: absentOr(list(text)),
  createdAt: time,
  deadline: time,
});

/** Whether a lab can be made, and told of, from it: it comes from an annotation, which somebody may have edited. */
export function isLabSpec(value: unknown): value is LabSpec {
  return IS_LAB_SPEC(value);
}

/** The specification in an annotation; undefined where it is not there or damaged. */
export function readLabSpec(annotation: string | undefined): LabSpec | undefined {
  const spec = parseAnnotation<unknown>(annotation);
  return isLabSpec(spec) ? spec : undefined;
}

/**
 * What can be told of a lab whose specification cannot be read: whose it is, and nothing that anything is made from. Without
 * the list of earlier spawns everything of the lab goes with it.
 *
 * @param slug what its objects are labelled with; names that do not belong to it are damaged, too
 */
export function unreadableSpec(
  slug: string,
  {
    username,
    servername,
    createdAt,
  }: { username: string | undefined; servername: string | undefined; createdAt: number },
): LabSpec {
  const key = { username: username ?? slug, servername: servername ?? '' };
  const known = username !== undefined && labSlug(key) === slug ? key : { username: slug, servername: '' };
  const none = { cpu: 0, memory: 0 };
  return {
    spawnId: 'unreadable',
    user: { username: known.username, name: null, uid: 0, gid: 0, groups: [] },
    servername: known.servername,
    namespace: '',
    options: { size: '', enable_debug: false, reset_user_env: false, image: '' },
    image: { reference: '', name: '', digest: '' },
    resources: { limits: none, requests: none },
    extendedResources: {},
    quota: null,
    servicePrefix: '/',
    createdAt,
    deadline: createdAt,
  };
}
