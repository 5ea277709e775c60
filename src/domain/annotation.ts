/** A value that was written as JSON into an annotation; undefined for one that is not there or that somebody has damaged. */
export function parseAnnotation<T>(text: string | undefined): T | undefined {
  if (text === undefined) return undefined;
  try {
    return JSON.parse(text) as T;
  } catch {
    return undefined;
  }
}
