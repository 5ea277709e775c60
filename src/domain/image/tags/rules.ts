import type { ParsedTag } from './tag.ts';

/** Which tags of a repository are offered, and how; the key `tags` of a source of images. */
export interface TagRules {
  readonly grammar: 'rubin' | 'semver' | 'date' | PatternRules;
  /** The tag of the image that is recommended. */
  readonly recommended?: string | undefined;
  /** Tags that are moved from image to image: they are offered under their own name, with what they stand for. */
  readonly aliases: readonly string[];
  /** Only tags of this cycle are offered, beside those that are named. */
  readonly cycle?: number | undefined;
  readonly pinned: readonly string[];
  readonly kinds: Readonly<Record<string, KindRules>>;
  /** Regular expressions for whole tags; a tag has to match one of them where there are any. */
  readonly include: readonly string[];
  readonly exclude: readonly string[];
  readonly deprecated: readonly string[];
}

export interface PatternRules {
  readonly pattern: string;
  /** What the group `kind` of the pattern can be, in the order of menus. */
  readonly kinds?: readonly string[] | undefined;
}

export interface KindRules {
  /** How many of the newest images are offered first and pulled ahead. */
  readonly wanted: number;
  /** How many of the newest images are in the menu; all when absent. */
  readonly listed?: number | undefined;
  /** Milliseconds; tags without a date are of no age. */
  readonly maxAge?: number | undefined;
  /** The oldest tag, or the first day; tags without a date are of no day. */
  readonly since?: string | undefined;
}

/** A tag, and the digest of its image where that is known. */
export interface TaggedDigest {
  readonly tag: string;
  /** `sha256:…` */
  readonly digest: string | null;
}

/** A tag as it is offered. */
export interface ArrangedTag extends ParsedTag {
  readonly digest: string | null;
  /** Other tags that are offered and known to be of the same image, sorted. */
  readonly aliases: readonly string[];
  /** The tag that this alias stands for; null when it is no alias, or not known to be one of a tag that is offered. */
  readonly aliasOf: string | null;
  /** Chosen by the rules as one to offer first and to pull ahead: recommended, pinned, or one of the newest of its kind. */
  readonly wanted: boolean;
  readonly recommended: boolean;
  /** Listed in the menu of all images. */
  readonly listed: boolean;
  readonly deprecated: boolean;
}

export interface Arranged {
  /** In the order of menus: the recommended one, other aliases, then kind by kind, newest first. */
  readonly tags: readonly ArrangedTag[];
}
