/** Text that is HTML already; anything else that is put into a page is escaped. */
export class Html {
  readonly text: string;

  constructor(text: string) {
    this.text = text;
  }
}

type Value = Html | string | number | boolean | null | undefined | readonly Value[];

const ENTITIES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};

/**
 * A template of HTML. Every value in it is escaped, so that it is safe between tags and in quoted attributes; `Html` is
 * taken as it is, lists are strung together, and false, true, null and undefined leave nothing.
 */
export function markup(strings: TemplateStringsArray, ...values: readonly Value[]): Html {
  return new Html(strings.reduce((text, part, at) => `${text}${render(values[at - 1])}${part}`));
}

function render(value: Value): string {
  if (value instanceof Html) return value.text;
  if (isList(value)) return value.map(render).join('');
  if (value === null || value === undefined || typeof value === 'boolean') return '';
  return String(value).replaceAll(/[&<>"']/g, (character) => ENTITIES[character] ?? '');
}

function isList(value: Value): value is readonly Value[] {
  return Array.isArray(value);
}
