import type { LabState } from '../../domain/lab/lab.ts';
import { CSRF_FIELD } from '../../auth/login/csrf.ts';
import { phaseWords, sinceWords, timeWords } from './account-text.ts';
import { type Html, markup } from './html.ts';
import { describeMemory } from '../../util/quantities.ts';
import { capitalize } from '../../util/capitalize.ts';
import { htmlPage } from './login-page.ts';

/** What the page shows, and where it leads. */
export interface Account {
  readonly username: string;
  /** All of this user's. */
  readonly labs: readonly LabState[];
  /** Null where there is no session: whoever has another credential has no form to protect and nothing to log out of. */
  readonly csrfToken: string | null;
  /** Address of our own pages, without a slash at the end: `/labwright`. */
  readonly path: string;
  /** Where users find the hub. */
  readonly baseUrl: string;
  /** Milliseconds since the epoch. */
  readonly now: number;
}

/** While something is under way the page is asked for again. */
const REFRESH_S = 5;
/** What needs attention first. */
const ORDER = ['running', 'pending', 'terminating', 'failed', 'terminated'] as const;

/** The page `Your labs`: each lab of a user, in plain words, with what can be done about it. */
export function accountPage(account: Account): string {
  const { labs, baseUrl } = account;
  const sorted = [...labs].sort(
    (a, b) => ORDER.indexOf(a.status) - ORDER.indexOf(b.status) || (a.spec.servername < b.spec.servername ? -1 : 1),
  );
  const body = markup`${sorted.length === 0 ? noLabs(baseUrl) : sorted.map((lab) => card(lab, account))}
${
  sorted.length === 0
    ? null
    : markup`<p class="quiet">Labs are started from <a href="${baseUrl}/hub/home">JupyterHub</a>.</p>
`
}`;
  const isBusy = labs.some(({ status }) => status === 'pending' || status === 'terminating');
  return htmlPage({ title: 'Your labs', corner: corner(account), body, refresh: isBusy ? REFRESH_S : undefined });
}

function corner({ username, csrfToken, path }: Account): Html {
  const name = markup`<span class="who">${username}</span>`;
  if (csrfToken === null) return name;
  return markup`<form method="post" action="${path}/logout">${name}${tokenField(csrfToken)}
<button class="plain">Log out</button></form>`;
}

function noLabs(baseUrl: string): Html {
  return markup`<div class="card"><p>You have no lab at the moment.</p>
<div class="actions"><a class="button main" href="${baseUrl}/hub/home">Start one from JupyterHub</a></div></div>`;
}

function card(lab: LabState, account: Account): Html {
  const { spec, status, reason, message } = lab;
  const { state, detail } = phaseWords(lab);
  const since = sinceWords(lab, account.now);
  const { limits } = spec.resources;
  return markup`<section class="card">
<div class="head"><h2>${spec.servername === '' ? 'Default server' : spec.servername}</h2><span class="state ${status}">${state}</span></div>
${
  detail === ''
    ? null
    : markup`<p>${detail}</p>
`
}${
    message === null && reason === null
      ? null
      : markup`<p>${message}${reason === null ? null : markup` <code class="quiet">${reason}</code>`}</p>
`
  }<dl>
<dt>Image</dt><dd>${image(lab)}</dd>
<dt>Size</dt><dd>${capitalize(spec.options.size)} <span class="quiet">(${limits.cpu} CPU, ${describeMemory(limits.memory)} memory)</span></dd>
<dt>${since.label}</dt><dd><time datetime="${new Date(since.at).toISOString()}">${timeWords(since.at)}</time> <span class="quiet">(${since.ago})</span></dd>
</dl>
${actions(lab, account)}</section>
`;
}

function image({
  spec: {
    image: { name, reference },
  },
}: LabState): Html {
  if (name === reference) return markup`<code>${reference}</code>`;
  return markup`${name} <code class="quiet">${reference}</code>`;
}

function actions({ spec, status }: LabState, { path, baseUrl, csrfToken }: Account): Html | null {
  if (status === 'terminating') return null;
  const { username } = spec.user;
  const server = [username, ...(spec.servername === '' ? [] : [spec.servername])].map(encodeURIComponent).join('/');
  // The prefix is the hub's own and whole; the base URL may hold a part of it already.
  const link =
    status === 'running'
      ? markup`<a class="button main" href="${new URL(baseUrl).origin}${spec.servicePrefix}">Open</a>
`
      : status === 'pending'
        ? markup`<a class="button" href="${baseUrl}/hub/spawn-pending/${server}">Watch it start</a>
`
        : null;
  const isOver = status === 'failed' || status === 'terminated';
  return markup`<div class="actions">
${link}<form method="post" action="${path}/account/stop">${csrfToken === null ? null : tokenField(csrfToken)}<input
type="hidden" name="server" value="${spec.servername}"><button>${isOver ? 'Clear' : 'Stop'}</button></form></div>
`;
}

function tokenField(token: string): Html {
  return markup`<input type="hidden" name="${CSRF_FIELD}" value="${token}">`;
}
