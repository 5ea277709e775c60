/** Longest name of a user or of a server, in bytes of UTF-8: what JupyterHub's own database columns hold. */
export const IDENTITY_NAME_BYTES = 255;

/** Its form, as far as a regular expression says it. */
export const IDENTITY_NAME = /^(?!\.{1,2}$)[^/\u0000-\u001f\u007f-\u009f]+$/;

/**
 * Whether a text can name a user or a named server.
 *
 * Hubs allow almost anything, and so do we: the name is turned into a slug before it comes near Kubernetes. Refused are
 * what no hub sends and what would mean something else in a path (a slash, `.` and `..`: the name becomes part of the
 * home directory), and control characters, which would break the lines of passwd files, headers and logs.
 */
export function isIdentityName(name: string): boolean {
  return IDENTITY_NAME.test(name) && name.isWellFormed() && Buffer.byteLength(name) <= IDENTITY_NAME_BYTES;
}
