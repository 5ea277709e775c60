import type { V1Secret } from '@kubernetes/client-node';
import { findOverlays, type Config } from '../../../src/config/index.ts';
import { aLabInput, buildWith } from '../../builder/cases.ts';
import { reachFacts } from './network.ts';
import type { Content, Observed } from './facts.ts';
import { type Case, type Choice, type Option, type Profile, profilesOf, slugOfProfile } from './hubs.ts';
import type { Table } from '../../../src/cli/import/source.ts';

/** The lab that Labwright makes of the imported configuration for the same person and the same choices. */
export function observeLab(config: Config, values: Table, each: Case, env: Readonly<Record<string, string>>): Observed {
  const { uid, gid } = config.users.defaults!;
  const user = { username: each.username, name: null, uid, gid, groups: [] };
  const { size, image, groups } = chosen(config, values, each);
  const changes = {
    ...{ user, servername: each.servername, size, image, token: null },
    overlays: findOverlays(config.overlays, { ...user, admin: each.admin }),
    data: Object.fromEntries(config.lab.secrets.map(({ secretKey }) => [secretKey, ''])),
  };
  const input = aLabInput(config, changes);
  const { pod, envSecret, files, secret, networkPolicy } = buildWith(config, {
    ...changes,
    env: { ...env, JUPYTERHUB_SERVICE_PREFIX: input.lab.servicePrefix },
  });
  const contents: Record<string, Content> = {};
  for (const [key, text] of Object.entries(files.data ?? {})) contents[key] = { text };
  for (const [key, base64] of Object.entries(files.binaryData ?? {})) contents[key] = { base64 };
  return {
    pod,
    env: Object.fromEntries(
      [envSecret, ...(secret === undefined ? [] : [secret])].map((one) => [one.metadata?.name ?? '', decode(one)]),
    ),
    files: { [files.metadata?.name ?? '']: contents },
    groups,
    network: reachFacts(networkPolicy?.spec?.egress, 'the lab', false),
  };
}

function decode({ data = {} }: V1Secret): Record<string, string> {
  return Object.fromEntries(Object.entries(data).map(([key, value]) => [key, Buffer.from(value, 'base64').toString()]));
}

/** What a person has chosen, as the values say it. */
export interface Chosen {
  readonly profile: Profile | undefined;
  readonly choices: readonly { readonly option: Option; readonly choice: Choice; readonly key: string }[];
  /** An image that was written in. */
  readonly written: string | undefined;
}

export function chosenOf(values: Table, { options }: Case): Chosen {
  const profiles = profilesOf(values);
  const profile =
    options['profile'] === undefined
      ? (profiles.find((each) => each.default) ?? profiles[0])
      : profiles.find((each) => slugOfProfile(each) === options['profile']);
  let written: string | undefined;
  const choices = Object.entries(profile?.profile_options ?? {}).flatMap(([name, option]) => {
    const unlisted = options[`${name}--unlisted-choice`];
    if (unlisted !== undefined) {
      written = unlisted;
      return [];
    }
    const all = Object.entries(option.choices ?? {});
    const found = all.find(([key]) => key === options[name]) ?? all.find(([, choice]) => choice.default) ?? all[0];
    return found === undefined ? [] : [{ option, key: found[0], choice: found[1] }];
  });
  return { profile, choices, written };
}

/** Who may choose it: everybody of one of the groups of each of these. */
export function groupsOf({ profile, choices }: Chosen): string {
  return writeGroups([profile?.allowed_groups, ...choices.map(({ choice }) => choice.allowed_groups)]);
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

/** The size and the image that stand for it. A size is found by its title, which is made of those of profile and choices. */
function chosen(config: Config, values: Table, each: Case): { size: string; image: string; groups: string } {
  const { profile, choices, written } = chosenOf(values, each);
  const isOfImages = ({ choices: all = {}, unlisted_choice: other, dynamic_image_building: builds }: Option) =>
    builds !== undefined ||
    [...Object.values(all), other].some((choice) => choice?.kubespawner_override?.['image'] !== undefined);
  const titles = [
    ...(profilesOf(values).length > 1 ? [profile?.display_name] : []),
    ...choices.flatMap(({ option, choice, key }) => (isOfImages(option) ? [] : [choice.display_name ?? key])),
  ].filter((title) => title !== undefined && title !== '');
  const title = titles.length === 0 ? profile?.display_name : titles.join(': ');
  const size = config.lab.sizes.find((one) => title === undefined || one.title === title);
  if (size === undefined) throw new Error(`no size is called ${String(title)}`);
  const overrides = [profile, ...choices.map(({ choice }) => choice)].map(
    (one) => one?.kubespawner_override?.['image'],
  );
  const asked = written ?? overrides.findLast((one): one is string => typeof one === 'string') ?? imageOf(values);
  const image = config.images.list.find(({ reference }) => tagged(asked) === reference);
  if (image === undefined && (written === undefined || !config.images.allowOther))
    throw new Error(`no image is ${asked}`);
  if (image?.sizes !== undefined && !image.sizes.includes(size.name))
    throw new Error(`${image.reference} does not go with ${size.name}`);
  return {
    size: size.name,
    image: image?.reference ?? asked,
    groups: writeGroups([size.groups, image?.groups]),
  };
}

function imageOf({ singleuser }: Table): string {
  const { name, tag } = (singleuser as { image: { name: string; tag: string } }).image;
  return `${name}:${tag}`;
}

function tagged(image: string): string {
  return /[:@][^/]*$/.test(image) ? image : `${image}:latest`;
}
