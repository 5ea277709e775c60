import { Document, isMap, isScalar } from 'yaml';
import type { ImportReport } from './findings.ts';
import type { Json } from './source.ts';

const HEAD = ` Made by labwright import. Change baseUrl and auth to what is yours, and read the remarks; then: labwright check-config FILE`;

/** The configuration as YAML, with the remarks where they belong. */
export function writeConfig(config: Json, { remarked }: ImportReport): string {
  const document = new Document(config, { aliasDuplicateObjects: false });
  document.commentBefore = HEAD;
  const remarks = new Map<string, Set<string>>();
  for (const { to = '', why = '' } of remarked) {
    const key = to.replace(/\[.*$/, '');
    remarks.set(key, (remarks.get(key) ?? new Set()).add(why));
  }
  for (const [key, texts] of remarks)
    comment(document, key.split('.'), [...texts].map((text) => ` ${text}`).join('\n'));
  return document.toString({ lineWidth: 0 });
}

/** Writes a remark before a key, or before the nearest that is there. */
function comment(document: Document, path: readonly string[], text: string): void {
  let node: unknown = document.contents;
  let found: { commentBefore?: string | null } | undefined;
  for (const part of path) {
    if (!isMap(node)) break;
    const pair = node.items.find(({ key }) => isScalar(key) && key.value === part);
    if (pair === undefined) break;
    found = pair.key as { commentBefore?: string | null };
    node = pair.value;
  }
  if (found !== undefined) found.commentBefore = [found.commentBefore, text].filter(Boolean).join('\n');
}
