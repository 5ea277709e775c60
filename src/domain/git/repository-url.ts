import { BuildProblem } from '../build/build.ts';

/** Browsers and proxies cut URLs of more; no Git host has a repository whose address needs it. */
const LENGTH = 2_000;
const URL_PARTS = /^([a-z][a-z0-9+.-]*):\/\/(?:([^/]*)@)?(\[[^\]]*\]|[^/:@[\]]*)(?::([0-9]{0,5}))?(\/.*)?$/i;
/** What Git takes for SSH without a scheme: a colon before the first slash. */
const SCP_LIKE = /^(?:([^/@:]+)@)?(\[[^\]]*\]|[^/@:[\]]+):(?!\/\/)(.+)$/;
const DEFAULT_PORTS: Readonly<Record<string, string>> = { http: '80', https: '443', ssh: '22', git: '9418' };
const SSH_USER = /^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,63}$/;
/** Characters that stand for themselves in a path (RFC 3986, pchar), and that encodeURIComponent encodes. */
const PLAIN_IN_PATH = /%(?:24|26|2B|2C|3A|3B|3D|40)/g;

/** Control characters and line ends, as they stand in a class of a regular expression. */
export const CONTROLS = String.raw`\u0000-\u001f\u007f-\u009f\u2028\u2029`;
const CONTROL = new RegExp(`[${CONTROLS}]`);

/** An address of a repository in its parts, each written in one way. */
export interface Address {
  readonly scheme: string;
  /** User of SSH; empty for every other scheme. */
  readonly user: string;
  /** Lower case, without a dot at its end; an IPv6 address in brackets. */
  readonly host: string;
  /** Empty where it is the scheme's own. */
  readonly port: string;
  /** The parts of the path, percent-encoded where they need it. */
  readonly path: readonly string[];
}

export function invalid(message: string): BuildProblem {
  return new BuildProblem({ reason: 'RepositoryInvalid', message });
}

/**
 * Takes the address of a repository apart: a URL, or `user@host:path` as Git and scp have it.
 *
 * @returns undefined when it is neither
 * @throws {BuildProblem} `RepositoryInvalid` when it is a URL and not one that can be built; the text is not quoted, since
 * it may have a password in it
 */
export function parseAddress(text: string): Address | undefined {
  refuseUnreadable(text);
  const url = URL_PARTS.exec(text);
  if (url !== null) {
    const [, scheme = '', user, host = '', port = '', path = ''] = url;
    return addressOf(scheme.toLowerCase(), user, host, port, path);
  }
  if (text.includes('://')) throw invalid('The URL of the repository cannot be read.');
  const scp = SCP_LIKE.exec(text);
  if (scp === null) return undefined;
  const [, user, host = '', path = ''] = scp;
  return addressOf('ssh', user, host, '', path);
}

/** `https://git.example.org:8443/ada/notebooks.git` */
export function formatAddress({ scheme, user, host, port, path }: Address): string {
  const authority = `${user === '' ? '' : `${user}@`}${host}${port === '' ? '' : `:${port}`}`;
  return `${scheme}://${authority}/${path.join('/')}`;
}

export function refuseUnreadable(text: string): void {
  if (text.length > LENGTH) throw invalid(`The name of the repository is longer than ${LENGTH} characters.`);
  if (CONTROL.test(text)) throw invalid('The name of the repository has control characters in it.');
  if (text.startsWith('-')) throw invalid('The name of a repository does not begin with a dash.');
  if (/[\s\\]/.test(text)) throw invalid('The name of a repository has no spaces and no backslashes in it.');
}

function addressOf(scheme: string, user: string | undefined, host: string, port: string, path: string): Address {
  if (/[?#]/.test(path) || /[?#]/.test(host)) {
    throw invalid('The URL of a repository has no query and no fragment: give its address alone.');
  }
  return {
    scheme,
    user: userOf(scheme, user),
    host: canonicalHost(host),
    port: canonicalPort(scheme, port),
    path: canonicalPath(path),
  };
}

/** A user in an http URL may well be a token, so that none is kept. For SSH it is a part of the address. */
function userOf(scheme: string, user: string | undefined): string {
  if (scheme === 'ssh') {
    if (user?.includes(':') === true) throw invalid(NO_CREDENTIALS);
    if (user !== undefined && !SSH_USER.test(user)) throw invalid('The user in the address of the repository is none.');
    return user ?? 'git';
  }
  if (user !== undefined) throw invalid(NO_CREDENTIALS);
  return '';
}

const NO_CREDENTIALS =
  'The URL of a repository must not have a user, a password or a token in it: leave it out, and ask an administrator for ' +
  'access where the repository is private.';

/** The host as URLs have it: lower case, international names in ASCII, IPv4 addresses in their one form. */
function canonicalHost(host: string): string {
  const canonical = URL.canParse(`http://${host}`) ? new URL(`http://${host}`).hostname.replace(/\.$/, '') : '';
  if (!/^(?:\[[0-9a-f:.]+\]|[a-z0-9_](?:[a-z0-9._-]*[a-z0-9_])?)$/.test(canonical) || canonical.includes('..')) {
    throw invalid('The host in the URL of the repository cannot be read.');
  }
  return canonical;
}

function canonicalPort(scheme: string, port: string): string {
  const number = Number(port);
  if (port !== '' && (number < 1 || number > 65_535)) throw invalid('The port in the URL of the repository is none.');
  return port === '' || String(number) === DEFAULT_PORTS[scheme] ? '' : String(number);
}

/** @throws {BuildProblem} for a path that could mean another one to whoever reads it */
function canonicalPath(path: string): string[] {
  const parts = path.replace(/^\/|\/+$/g, '').split('/');
  if (parts.length === 1 && parts[0] === '') throw invalid('The URL of the repository has no path.');
  return parts.map((part) => encodePart(decodePart(part)));
}

/** One part of a path or specification, decoded. */
export function decodePart(part: string): string {
  let decoded: string;
  try {
    decoded = decodeURIComponent(part);
  } catch (cause) {
    throw new BuildProblem({ reason: 'RepositoryInvalid', message: 'The percent-encoding cannot be read.' }, { cause });
  }
  return decoded;
}

function encodePart(decoded: string): string {
  if (decoded === '' || decoded === '.' || decoded === '..') {
    throw invalid('The URL of a repository has no empty parts, no "." and no ".." in it.');
  }
  if (CONTROL.test(decoded) || /[/\\]/.test(decoded)) {
    throw invalid('The URL of the repository has an encoded slash, backslash or control character in it.');
  }
  if (!decoded.isWellFormed()) throw invalid('The URL of the repository is no Unicode.');
  return encodeURIComponent(decoded).replaceAll(PLAIN_IN_PATH, decodeURIComponent);
}
