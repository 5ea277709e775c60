import { Html, markup } from './html.ts';
import { pageHeaders } from '../server/security-headers.ts';

/** The look of the pages for people, light and dark, which need no script and nothing from anywhere else. */
const PEOPLE_STYLE = `
:root {
  color-scheme: light dark;
  --text: light-dark(#1f2328, #e6e9ec); --quiet: light-dark(#5c6670, #9aa4af); --page: light-dark(#f6f7f9, #0f1317);
  --card: light-dark(#fff, #171c22); --line: light-dark(#d5d9de, #353d47); --accent: light-dark(#b84a00, #ff9a4d);
  --good: light-dark(#14804a, #56d38f); --bad: light-dark(#b42318, #ff8a80); --busy: light-dark(#0a66c2, #6cb2ff);
}
* { box-sizing: border-box; }
body {
  background: var(--page); color: var(--text); margin: 0;
  font: 1rem/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", sans-serif;
}
header, main { margin: 0 auto; max-width: 46rem; padding: 0 1.25rem; }
header {
  align-items: center; color: var(--quiet); display: flex; flex-wrap: wrap; gap: .5rem 1rem; justify-content: space-between;
  padding-bottom: .9rem; padding-top: .9rem;
}
header form { align-items: center; display: flex; gap: .75rem; margin: 0; min-width: 0; }
header .who { overflow-wrap: anywhere; }
.brand { color: var(--text); font-weight: 600; }
main { padding-bottom: 3rem; }
h1 { font-size: 1.6rem; line-height: 1.25; margin: 1.25rem 0 1rem; }
h2 { font-size: 1.1rem; margin: 0; overflow-wrap: anywhere; }
p { margin: .5rem 0; overflow-wrap: anywhere; }
.quiet { color: var(--quiet); }
.card {
  background: var(--card); border: 1px solid var(--line); border-radius: .6rem; margin: 0 0 1rem; padding: 1.1rem 1.25rem;
}
.head { align-items: baseline; display: flex; flex-wrap: wrap; gap: .25rem .9rem; justify-content: space-between; }
.state { font-weight: 600; white-space: nowrap; }
.state::before { content: "\\25CF\\00A0"; }
.running { color: var(--good); } .failed { color: var(--bad); } .pending, .terminating { color: var(--busy); }
.terminated { color: var(--quiet); }
dl { display: grid; gap: .15rem 1rem; grid-template-columns: 7.5rem 1fr; margin: .8rem 0 0; }
dt { color: var(--quiet); }
dd { margin: 0; min-width: 0; overflow-wrap: anywhere; }
code { font-family: ui-monospace, SFMono-Regular, Menlo, monospace; font-size: .86em; }
.actions { align-items: center; display: flex; flex-wrap: wrap; gap: .6rem; margin-top: 1rem; }
.actions form { margin: 0; }
a { color: var(--accent); }
.button, button {
  background: transparent; border: 1px solid var(--line); border-radius: .4rem; color: inherit; cursor: pointer;
  display: inline-block; font: inherit; line-height: 1.4; padding: .35rem .9rem; text-decoration: none;
}
.button.main { background: light-dark(#b84a00, #ff9a4d); border-color: transparent; color: light-dark(#fff, #1b1207); }
.button:hover, button:hover { border-color: currentColor; }
.button:focus-visible, button:focus-visible, a:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; }
@media (max-width: 30rem) { dl { display: block; } dd { margin-bottom: .35rem; } }
.plain { border: 0; color: var(--accent); padding: 0; text-decoration: underline; }
`;

export const PEOPLE_HEADERS = pageHeaders({ style: PEOPLE_STYLE, forms: true });

export interface PeoplePage {
  readonly title: string;
  /** At the right of the page's head. */
  readonly corner?: Html | null;
  readonly body: Html;
  /** After how many seconds the browser asks again; never when absent. */
  readonly refresh?: number | undefined;
}

/** A page for people, whole. */
export function htmlPage({ title, corner, body, refresh }: PeoplePage): string {
  return markup`<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
${refresh === undefined ? null : markup`<meta http-equiv="refresh" content="${refresh}">`}
<title>${title}</title><style>${new Html(PEOPLE_STYLE)}</style></head>
<body>
<header><span class="brand">Labwright</span>${corner ?? null}</header>
<main>
<h1>${title}</h1>
${body}</main>
</body>
</html>
`.text;
}

export interface Message {
  readonly title: string;
  readonly text: string;
  readonly links: readonly { readonly href: string; readonly text: string }[];
}

/** A page that says one thing, and where one can go from there. */
export function messagePage({ title, text, links }: Message): string {
  const buttons = links.map(
    ({ href, text: label }, at) => markup`<a class="button${at === 0 ? ' main' : ''}" href="${href}">${label}</a>
`,
  );
  const body = markup`<div class="card" role="status"><p>${text}</p>
<div class="actions">
${buttons}</div></div>
`;
  return htmlPage({ title, body });
}
