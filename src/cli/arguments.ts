import { isIPv4 } from 'node:net';
import { parseArgs, type ParseArgsConfig } from 'node:util';
import type { Group } from '../domain/user/user.ts';
import { IMPORT_KINDS, type ImportKind } from './import/kinds.ts';

export const USAGE = `Usage: labwright [COMMAND] [OPTIONS]

Commands:
  serve                  run the controller (the default)
  check-config FILE      say whether a configuration file can be used; with --cluster, ask its cluster too
  render                 print the Kubernetes objects of a lab as YAML
  render-build           print the Kubernetes objects of a build as YAML
  import KIND            print the configuration that values of Zero to JupyterHub (z2jh), Nublado (nublado) or BinderHub (binderhub)
                         become, and say what became of each
  schema                 print the JSON Schema of the configuration, for editors and Helm
  help, version

Options of serve:
  --config FILE          configuration; without it, an embedded sandbox cluster is used
  --sandbox              use the embedded sandbox cluster also with a configuration
  --sandbox-faults FILE  what goes wrong in the sandbox cluster, as YAML
  --with-local-labs      in the sandbox cluster, run each lab as a process of this account. Nothing isolates it: whoever
                         may create a lab runs commands as this account. Needs a loopback address to listen on
  --host ADDRESS         address to listen on, instead of the configured one
  --port PORT            port to listen on, instead of the configured one

Options of check-config:
  --cluster              have the configured cluster judge a lab of each size and of each profile (a dry run, in a namespace that is made for it)

Options of import:
  -f, --file FILE        values, as for Helm; can be repeated, later ones win (required)
  --homes SERVER:/PATH   give labs namespaces of their own, and mount this NFS export, for which the claim of the homes stands
                         (singleuser.storage.static); without it labs are in the namespace of the hub, where its claims are
  --hub-values FILE      write the values that stay with the chart of the hub, and what the hub needs to use Labwright
  --report FILE          write what became of each value as JSON: mapped, remarked, hub, lost

Options of render:
  --user NAME            user the lab is for (required)
  --config FILE          configuration; without it, that of the sandbox
  --server NAME          named server
  --profile NAME         profile; when absent, the one that is chosen beforehand, and none where --size or --image says what the lab is
  --option NAME=CHOICE   what is chosen for an option of the profile, or written in; can be repeated
  --size NAME            lab size; the default size when absent
  --image REFERENCE      image; the first of the configuration when absent
  --display-name TEXT    display name of the user
  --uid N, --gid N       ids of the user; those of the configuration, or 1000, when absent
  --group NAME:ID        group of the user; can be repeated
  --admin                an administrator of the hub
  --debug                ask for debug logging
  --reset-user-env       ask for a reset of the user's environment

Options of render-build:
  --config FILE          configuration (required)
  --repository URL       repository that is built (required)
  --commit HASH          its commit; zeros when absent
  --path DIRECTORY       directory inside of it
  --user NAME            user who asks; ada when absent
`;

export interface ServeCommand {
  readonly command: 'serve';
  readonly config: string | undefined;
  readonly sandbox: boolean;
  readonly sandboxFaults: string | undefined;
  /** Labs of the sandbox are processes of this machine. */
  readonly withLocalLabs: boolean;
  readonly host: string | undefined;
  readonly port: number | undefined;
}

export interface CheckConfigCommand {
  readonly command: 'check-config';
  readonly file: string;
  /** Ask the cluster of the configuration, too. */
  readonly cluster: boolean;
}

export interface ImportCommand {
  readonly command: 'import';
  /** What the values are of. */
  readonly kind: ImportKind;
  /** In the order in which Helm reads them. */
  readonly files: readonly string[];
  readonly homes: { readonly server: string; readonly path: string } | undefined;
  readonly report: string | undefined;
  readonly hubValues: string | undefined;
}

export interface RenderCommand {
  readonly command: 'render';
  readonly config: string | undefined;
  readonly user: string;
  readonly server: string;
  readonly profile: string | undefined;
  /** What is chosen for options of the profile, by name. */
  readonly options: Readonly<Record<string, string>>;
  readonly size: string | undefined;
  readonly image: string | undefined;
  readonly displayName: string | undefined;
  readonly uid: number | undefined;
  readonly gid: number | undefined;
  readonly groups: readonly Group[];
  readonly admin: boolean;
  readonly debug: boolean;
  readonly resetUserEnv: boolean;
}

export interface RenderBuildCommand {
  readonly command: 'render-build';
  readonly config: string;
  readonly repository: string;
  readonly commit: string;
  readonly path: string;
  readonly user: string;
}

export type Command =
  | ServeCommand
  | CheckConfigCommand
  | ImportCommand
  | RenderCommand
  | RenderBuildCommand
  | { readonly command: 'schema' }
  | { readonly command: 'help' }
  | { readonly command: 'version' };

/** A command line that cannot be understood; the message is for the person who wrote it. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
  readonly code = 'usage';
}

const COMMANDS = ['serve', 'check-config', 'import', 'render', 'render-build', 'schema', 'help', 'version'] as const;
const NO_COMMIT = '0'.repeat(40);
const MAX_ID = 2_147_483_647;

/**
 * Reads the command line.
 *
 * @param args - Without the program itself: `process.argv.slice(2)`.
 * @throws UsageError
 */
export function parseArguments(args: readonly string[]): Command {
  if (args.includes('--help') || args.includes('-h')) return { command: 'help' };
  if (args.includes('--version')) return { command: 'version' };
  const [first = 'serve', ...rest] = args;
  if (first.startsWith('-')) return parseServe(args);
  switch (COMMANDS.find((name) => name === first)) {
    case 'serve':
      return parseServe(rest);
    case 'check-config':
      return parseCheckConfig(rest);
    case 'import':
      return parseImport(rest);
    case 'render':
      return parseRender(rest);
    case 'render-build':
      return parseRenderBuild(rest);
    case 'schema':
      return { command: 'schema' };
    case 'help':
      return { command: 'help' };
    case 'version':
      return { command: 'version' };
    case undefined:
      throw new UsageError(`unknown command ${JSON.stringify(first)}: expected ${COMMANDS.join(', ')}`);
  }
}

function parseServe(args: readonly string[]): ServeCommand {
  const { values } = read(args, {
    config: { type: 'string' },
    sandbox: { type: 'boolean', default: false },
    'sandbox-faults': { type: 'string' },
    'with-local-labs': { type: 'boolean', default: false },
    host: { type: 'string' },
    port: { type: 'string' },
  });
  if (values['with-local-labs'] && values.config !== undefined && !values.sandbox) {
    throw new UsageError(
      '--with-local-labs: expected --sandbox too, or no --config: local labs are a part of the sandbox',
    );
  }
  return {
    command: 'serve',
    config: values.config,
    sandbox: values.sandbox,
    sandboxFaults: values['sandbox-faults'],
    withLocalLabs: values['with-local-labs'],
    host: values.host,
    port: values.port === undefined ? undefined : wholeNumber('port', values.port, 65_535),
  };
}

/**
 * Whoever may create a local lab runs commands as our account, so that the network must not even be able to try.
 *
 * @throws UsageError unless the address to listen on is one of this machine alone
 */
export function requireLoopback(host: string): void {
  if (host === 'localhost' || host === '::1' || (isIPv4(host) && host.startsWith('127.'))) return;
  const why = 'whoever can create a lab runs commands as the account that started Labwright';
  throw new UsageError(`--with-local-labs: expected to listen on 127.0.0.1, ::1 or localhost, not on ${host}: ${why}`);
}

function parseCheckConfig(args: readonly string[]): CheckConfigCommand {
  const { positionals, values } = read(args, { cluster: { type: 'boolean', default: false } }, true);
  const [file] = positionals;
  if (file === undefined || positionals.length > 1) throw new UsageError('check-config: expected one file');
  return { command: 'check-config', file, cluster: values.cluster };
}

function parseImport(args: readonly string[]): ImportCommand {
  const [from, ...rest] = args;
  const kind = IMPORT_KINDS.find((name) => name === from);
  if (kind === undefined) throw new UsageError(`import: expected ${IMPORT_KINDS.join(', ')}: what the values are of`);
  const { values } = read(rest, {
    file: { type: 'string', short: 'f', multiple: true, default: [] },
    homes: { type: 'string' },
    report: { type: 'string' },
    'hub-values': { type: 'string' },
  });
  if (values.file.length === 0) throw new UsageError('import: expected -f FILE');
  const [, server, path] = /^([^:/\s]+):(\/\S*)$/.exec(values.homes ?? '') ?? [];
  if (values.homes !== undefined && (server === undefined || path === undefined)) {
    throw new UsageError('--homes: expected SERVER:/PATH');
  }
  const homes = server === undefined || path === undefined ? undefined : { server, path };
  return {
    command: 'import',
    kind,
    files: values.file,
    homes,
    report: values.report,
    hubValues: values['hub-values'],
  };
}

function parseRender(args: readonly string[]): RenderCommand {
  const { values } = read(args, {
    config: { type: 'string' },
    user: { type: 'string' },
    server: { type: 'string', default: '' },
    profile: { type: 'string' },
    option: { type: 'string', multiple: true, default: [] },
    size: { type: 'string' },
    image: { type: 'string' },
    'display-name': { type: 'string' },
    uid: { type: 'string' },
    gid: { type: 'string' },
    group: { type: 'string', multiple: true, default: [] },
    admin: { type: 'boolean', default: false },
    debug: { type: 'boolean', default: false },
    'reset-user-env': { type: 'boolean', default: false },
  });
  if (values.user === undefined || values.user === '') throw new UsageError('render: expected --user NAME');
  const { config, user, server, profile, size, image, admin, debug } = values;
  return {
    command: 'render',
    config,
    user,
    server,
    profile,
    options: Object.fromEntries(values.option.map(parseOption)),
    size,
    image,
    displayName: values['display-name'],
    uid: values.uid === undefined ? undefined : wholeNumber('uid', values.uid, MAX_ID),
    gid: values.gid === undefined ? undefined : wholeNumber('gid', values.gid, MAX_ID),
    groups: values.group.map(parseGroup),
    admin,
    debug,
    resetUserEnv: values['reset-user-env'],
  };
}

function parseRenderBuild(args: readonly string[]): RenderBuildCommand {
  const { values } = read(args, {
    config: { type: 'string' },
    repository: { type: 'string' },
    commit: { type: 'string', default: NO_COMMIT },
    path: { type: 'string', default: '' },
    user: { type: 'string', default: 'ada' },
  });
  const { config, repository, commit, path, user } = values;
  if (config === undefined) throw new UsageError('render-build: expected --config FILE');
  if (repository === undefined) throw new UsageError('render-build: expected --repository URL');
  return { command: 'render-build', config, repository, commit, path, user };
}

function read<const T extends NonNullable<ParseArgsConfig['options']>>(
  args: readonly string[],
  options: T,
  allowPositionals = false,
) {
  try {
    return parseArgs({ args: [...args], options, allowPositionals, strict: true });
  } catch (cause) {
    // Node's sentence, without its advice about `--`, which goes on after the first full stop.
    const [sentence] = (cause instanceof Error ? cause.message : String(cause)).split('. ');
    throw new UsageError(sentence ?? 'the command line cannot be read', { cause });
  }
}

function wholeNumber(option: string, text: string, most: number): number {
  const value = /^\d{1,10}$/.test(text) ? Number(text) : Number.NaN;
  if (!(value <= most)) throw new UsageError(`--${option}: expected a whole number from 0 to ${most}`);
  return value;
}

function parseOption(text: string): readonly [name: string, choice: string] {
  const at = text.indexOf('=');
  if (at < 1 || at === text.length - 1) throw new UsageError('--option: expected NAME=CHOICE');
  return [text.slice(0, at), text.slice(at + 1)];
}

function parseGroup(text: string): Group {
  const at = text.lastIndexOf(':');
  if (at < 1) throw new UsageError('--group: expected NAME:ID');
  return { name: text.slice(0, at), id: wholeNumber('group', text.slice(at + 1), MAX_ID) };
}
