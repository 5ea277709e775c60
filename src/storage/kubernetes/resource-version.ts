/**
 * Whether resource version `a` is newer than `b`.
 *
 * Kubernetes promises since 1.35 (KEP-5504) what has held for every etcd-backed server: versions of one resource are
 * decimal numbers that grow. They may be longer than a double holds exactly, so they are compared as text.
 */
export function isNewer(a: string, b: string): boolean {
  return a.length === b.length ? a > b : a.length > b.length;
}
