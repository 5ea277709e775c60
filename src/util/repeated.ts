/** The positions of texts that were already there before; undefined is no text. */
export function repeated(texts: readonly (string | undefined)[]): number[] {
  const seen = new Set<string>();
  return texts.flatMap((text, index) => {
    if (text === undefined) return [];
    if (seen.has(text)) return [index];
    seen.add(text);
    return [];
  });
}
