import { createHash } from 'node:crypto';

/** What a page of ours may do: show itself with its own style, and run the inline handlers that are named here. */
export interface PagePolicy {
  readonly style: string;
  readonly handlers?: readonly string[];
  /** Whether it has forms of its own, which it sends to where it comes from. */
  readonly forms?: boolean;
}

/**
 * Headers of a page. Nothing is loaded from anywhere and nobody frames it. They hold where the page is looked at on its
 * own; a fragment inside a hub's page lives under that page's policy.
 */
export function pageHeaders({ style, handlers = [], forms = false }: PagePolicy): Record<string, string> {
  const scripts = handlers.length === 0 ? [] : [`script-src 'unsafe-hashes' ${handlers.map(hash).join(' ')}`];
  const policy = [
    "default-src 'none'",
    `style-src ${hash(style)}`,
    ...scripts,
    "base-uri 'none'",
    `form-action ${forms ? "'self'" : "'none'"}`,
    "frame-ancestors 'none'",
  ];
  return {
    'Content-Type': 'text/html; charset=utf-8',
    'Cache-Control': 'no-store',
    'Content-Security-Policy': policy.join('; '),
    // Under `no-referrer` browsers would hide the origin of a form's request, by which we know our own.
    'Referrer-Policy': forms ? 'same-origin' : 'no-referrer',
    // Whoever opened the page gets no hold of it, a user's lab on the same host neither.
    ...(forms ? { 'Cross-Origin-Opener-Policy': 'noopener-allow-popups' } : {}),
    'X-Content-Type-Options': 'nosniff',
  };
}

function hash(source: string): string {
  return `'sha256-${createHash('sha256').update(source).digest('base64')}'`;
}
