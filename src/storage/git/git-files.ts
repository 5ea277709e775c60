import type { GitCredential } from '../../domain/git/git-credential.ts';
import { SECRETS_DIRECTORY } from '../../domain/build/build-secrets.ts';

/**
 * What Git is given in a build to read one repository: files by name, for `GIT_CONFIG_GLOBAL=<directory>/gitconfig`.
 *
 * Git sends the credential to the scheme, host, port and path that it is for, and to nothing else: not to the submodule
 * of another host, and not to where a host redirects. For SSH the one key is offered only to hosts in its `known_hosts`.
 *
 * @returns nothing where there is no credential
 */
export function buildGitFiles(
  credential: GitCredential | undefined,
  directory: string = SECRETS_DIRECTORY,
): Record<string, string> {
  switch (credential?.kind) {
    case undefined:
      return {};
    case 'http':
      return {
        gitconfig: httpConfig(credential.url, `${directory}/git-credentials`),
        'git-credentials': `username=${credential.username}\npassword=${credential.password}\n`,
      };
    case 'ssh':
      return {
        gitconfig: section('core', [['sshCommand', sshCommand(directory)]]),
        'ssh-privatekey': credential.privateKey,
        known_hosts: credential.knownHosts,
      };
  }
}

/**
 * Git finds the section by matching the URL (gitcredentials, "Configuration options"): scheme and host exactly, of the path
 * whole parts from its beginning. The empty helper forgets those of the image, which may be for any host.
 *
 * The helper is a line of shell: Git's own `store` would want to write to the file after each use, and complain in the log
 * that it cannot.
 */
function httpConfig(url: string, file: string): string {
  return (
    section('credential', [
      ['helper', ''],
      // Git LFS does not say of which path it asks otherwise, and a section that has a path is for no address without one.
      ['useHttpPath', 'true'],
    ]) +
    section(`credential ${quoted(url.replace(/\/+$/, ''))}`, [
      ['helper', `!f() { test "$1" != get || cat ${file}; }; f`],
    ])
  );
}

function sshCommand(directory: string): string {
  const options = [
    'IdentitiesOnly=yes',
    'StrictHostKeyChecking=yes',
    `UserKnownHostsFile=${directory}/known_hosts`,
    'GlobalKnownHostsFile=/dev/null',
    'UpdateHostKeys=no',
    'ForwardAgent=no',
    'BatchMode=yes',
    'ConnectTimeout=30',
  ];
  return `ssh -F /dev/null -i ${directory}/ssh-privatekey ${options.map((option) => `-o ${option}`).join(' ')}`;
}

function section(name: string, values: readonly (readonly [string, string])[]): string {
  return [`[${name}]`, ...values.map(([key, value]) => `\t${key} = ${value === '' ? '' : quoted(value)}`), ''].join(
    '\n',
  );
}

/** A value as Git's configuration files have it (git-config, "Syntax"). */
function quoted(text: string): string {
  return `"${text.replaceAll(/["\\]/g, '\\$&')}"`;
}
