import { splitArchitecture } from './architecture.ts';
import { dayOf } from './calendar.ts';
import { architectureKey, naturalKey, newestFirst } from './order.ts';
import { type SortableTag, TAG_LENGTH, type TagGrammar, UNKNOWN } from './tag.ts';

const KINDS = ['dated', UNKNOWN] as const;
const DAY = /^v?((?:19|20|21)\d\d)([-._]?)(\d\d)\2(\d\d)/;
/** `T12-30`, `-123045`, `.12.30.45Z`, or the rest of `20261130123045`; what could be a time is one. */
const TIME = /^[-._Tt]?([01]\d|2[0-3])[-._]?([0-5]\d)(?:[-._]?([0-5]\d))?[Zz]?(?![^-._])/;

/** Tags that begin with a date: `2026-11-30`, `20261130`, `2026.11.30`, with a time of day, a suffix, or both. */
export const date: TagGrammar = {
  kinds: KINDS,
  dated: ['dated'],
  hasCycles: false,
  parse,
  parseAll: (tags) => tags.map(parse),
  compare: newestFirst(KINDS),
};

function parse(tag: string): SortableTag {
  const [text, architecture] = splitArchitecture(tag);
  const found = tag.length > TAG_LENGTH ? undefined : momentOf(text);
  const said = { tag, cycle: null, architecture };
  const inBrackets = [found?.suffix ?? null, architecture].flatMap((part) => (part === null ? [] : `[${part}]`));
  if (found === undefined) {
    const order = [naturalKey(text), architectureKey(architecture)];
    return { ...said, kind: UNKNOWN, title: [text, ...inBrackets].join(' '), date: null, order };
  }
  const time = found.time === null ? [] : [found.time.join(':')];
  return {
    ...said,
    kind: 'dated',
    title: [new Date(found.day).toISOString().slice(0, 10), ...time, ...inBrackets].join(' '),
    date: found.day,
    order: [
      found.day,
      found.time?.map(Number) ?? null,
      found.suffix === null ? null : naturalKey(found.suffix),
      architectureKey(architecture),
    ],
  };
}

/** UTC midnight of the day in a text of one of the forms above; null when it is none. */
export function dateOf(text: string): number | null {
  return momentOf(text)?.day ?? null;
}

interface Moment {
  readonly day: number;
  /** Hours, minutes and perhaps seconds, two digits each. */
  readonly time: readonly string[] | null;
  readonly suffix: string | null;
}

function momentOf(text: string): Moment | undefined {
  const [found, year, , month, dayOfMonth] = DAY.exec(text) ?? [];
  const day = dayOf(Number(year), Number(month), Number(dayOfMonth));
  if (found === undefined || day === undefined) return undefined;
  const afterDay = text.slice(found.length);
  const [wholeTime = '', ...parts] = TIME.exec(afterDay) ?? [];
  const time = wholeTime === '' ? null : parts.filter((part: string | undefined) => part !== undefined);
  const rest = afterDay.slice(wholeTime.length);
  const [, suffix = null] = /^[-._](.+)$/.exec(rest) ?? [];
  return rest === '' || suffix !== null ? { day, time, suffix } : undefined;
}
