import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'yaml';
import { mergeValues, type Table } from '../../../src/cli/import/source.ts';
import { isRecord } from '../../../src/util/is-record.ts';

/** Values of production hubs, and those of the chart, are not part of this repository: `hubs/*.yaml` and `z2jh-values.yaml` of a folder. */
const DATA = process.env.HUBS ?? join(import.meta.dirname, '../../../../shared/data');
export const areThere = existsSync(join(DATA, 'z2jh-values.yaml')) && existsSync(join(DATA, 'hubs'));

export interface Hub {
  readonly name: string;
  /** As the hub has them. */
  readonly values: Table;
  /** With the defaults of the chart. */
  readonly effective: Table;
  readonly cases: readonly Case[];
}

/** Whose server, and what was chosen for it. */
export interface Case {
  readonly username: string;
  readonly servername: string;
  readonly admin: boolean;
  /** As KubeSpawner takes them: `profile`, and a choice or `…--unlisted-choice` by option. */
  readonly options: Readonly<Record<string, string>>;
}

export function readHubs(): Hub[] {
  const defaults = readYaml(join(DATA, 'z2jh-values.yaml'));
  return readdirSync(join(DATA, 'hubs'))
    .filter((file) => file.endsWith('.yaml'))
    .map((file) => hubOf(file.replace('.yaml', ''), readYaml(join(DATA, 'hubs', file)), defaults));
}

export function hubOf(name: string, values: Table, defaults: Table): Hub {
  const effective = mergeValues(defaults, values) as Table;
  return { name, values, effective, cases: casesOf(effective) };
}

function readYaml(file: string): Table {
  return parse(readFileSync(file, 'utf8')) as Table;
}

export interface Choice {
  readonly display_name?: string;
  readonly slug?: string;
  readonly allowed_groups?: readonly string[];
  readonly default?: boolean;
  readonly kubespawner_override?: Table;
}
export interface Option {
  readonly choices?: Readonly<Record<string, Choice>>;
  readonly unlisted_choice?: { readonly enabled?: boolean; readonly kubespawner_override?: Table };
  readonly dynamic_image_building?: unknown;
}
export interface Profile extends Choice {
  readonly display_name: string;
  readonly profile_options?: Readonly<Record<string, Option>>;
}

export function profilesOf({ singleuser }: Table): Profile[] {
  const list = isRecord(singleuser) ? singleuser['profileList'] : undefined;
  return Object.values((list ?? []) as Record<string, Profile>);
}

/** KubeSpawner's slug of a profile that has none. */
export function slugOfProfile({ slug, display_name: title }: Profile): string {
  return (
    slug ??
    title
      .normalize('NFKD')
      .replaceAll(/[^\p{ASCII}]/gu, '')
      .toLowerCase()
      .replaceAll(/[^a-z0-9]+/g, '-')
      .replaceAll(/^-+|-+$/g, '')
  );
}

const ADA = { username: 'ada', servername: '', admin: false };
const WRITTEN_IN = 'registry.example.org/written/in:1';

/** Three people with what is chosen beforehand, each profile with that, and each choice once with the rest as it is beforehand. */
function casesOf(values: Table): Case[] {
  const people = [
    ADA,
    { ...ADA, admin: true },
    { username: 'Ada.Lovelace@example.org', servername: 'Big Data', admin: false },
  ].map((who) => ({ ...who, options: {} }));
  const chosen = profilesOf(values).flatMap((profile) => {
    const all = Object.entries(profile.profile_options ?? {});
    // KubeSpawner has nothing beforehand for what is only written in.
    const written = all.filter(([, { choices = {} }]) => Object.keys(choices).length === 0);
    const least = { profile: slugOfProfile(profile), ...Object.fromEntries(written.map(([name]) => writeIn(name))) };
    const each = all.flatMap(([name, { choices = {}, unlisted_choice: other }]) => [
      ...Object.keys(choices).map((choice) => [name, choice] as const),
      ...(other?.enabled === true ? [writeIn(name)] : []),
    ]);
    return [least, ...each.map(([name, value]) => ({ ...least, [name]: value }))].map((options) => ({
      ...ADA,
      options,
    }));
  });
  return [...people, ...chosen];
}

function writeIn(option: string): readonly [name: string, value: string] {
  return [`${option}--unlisted-choice`, WRITTEN_IN];
}
