/** Which machines have an image already, as far as labs can be placed there. */
export interface Warmth {
  /** Names of nodes that have it. */
  readonly nodes: readonly string[];
  /** Names of nodes that labs can be placed on and that lack it. */
  readonly missing: readonly string[];
  /** Why it could not be pulled, where the last attempt has failed. */
  readonly failure?: { readonly reason: string; readonly message: string };
  /** Milliseconds that a pull of it has taken, in the middle of those that were seen. */
  readonly pullMs?: number;
}

/** What machines have; undefined of an image that nobody keeps account of. */
export type FindWarmth = (digest: string) => Warmth | undefined;
