/** An image that is to be on the nodes before anybody asks for it. */
export interface WantedImage {
  /** `registry/repository:tag@sha256:…`, as the container of a lab names it. */
  readonly reference: string;
  /** `sha256:…` of what the tag names: an index where there is one for several architectures. */
  readonly digest: string;
  /** For people. */
  readonly name: string;
  /** Compressed bytes of all layers; null when not known. */
  readonly size: number | null;
  /** `amd64`, `arm64`; null when not known. */
  readonly architectures: readonly string[] | null;
}

/** Says which images are wanted, the most important first. */
export interface WantedImages {
  wanted(): readonly WantedImage[];
  /** Calls the listener after each change, until `signal` aborts. */
  onChange(listener: () => void, signal: AbortSignal): void;
}
