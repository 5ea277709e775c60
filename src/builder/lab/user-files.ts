import { createHash } from 'node:crypto';
import type { V1ConfigMap, V1Volume, V1VolumeMount } from '@kubernetes/client-node';
import type { LabConfig } from '../../config/config.ts';
import type { LabUser } from '../../domain/user/user.ts';
import { isShared, labMetadata, type BuildContext } from './context.ts';
import { homeDirectory, unixName } from './home.ts';
import { defined, encodeSecret } from '../values.ts';

/** Volume that holds the files. */
export const FILES_VOLUME = 'lab-files';
const PASSWD_KEY = 'passwd';
const GROUP_KEY = 'group';

/** The files of a lab with a namespace of its own. */
export function buildFiles(context: BuildContext): V1ConfigMap {
  const { texts, bytes } = contentsOf(context);
  return {
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: labMetadata(context, context.names.files),
    data: texts,
    ...(Object.keys(bytes).length === 0 ? {} : { binaryData: bytes }),
  };
}

/** The files of a lab in a namespace that labs share, for the lab's Secret: base64 by key. */
export function buildSecretFiles(context: BuildContext): Record<string, string> {
  const { texts, bytes } = contentsOf(context);
  return { ...encodeSecret(texts), ...bytes };
}

/** A lab's passwd and group, and the files of the configuration: texts, and base64. */
function contentsOf({ config, user }: BuildContext): Record<'texts' | 'bytes', Record<string, string>> {
  const files = Object.entries(config.files);
  const texts = files.flatMap(([path, { text }]) => (text === undefined ? [] : [[fileKey(path), text] as const]));
  const bytes = files.flatMap(([path, { base64 }]) => (base64 === undefined ? [] : [[fileKey(path), base64] as const]));
  return {
    texts: {
      [PASSWD_KEY]: buildPasswd(config, user),
      [GROUP_KEY]: buildGroup(config, user),
      ...Object.fromEntries(texts),
    },
    bytes: Object.fromEntries(bytes),
  };
}

/**
 * The volume that holds them. A file that has permissions of its own is named with them, and then so are all others; in a Secret, where
 * other things are beside them, they always are.
 */
export function filesVolume(context: BuildContext): V1Volume {
  const { config, names } = context;
  const own = Object.entries(config.files).map(([path, { mode }]) => ({
    key: fileKey(path),
    path: fileKey(path),
    mode,
  }));
  const items = [PASSWD_KEY, GROUP_KEY].map((key) => ({ key, path: key }));
  const all = [...items, ...own.map(defined)];
  if (isShared(context)) {
    return { name: FILES_VOLUME, secret: { secretName: names.secret, defaultMode: 0o644, items: all } };
  }
  const isPlain = own.every(({ mode }) => mode === undefined);
  return {
    name: FILES_VOLUME,
    configMap: { name: names.files, defaultMode: 0o644, ...(isPlain ? {} : { items: all }) },
  };
}

/** Where the lab sees its files. */
export function fileMounts({ files }: Pick<LabConfig, 'files'>): V1VolumeMount[] {
  const places = [
    ['/etc/passwd', PASSWD_KEY],
    ['/etc/group', GROUP_KEY],
  ] as const;
  return [...places, ...Object.keys(files).map((path) => [path, fileKey(path)] as const)].map(
    ([mountPath, subPath]) => ({
      name: FILES_VOLUME,
      mountPath,
      subPath,
      readOnly: true,
    }),
  );
}

/**
 * The key of a file in the ConfigMap. Keys may hold no slash; the hash of the path keeps apart what would look the same
 * with its slashes replaced, and no path can be mistaken for `passwd`.
 */
export function fileKey(path: string): string {
  const hash = createHash('sha256').update(path).digest('hex').slice(0, 16);
  const basename = path
    .slice(path.lastIndexOf('/') + 1)
    .replaceAll(/[^A-Za-z0-9._-]/g, '-')
    .slice(0, 100);
  return `file-${hash}-${basename}`;
}

/** /etc/passwd: the configured beginning and one line, always of seven fields, for the user. */
export function buildPasswd(config: LabConfig, user: LabUser): string {
  const fields = [
    unixName(user.username),
    'x',
    user.uid,
    user.gid,
    plainText(user.name ?? ''),
    homeDirectory(config, user),
    '/bin/bash',
  ];
  return `${withNewline(config.passwd)}${fields.join(':')}\n`;
}

/**
 * /etc/group: the configured beginning and one line for each group. The user is a member of all but the primary one,
 * which passwd already gives; a primary group that is not in the list has the user's own name.
 */
export function buildGroup(config: LabConfig, user: LabUser): string {
  const own = unixName(user.username);
  const listed = user.groups.some(({ id }) => id === user.gid) ? [] : [{ name: own, id: user.gid }];
  const lines = [...listed, ...user.groups].map(
    ({ name, id }) => `${groupName(name, id)}:x:${id}:${id === user.gid ? '' : own}\n`,
  );
  return `${withNewline(config.group)}${lines.join('')}`;
}

/** Free text as one field: no colon, no line break, no control character, no half of a surrogate pair. */
function plainText(text: string): string {
  return text
    .toWellFormed()
    .replaceAll(/[\p{Cc}\p{Zl}\p{Zp}:]+/gu, ' ')
    .trim();
}

function groupName(name: string, id: number): string {
  const plain = plainText(name).replaceAll(/[\s,]+/g, '_');
  return plain === '' ? `group-${id}` : plain;
}

function withNewline(text: string): string {
  return text === '' || text.endsWith('\n') ? text : `${text}\n`;
}
