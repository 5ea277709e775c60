/** Something Labwright is started with cannot be used: one sentence for whoever can mend it, and nothing that is secret. */
export class SetupError extends Error {
  override readonly name = 'SetupError';
}
