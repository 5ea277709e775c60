import { createHash } from 'node:crypto';
import { escapism } from '../../util/escapism.ts';
import { plainName } from '../names.ts';
import type { LabKey } from './lab.ts';

/*
 * The names that KubeSpawner makes of those of users and servers (kubespawner/slugs.py and `_expand_user_properties` of version 7).
 * Homes, claims and pods are called so on the hubs that come from it.
 */

const SLUG_LENGTH = 48;
const HASH_LENGTH = 8;
const OBJECT_NAME = /^[a-z](?:[a-z0-9-]{0,61}[a-z0-9])?$/;
const LABEL_VALUE = /^[A-Za-z0-9](?:[A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$/;
const LABEL_SLUG_LENGTH = 32;

/** KubeSpawner's scheme "escape": the only one before version 7. Two names may become one where a server has a name. */
export function escapedSlug(name: string): string {
  return escapism(name, /[^a-z0-9]/gu).toLowerCase();
}

/** KubeSpawner's scheme "safe": the name itself where it can be the name of an object, otherwise its beginning and a hash. */
export function safeSlug(name: string): string {
  return OBJECT_NAME.test(name) && !name.includes('--') && name.length <= SLUG_LENGTH
    ? name
    : hashed(name, SLUG_LENGTH);
}

/** A name as the value of KubeSpawner's labels: itself where it can be one. */
export function labelSlug(name: string): string {
  return name === '' || (LABEL_VALUE.test(name) && !name.includes('--')) ? name : hashed(name, LABEL_SLUG_LENGTH);
}

/** User and server in one name, by the scheme "safe"; that of the user alone for the server without a name. */
export function safeUserServer({ username, servername }: LabKey): string {
  const [user, server] = [safeSlug(username), servername === '' ? '' : safeSlug(servername)];
  if (user.length + server.length + 2 <= SLUG_LENGTH) return servername === '' ? user : `${user}--${server}`;
  const room = Math.floor((SLUG_LENGTH - HASH_LENGTH - 1) / 2) - 2;
  // Between the two names stands a byte that UTF-8 never has.
  const both = Buffer.concat([Buffer.from(username), Buffer.of(0xff), Buffer.from(servername)]);
  return `${beginningOf(username, room)}--${beginningOf(servername, room)}---${hash(both)}`;
}

function hashed(name: string, length: number): string {
  return `${beginningOf(name, length - HASH_LENGTH - 3)}---${hash(name)}`;
}

function beginningOf(name: string, length: number): string {
  const plain = plainName(name, length);
  if (plain === '') return 'x';
  return /^[a-z]/.test(plain) ? plain : `x-${plain.slice(0, length - 2)}`;
}

function hash(text: string | Buffer): string {
  return createHash('sha256').update(text).digest('hex').slice(0, HASH_LENGTH);
}
