/** One entry of an `Accept` header: a media range and how much it is wanted, 0 for not at all. */
interface MediaRange {
  readonly type: string;
  readonly quality: number;
}

/**
 * Whether an `Accept` header takes this type, by the rules of RFC 9110, 12.5.1: the range that names it most closely
 * decides, and a quality of 0 refuses. Without the header nothing is said, which is no yes here.
 *
 * @param type in lower case
 */
export function accepts(header: string | undefined, type: string): boolean {
  if (header === undefined) return false;
  const ranges = header.split(',').map(parseRange);
  for (const name of [type, `${type.slice(0, type.indexOf('/'))}/*`, '*/*']) {
    const range = ranges.find((candidate) => candidate.type === name);
    if (range !== undefined) return range.quality > 0;
  }
  return false;
}

function parseRange(text: string): MediaRange {
  const [type = '', ...parameters] = text.split(';').map((part) => part.trim().toLowerCase());
  const quality = parameters.find((parameter) => parameter.startsWith('q='));
  const value = quality === undefined ? 1 : Number(quality.slice(2));
  return { type, quality: Number.isNaN(value) ? 1 : value };
}
