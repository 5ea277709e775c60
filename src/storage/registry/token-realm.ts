import { isIP } from 'node:net';
import type { Challenge } from './challenge.ts';

/** Whose token server may be shown the credentials of a registry. */
export interface RealmRule {
  /** Names of the registry, with or without ports: as image references have it, and as it is reached. */
  readonly hosts: readonly string[];
  /** Hosts that an administrator has named besides. Their ports do not count. */
  readonly tokenHosts: readonly string[];
}

/** Below these words of a country's domain are names of different owners: `example.co.uk`, `example.edu.au`. */
const COUNTRY_WORDS = new Set(
  'ac ad co com edu gob gouv gov go govt gr lg ltd me mil ne net nhs nom or org plc re sch web'.split(' '),
);

/**
 * The address of a token server, from a Bearer challenge: https, or http where the registry may be asked so, and without a
 * credential in it.
 *
 * @returns undefined for any other
 */
export function readRealm({ parameters }: Challenge, mayBePlain: boolean): URL | undefined {
  const { realm = '' } = parameters;
  const url = URL.canParse(realm) ? new URL(realm) : undefined;
  const isSafe = url?.protocol === 'https:' || (url?.protocol === 'http:' && mayBePlain);
  return url !== undefined && isSafe && url.username === '' && url.password === '' ? url : undefined;
}

/**
 * Whether a token server belongs to the registry: it has the registry's own name, whatever the port, or lies in the domain
 * that the registry's name is in. `gitlab.example.com` belongs to `registry.example.com`, and `auth.docker.io` to
 * `registry-1.docker.io`; nothing but itself and what is below it belongs to `quay.io`. No list of public suffixes is needed
 * for that, apart from the few words that countries divide their domains by.
 */
export function belongsTo(realm: URL, { hosts, tokenHosts }: RealmRule): boolean {
  if (tokenHosts.some((each) => hostnameOf(each) === realm.hostname)) return true;
  return hosts.some((each) => {
    const host = hostnameOf(each);
    if (host === undefined) return false;
    return realm.hostname === host || isBelow(realm.hostname, host) || isInDomain(realm.hostname, host);
  });
}

function isInDomain(name: string, host: string): boolean {
  const domain = domainOf(host);
  return domain !== undefined && (name === domain || isBelow(name, domain));
}

function isBelow(name: string, domain: string): boolean {
  return isIP(domain) === 0 && name.endsWith(`.${domain}`);
}

/** The name without its first part, where that is somebody's domain and not a public one. */
function domainOf(host: string): string | undefined {
  if (isIP(host) !== 0 || host.startsWith('[')) return undefined;
  const [second = '', top = '', ...more] = host.split('.').slice(1);
  if (top === '') return undefined;
  const isPublic = more.length === 0 && top.length === 2 && COUNTRY_WORDS.has(second);
  return isPublic ? undefined : [second, top, ...more].join('.');
}

function hostnameOf(host: string): string | undefined {
  return URL.canParse(`https://${host}`) ? new URL(`https://${host}`).hostname : undefined;
}
