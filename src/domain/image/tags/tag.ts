/** What the text of a tag says of its image. */
export interface ParsedTag {
  readonly tag: string;
  /** A word of the grammar: `release`, `weekly`, and so on; `unknown` for what the grammar does not know. */
  readonly kind: string;
  /** For people: `Weekly 2077_43`. */
  readonly title: string;
  /** The date in the tag, in milliseconds since the epoch (UTC midnight); null when there is none. */
  readonly date: number | null;
  /** Rubin's cycle; null elsewhere. */
  readonly cycle: number | null;
  /** Architecture in the tag (`amd64` of `-amd64`); null when it names none. */
  readonly architecture: string | null;
}

/** One part of what tags are ordered by: nothing is below numbers, numbers are below text, text is below lists. */
export type SortKey = null | number | bigint | string | readonly SortKey[];

/** A tag with what it is ordered by among tags of its kind; the greater one is the newer one. */
export interface SortableTag extends ParsedTag {
  readonly order: SortKey;
}

/** How the tags of a repository are read and ordered. */
export interface TagGrammar {
  /** In the order of menus. `unknown` is the last. */
  readonly kinds: readonly string[];
  /** The kinds whose tags can have a date. */
  readonly dated: readonly string[];
  readonly hasCycles: boolean;
  readonly parse: (tag: string) => SortableTag;
  readonly parseAll: (tags: readonly string[]) => readonly SortableTag[];
  /** A total order over everything that `parse` returns: kinds in order, newest first inside a kind; 0 for the same tag only. */
  readonly compare: (one: SortableTag, other: SortableTag) => number;
}

/** The kind of tags that a grammar does not know. */
export const UNKNOWN = 'unknown';

/** Longest tag, by the OCI distribution specification. */
export const TAG_LENGTH = 128;
