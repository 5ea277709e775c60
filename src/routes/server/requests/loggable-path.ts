/** Longest path that is logged. */
const PATH_LENGTH = 2048;
/** An address in a path may have a password before its `@`, however often that is escaped. */
const BUILD_OF_ADDRESS = /^(.*?\/build\/).*(?:@|%(?:25)*40)/is;

/** A path as the access log has it: bounded, and without what somebody may have written a password into. */
export function loggablePath(path: string): string {
  const start = BUILD_OF_ADDRESS.exec(path)?.[1];
  return (start === undefined ? path : `${start}…`).slice(0, PATH_LENGTH);
}
