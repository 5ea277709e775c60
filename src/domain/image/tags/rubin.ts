import { splitArchitecture } from './architecture.ts';
import { dayOf, thursdayOf } from './calendar.ts';
import { architectureKey, naturalKey, newestFirst, numberKey } from './order.ts';
import { type SortableTag, type SortKey, TAG_LENGTH, type TagGrammar, UNKNOWN } from './tag.ts';

const KINDS = ['release', 'weekly', 'daily', 'candidate', 'experimental', UNKNOWN] as const;
const RELEASE = /^r(\d+)_(\d+)_(\d+)(?:_rc(\d+)(?![^_-]))?/;
/** `r170` is 17.0.0. No new ones are made, and none has anything after it. */
const OLD_RELEASE = /^r(\d\d)(\d)$/;
const WEEKLY = /^w_(\d{4})_(\d\d?)(?!\d)/;
const DAILY = /^d_(\d{4})_(\d\d?)_(\d\d?)(?!\d)/;
/** `_c0020.001_rsp19_extra-amd64`, each part optional. */
const SUFFIXES = /^(?:_c(\d+)\.(\d+)(?![^_-]))?(?:_rsp(\d+)(?![^_-]))?(?:_(.+?))?(?:-([a-zA-Z0-9]+))?$/;
const UNKNOWN_WITH_CYCLE = /^(.+)_c(\d+)$/;
const EXPERIMENTAL = 'exp_';

/** What a tag begins with. */
interface Trunk {
  readonly kind: 'release' | 'weekly' | 'daily' | 'candidate';
  readonly title: string;
  readonly version: SortKey;
  readonly date: number | null;
  readonly length: number;
}

/**
 * The tags of the Rubin Science Platform, as SQR-059 defines them: `r22_0_1`, `r23_0_0_rc1`, `w_2077_46`, `d_2077_10_21` and
 * `exp_` before any tag, with suffixes for cycle and build, the build of the platform, anything else, and an architecture.
 */
export const rubin: TagGrammar = {
  kinds: KINDS,
  dated: ['weekly', 'daily', 'experimental'],
  hasCycles: true,
  parse,
  parseAll: (tags) => tags.map(parse),
  compare: newestFirst(KINDS),
};

function parse(tag: string): SortableTag {
  if (tag.length > TAG_LENGTH) return unknown(tag);
  if (tag.startsWith(EXPERIMENTAL) && tag !== EXPERIMENTAL) return experimental(tag);
  const trunk = release(tag) ?? weekly(tag) ?? daily(tag);
  return (trunk === undefined ? undefined : withSuffixes(tag, trunk)) ?? unknown(tag);
}

function release(tag: string): Trunk | undefined {
  const [old, oldMajor, oldMinor] = OLD_RELEASE.exec(tag) ?? [];
  if (old !== undefined) return releaseOf(old, [oldMajor, oldMinor, '0']);
  const [text, major, minor, patch, candidate] = RELEASE.exec(tag) ?? [];
  return text === undefined ? undefined : releaseOf(text, [major, minor, patch], candidate);
}

function releaseOf(text: string, numbers: readonly (string | undefined)[], candidate?: string): Trunk {
  const version = numbers.map((digits = '0') => numberKey(digits));
  const title = `r${numbers.join('.')}`;
  if (candidate === undefined)
    return { kind: 'release', title: `Release ${title}`, version, date: null, length: text.length };
  return {
    kind: 'candidate',
    title: `Release Candidate ${title}-rc${candidate}`,
    version: [...version, numberKey(candidate)],
    date: null,
    length: text.length,
  };
}

function weekly(tag: string): Trunk | undefined {
  const [text, year = '', week = ''] = WEEKLY.exec(tag) ?? [];
  const date = thursdayOf(Number(year), Number(week));
  if (text === undefined || date === undefined) return undefined;
  const version = [Number(year), Number(week)];
  return { kind: 'weekly', title: `Weekly ${year}_${week}`, version, date, length: text.length };
}

function daily(tag: string): Trunk | undefined {
  const [text, year = '', month = '', day = ''] = DAILY.exec(tag) ?? [];
  const date = dayOf(Number(year), Number(month), Number(day));
  if (text === undefined || date === undefined) return undefined;
  const version = [Number(year), Number(month), Number(day)];
  return { kind: 'daily', title: `Daily ${year}_${month}_${day}`, version, date, length: text.length };
}

/** @returns undefined when what comes after the trunk is none of the suffixes */
function withSuffixes(tag: string, { kind, title, version, date, length }: Trunk): SortableTag | undefined {
  const match = SUFFIXES.exec(tag.slice(length));
  if (match === null) return undefined;
  const [, cycle, cycleBuild = '', rspBuild, extra, architecture = null] = match;
  const parts = [
    title,
    ...(cycle === undefined ? [] : [`(SAL Cycle ${cycle}, Build ${cycleBuild})`]),
    ...(rspBuild === undefined ? [] : [`(RSP Build ${rspBuild})`]),
    ...(extra === undefined ? [] : [`[${extra}]`]),
    ...(architecture === null ? [] : [`[${architecture}]`]),
  ];
  const order = [
    version,
    cycle === undefined ? null : [numberKey(cycle), numberKey(cycleBuild)],
    rspBuild === undefined ? null : numberKey(rspBuild),
    extra === undefined ? null : naturalKey(extra),
    architectureKey(architecture),
  ];
  return { tag, kind, title: parts.join(' '), date, cycle: toCycle(cycle), architecture, order };
}

/** What follows `exp_` is read as a tag of its own. */
function experimental(tag: string): SortableTag {
  const rest = parse(tag.slice(EXPERIMENTAL.length));
  const rank = KINDS.length - KINDS.findIndex((kind) => kind === rest.kind);
  return { ...rest, tag, kind: 'experimental', title: `Experimental ${rest.title}`, order: [rank, rest.order] };
}

function unknown(tag: string): SortableTag {
  const [whole, architecture] = splitArchitecture(tag);
  const [, base = whole, cycle] = UNKNOWN_WITH_CYCLE.exec(whole) ?? [];
  const parts = [
    base,
    ...(cycle === undefined ? [] : [`(SAL Cycle ${cycle})`]),
    ...(architecture === null ? [] : [`[${architecture}]`]),
  ];
  const order = [naturalKey(base), cycle === undefined ? null : numberKey(cycle), architectureKey(architecture)];
  return { tag, kind: UNKNOWN, title: parts.join(' '), date: null, cycle: toCycle(cycle), architecture, order };
}

function toCycle(digits: string | undefined): number | null {
  return digits === undefined ? null : Number(digits);
}
