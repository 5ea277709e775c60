import { buildSharedNetworkPolicy } from '../../../src/builder/lab/network-policy.ts';
import type { V1ObjectMeta, V1Secret } from '@kubernetes/client-node';
import { findOverlays, leavesSize, profileLayers, type Config } from '../../../src/config/index.ts';
import type { ChosenProfile } from '../../../src/domain/lab/lab.ts';
import type { LabRequestOptions } from '../../../src/routes/labs/lab-specification.ts';
import { resolveProfile } from '../../../src/routes/labs/resolve-profile.ts';
import { aLabInput, buildWith } from '../../builder/cases.ts';
import { reachFacts } from './network.ts';
import type { LabObjects } from '../../../src/builder/lab/lab-builder.ts';
import type { Content, Observed } from './facts.ts';
import { type Case, type Choice, type Profile, profilesOf, slugOfProfile } from './hubs.ts';
import type { Table } from '../../../src/cli/import/source.ts';

/** The lab that Labwright makes of the imported configuration for the same person and the same choices. */
export function observeLab(config: Config, each: Case, env: Readonly<Record<string, string>>): Observed {
  const { uid, gid } = config.users.defaults!;
  const user = { username: each.username, name: null, uid, gid, groups: [] };
  const { groups, ...choice } = chosen(config, each);
  const changes = {
    ...{ user, servername: each.servername, token: null, ...choice },
    overlays: findOverlays(config.overlays, { ...user, admin: each.admin }),
    data: Object.fromEntries(config.lab.secrets.map(({ secretKey }) => [secretKey, ''])),
  };
  const input = aLabInput(config, changes);
  const objects = buildWith(config, {
    ...changes,
    env: { ...env, JUPYTERHUB_SERVICE_PREFIX: input.lab.servicePrefix },
  });
  return {
    ...whatIsMade(objects),
    groups,
    beside: reachFacts(
      (objects.networkPolicy ?? buildSharedNetworkPolicy(config.lab, 'labwright'))?.spec?.egress,
      'the lab',
      false,
    ),
  };
}

/** The pod, and what it takes from the other objects of the lab. */
export function whatIsMade({ pod, files, ...objects }: LabObjects): Pick<Observed, 'pod' | 'env' | 'files'> {
  const secrets = [objects.envSecret, objects.secret].filter((secret) => secret !== undefined);
  const named = <T>(all: readonly { metadata?: V1ObjectMeta }[], contents: (index: number) => T) =>
    Object.fromEntries(all.map(({ metadata }, index) => [metadata?.name ?? '', contents(index)]));
  return {
    pod,
    env: named(secrets, (index) => decode(secrets[index]!)),
    files: {
      // Where labs share a namespace, their files are in the Secret.
      ...named(secrets, (index) => contentsOf(secrets[index]!.data)),
      ...named(files === undefined ? [] : [files], () => ({
        ...Object.fromEntries(Object.entries(files?.data ?? {}).map(([key, text]) => [key, { text }])),
        ...contentsOf(files?.binaryData),
      })),
    },
  };
}

function contentsOf(data: Readonly<Record<string, string>> = {}): Record<string, Content> {
  return Object.fromEntries(
    Object.entries(data).map(([key, base64]) => {
      const text = Buffer.from(base64, 'base64').toString();
      return [key, Buffer.from(text).toString('base64') === base64 ? { text } : { base64 }] as const;
    }),
  );
}

function decode({ data = {} }: V1Secret): Record<string, string> {
  return Object.fromEntries(Object.entries(data).map(([key, value]) => [key, Buffer.from(value, 'base64').toString()]));
}

/** What a person has chosen, as the values say it. */
export interface Chosen {
  readonly profile: Profile | undefined;
  readonly choices: readonly Choice[];
}

export function chosenOf(values: Table, { options }: Case): Chosen {
  const profiles = profilesOf(values);
  const profile =
    options['profile'] === undefined
      ? (profiles.find((each) => each.default) ?? profiles[0])
      : profiles.find((each) => slugOfProfile(each) === options['profile']);
  const choices = Object.entries(profile?.profile_options ?? {}).flatMap(([name, option]) => {
    if (options[`${name}--unlisted-choice`] !== undefined) return [];
    const all = Object.entries(option.choices ?? {});
    const found = all.find(([key]) => key === options[name]) ?? all.find(([, choice]) => choice.default) ?? all[0];
    return found === undefined ? [] : [found[1]];
  });
  return { profile, choices };
}

/** Who may choose it: everybody of one of the groups of each of these. */
export function groupsOf({ profile, choices }: Chosen): string {
  return writeGroups([profile?.allowed_groups, ...choices.map((choice) => choice.allowed_groups)]);
}

function writeGroups(all: readonly (readonly string[] | undefined)[]): string {
  const asked = all.filter((groups) => groups !== undefined);
  // Whoever is in one of fewer groups is in one of more.
  const narrowest = asked.filter(
    (groups) => !asked.some((other) => other.length < groups.length && other.every((name) => groups.includes(name))),
  );
  const written = new Set(narrowest.map((groups) => [...groups].sort().join(' or ')));
  return written.size === 0 ? 'everybody' : [...written].sort().join(', and ');
}

/** What the API makes of the same choices, and who may make them. */
function chosen(config: Config, each: Case): { profile?: ChosenProfile; image?: string; groups: string } {
  const { profile, ...options } = each.options;
  const everyGroup = config.lab.profiles.flatMap(({ groups = [], options: all }) => [
    ...groups,
    ...Object.values(all).flatMap(({ choices }) => choices.flatMap((choice) => choice.groups ?? [])),
  ]);
  // As callers of the hub's API say it: each choice by the name of its option.
  const request = { profile, profileOptions: options, others: {}, size: undefined } as unknown as LabRequestOptions;
  const resolved = resolveProfile(config, request, { groups: everyGroup.map((name) => ({ name })) });
  if (resolved === undefined) return { groups: 'everybody' };
  const { chosen: found } = resolved;
  const configured = config.lab.profiles.find(({ name }) => name === found.name);
  const choices = Object.entries(found.options).map(([name, choice]) =>
    'choice' in choice
      ? configured?.options[name]?.choices.find((one) => one.name === choice.choice)?.groups
      : undefined,
  );
  const image = profileLayers(config.lab.profiles, found).findLast((layer) => layer.image !== undefined)?.image;
  return {
    profile: configured === undefined || leavesSize(configured) ? found : { ...found, ownSize: true },
    ...(image === undefined ? {} : { image }),
    groups: writeGroups([configured?.groups, ...choices]),
  };
}
