import { splitArchitecture } from './architecture.ts';
import { architectureKey, naturalKey, newestFirst, numberKey } from './order.ts';
import { type SortableTag, type SortKey, TAG_LENGTH, type TagGrammar, UNKNOWN } from './tag.ts';

const KINDS = ['release', 'prerelease', UNKNOWN] as const;
const NUMBER = '(?:0|[1-9]\\d*)';
const VERSION = new RegExp(
  `^v?(${NUMBER})(?:\\.(${NUMBER})(?:\\.(${NUMBER}))?)?(?:-([0-9a-z.-]+))?(?:[+_]([0-9a-z._-]+))?$`,
  'i',
);
/** A number alone is a version up to here; longer ones are dates, counters or commits. */
const LONGEST_MAJOR = 4;

/**
 * Semantic versions, as images are tagged with them: `v` may come first, and minor and patch may be left out, which are then the
 * tags that are moved to each new version (`4.2`, `4`). What comes after `_` is build metadata, because a tag cannot have a `+`; it is
 * compared after everything else, where the specification leaves the order open.
 */
export const semver: TagGrammar = {
  kinds: KINDS,
  dated: [],
  hasCycles: false,
  parse,
  parseAll: (tags) => tags.map(parse),
  compare: newestFirst(KINDS),
};

function parse(tag: string): SortableTag {
  const [text, architecture] = splitArchitecture(tag);
  const version = tag.length > TAG_LENGTH ? undefined : versionOf(text);
  const said = { tag, date: null, cycle: null, architecture };
  const suffix = architecture === null ? '' : ` [${architecture}]`;
  if (version === undefined) {
    const order = [naturalKey(text), architectureKey(architecture)];
    return { ...said, kind: UNKNOWN, title: `${text}${suffix}`, order };
  }
  return {
    ...said,
    kind: version.isPrerelease ? 'prerelease' : 'release',
    title: `${version.title}${suffix}`,
    order: [...version.order, architectureKey(architecture)],
  };
}

interface Version {
  readonly isPrerelease: boolean;
  readonly title: string;
  readonly order: readonly SortKey[];
}

function versionOf(text: string): Version | undefined {
  const [whole, major = '', minor, patch, prerelease, build] = VERSION.exec(text) ?? [];
  if (whole === undefined) return undefined;
  // 2026-11-30 is a date, and 4-abc1234 a commit.
  if (minor === undefined && (prerelease !== undefined || major.length > LONGEST_MAJOR)) return undefined;
  const identifiers = prerelease?.split('.') ?? [];
  if (!identifiers.every((identifier) => /^(?:0|[1-9]\d*|\d*[a-z-][0-9a-z-]*)$/i.test(identifier))) return undefined;
  const numbers = [major, minor, patch].filter((part) => part !== undefined);
  const name = prerelease === undefined ? numbers.join('.') : `${numbers.join('.')}-${prerelease}`;
  return {
    isPrerelease: prerelease !== undefined,
    title: build === undefined ? name : `${name} [${build}]`,
    order: [
      [major, minor ?? '0', patch ?? '0'].map(numberKey),
      identifiers.map((identifier) => (/^\d+$/.test(identifier) ? numberKey(identifier) : identifier)),
      // 4.2.0 stays what it is, 4.2 does not.
      numbers.length,
      build === undefined ? null : naturalKey(build),
    ],
  };
}
