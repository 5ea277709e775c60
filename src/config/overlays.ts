import { z } from 'zod';
import { crossCheck, type Report, uniqueBy } from './cross-check.ts';
import { dnsLabel } from './kubernetes.ts';
import { checkPieces, type ParsedLab } from './lab.ts';
import { labSettings } from './lab-settings.ts';
import { type LabOverlay, mergeLab, OVERLAY_KEYS } from './merge-lab.ts';

/** The settings of labs that an overlay may have: those of `lab`, without their defaults. */
const overlaySettings = z
  .strictObject(
    Object.fromEntries(OVERLAY_KEYS.map((key) => [key, withoutDefault(labSettings.shape[key]).exactOptional()])),
  )
  .transform((settings) => settings as LabOverlay)
  .meta({ title: 'some keys of `lab`' });

const overlay = z.strictObject({
  name: dnsLabel().describe('Name, by which a lab remembers it.'),
  match: z
    .strictObject({
      groups: z.array(z.string().min(1)).min(1).exactOptional().describe('Names of groups.'),
      users: z.array(z.string().min(1)).min(1).exactOptional().describe('Names of users.'),
      admin: z.literal(true).exactOptional().describe('Administrators, as the hub knows them (`auth.jupyterhub`).'),
    })
    .refine((match) => Object.keys(match).length > 0, { error: 'expected groups, users or admin' })
    .describe('For whom: whoever is in one of the groups, is one of the users or is an administrator.'),
  lab: overlaySettings.describe(
    `What is different for them: ${OVERLAY_KEYS.map((key) => `\`${key}\``).join(', ')}. Tables are merged by key; \`volumes\` and ` +
      '`initContainers` by name, `volumeMounts` by path; tolerations and spread constraints are added; anything else is replaced.',
  ),
});

/** Settings for some users, in the order in which they are laid over `lab`. */
export const overlays = z.array(overlay).check(uniqueBy('name')).default([]);

/** What an overlay makes of `lab` must be as good as `lab` itself, alone and over those before it. */
export const checkOverlays = crossCheck<{ lab: ParsedLab; overlays: z.output<typeof overlays> }>(
  ['lab', 'overlays'],
  ({ lab, overlays: list }, report) => {
    let all = lab;
    list.forEach((each, index) => {
      all = mergeLab(all, each.lab);
      const told = new Set<string>();
      const tell: Report = (path, message) => {
        const key = String(path[0]);
        const place = key in each.lab ? [key] : [];
        if (told.has(`${place.join()} ${message}`)) return;
        told.add(`${place.join()} ${message}`);
        report(['overlays', index, 'lab', ...place], message);
      };
      checkPieces(mergeLab(lab, each.lab), tell);
      checkPieces(all, tell);
    });
  },
);

/** The names of the overlays for a user, in their order. */
export function findOverlays(
  list: readonly { readonly name: string; readonly match: OverlayMatch }[],
  user: {
    readonly username: string;
    readonly groups: readonly { readonly name: string }[] | null;
    readonly admin: boolean | null;
  },
): string[] {
  const groups = new Set(user.groups?.map(({ name }) => name));
  return list
    .filter(
      ({ match }) =>
        match.groups?.some((name) => groups.has(name)) === true ||
        match.users?.includes(user.username) === true ||
        (match.admin === true && user.admin === true),
    )
    .map(({ name }) => name);
}

export interface OverlayMatch {
  readonly groups?: readonly string[];
  readonly users?: readonly string[];
  readonly admin?: true;
}

function withoutDefault(schema: z.ZodType): z.ZodType {
  const isWrapped =
    schema instanceof z.ZodDefault || schema instanceof z.ZodPrefault || schema instanceof z.ZodOptional;
  return isWrapped ? withoutDefault(schema.unwrap() as z.ZodType) : schema;
}
