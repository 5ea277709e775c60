/**
 * Python's `escapism` with `-` as escape character: each byte of an unsafe character is `-` and two hex digits in upper case.
 *
 * @param unsafe what one character looks like that is escaped, with the flags `g` and `u`
 */
export function escapism(text: string, unsafe: RegExp): string {
  return text.replaceAll(unsafe, (character) =>
    [...Buffer.from(character)].map((byte) => `-${byte.toString(16).toUpperCase().padStart(2, '0')}`).join(''),
  );
}
