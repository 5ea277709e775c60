import { z } from 'zod';
import { isImageTag } from '../../domain/image/image-reference.ts';
import { parseJson } from './parse-json.ts';

const form = z.looseObject({ tags: z.array(z.string()).nullish() });
/** The parts of a Link header (RFC 8288): `<target>; name=value; name="value", <target>`. */
const TARGET = /[\s,]*<([^<>]*)>\s*/y;
const PARAMETER = /;\s*([^\s;,="]+)(?:\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s;,"]*)))?\s*/y;
/** Nobody needs more. */
const HEADER_LENGTH = 8 * 1024;

/** The tags of one page; undefined for what is no such answer. What cannot be a tag is left out. */
export function readTags(body: Buffer): readonly string[] | undefined {
  const parsed = form.safeParse(parseJson(body));
  return parsed.success ? (parsed.data.tags ?? []).filter(isImageTag) : undefined;
}

/** Where the next page is, as the header has it; undefined on the last. */
export function nextPage(header: string | readonly string[] | undefined): string | undefined {
  for (const text of header === undefined ? [] : [header].flat()) {
    if (text.length > HEADER_LENGTH) continue;
    TARGET.lastIndex = 0;
    for (let link = TARGET.exec(text); link !== null; link = TARGET.exec(text)) {
      const { relation, end } = readParameters(text, TARGET.lastIndex);
      if (relation?.toLowerCase().split(/\s+/).includes('next') === true) return link[1];
      TARGET.lastIndex = end;
    }
  }
  return undefined;
}

/** The first `rel` counts, and may be several words. */
function readParameters(text: string, begin: number): { relation: string | undefined; end: number } {
  let relation: string | undefined;
  let end = begin;
  PARAMETER.lastIndex = begin;
  for (let found = PARAMETER.exec(text); found !== null; found = PARAMETER.exec(text)) {
    const [, name = '', quoted, plain] = found;
    if (name.toLowerCase() === 'rel') relation ??= quoted ?? plain;
    end = PARAMETER.lastIndex;
  }
  return { relation, end };
}
