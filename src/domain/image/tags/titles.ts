import { type ParsedTag, UNKNOWN } from './tag.ts';

/**
 * The title of an alias, with that of the tag it stands for: `Recommended (Weekly 2077_43, SAL Cycle 0045, Build 003)`. What the alias itself says in
 * parentheses is left out where the other one says its cycle.
 */
export function aliasTitle(alias: ParsedTag, target: ParsedTag | undefined): string {
  const [, name = '', inParentheses, rest = ''] = /^(.*?)(?: \(([^()]*)\))?((?: \[.*)?)$/.exec(alias.title) ?? [];
  const title = `${alias.kind === UNKNOWN ? inWords(name) : name}${rest}`;
  const own = inParentheses === undefined || (target?.cycle ?? null) !== null ? [] : [inParentheses];
  const others = target === undefined ? [] : [target.title.replaceAll(/ \(([^()]*)\)/g, ', $1')];
  const said = [...own, ...others].join(', ');
  return said === '' ? title : `${title} (${said})`;
}

/** `latest_weekly` as `Latest Weekly`. */
function inWords(name: string): string {
  return name.replaceAll(/[_-]+/g, ' ').replaceAll(/(?<![\p{L}\p{N}])\p{Ll}/gu, (letter) => letter.toUpperCase());
}
