import { z } from 'zod';
import { crossCheck, type Report, uniqueBy } from './cross-check.ts';
import { dnsLabel } from './kubernetes.ts';
import { checkPieces, type ParsedLab } from './lab.ts';
import { type LabOverlay, overlaySettings, PIECE_KEYS } from './lab-overlay.ts';
import { mergeLab } from './merge-lab.ts';

const overlay = z.strictObject({
  name: dnsLabel().describe('Name, by which a lab remembers it.'),
  match: z
    .strictObject({
      groups: z.array(z.string().min(1)).min(1).exactOptional().describe('Names of groups.'),
      users: z.array(z.string().min(1)).min(1).exactOptional().describe('Names of users.'),
      admin: z
        .literal(true, { error: 'expected true, or no such key: others are not told by it' })
        .exactOptional()
        .describe('Administrators, as the hub knows them (`auth.jupyterhub`).'),
    })
    .refine((match) => Object.keys(match).length > 0, { error: 'expected groups, users or admin' })
    .describe('For whom: whoever is in one of the groups, is one of the users or is an administrator.'),
  lab: overlaySettings.describe(
    `What is different for them: ${PIECE_KEYS.map((key) => `\`${key}\``).join(', ')}. Tables are merged by key; \`volumes\`, ` +
      '`initContainers` and `sidecars` by name, `extraObjects` by kind and name, `volumeMounts` by path; tolerations and spread constraints are added; `podPatch` is merged; ' +
      'anything else is replaced.',
  ),
});

/** Settings for some users, in the order in which they are laid over `lab`. */
export const overlays = z.array(overlay).check(uniqueBy('name')).default([]);

interface Whole {
  readonly lab: ParsedLab;
  readonly overlays: z.output<typeof overlays>;
  readonly images: Readonly<Record<'list' | 'sources', readonly ImageSettings[]>>;
}

interface ImageSettings {
  readonly lab?: LabOverlay;
  readonly sizes?: readonly string[];
}

/** What is laid over `lab` must make as good a lab as `lab` itself: each alone, and all overlays for users one over the other. */
export const checkOverlays = crossCheck<Whole>(
  ['lab', 'overlays', 'images'],
  ({ lab, overlays: list, images }, report) => {
    let all = lab;
    list.forEach((each, index) => {
      all = mergeLab(all, each.lab);
      checkOverlay(each.lab, [mergeLab(lab, each.lab), all], ['overlays', index, 'lab'], report);
    });
    lab.sizes.forEach(({ lab: over }, index) => {
      if (over !== undefined) checkOverlay(over, [mergeLab(lab, over)], ['lab', 'sizes', index, 'lab'], report);
    });
    for (const { settings, path } of imagesOf(images)) {
      if (settings.lab !== undefined)
        checkOverlay(settings.lab, [mergeLab(lab, settings.lab)], [...path, 'lab'], report);
    }
  },
);

/** Reports what is wrong with settings that are laid over `lab`, by what they make of it. */
export function checkOverlay(
  over: LabOverlay,
  results: readonly ParsedLab[],
  place: readonly (string | number)[],
  report: Report,
): void {
  const told = new Set<string>();
  const tell: Report = ([key = ''], message) => {
    const path = key in over ? [...place, key] : place;
    const fault = JSON.stringify([path, message]);
    if (!told.has(fault)) report(path, message);
    told.add(fault);
  };
  for (const result of results) checkPieces(result, tell);
}

export const checkImageSizes = crossCheck<Whole>(['lab', 'images'], ({ lab, images }, report) => {
  const names = lab.sizes.map(({ name }) => name);
  for (const { settings, path } of imagesOf(images)) {
    settings.sizes?.forEach((size, at) => {
      if (!names.includes(size)) report([...path, 'sizes', at], `expected one of the sizes: ${names.join(', ')}`);
    });
  }
});

/** The settings of images of the list and of sources, with where they stand. */
function imagesOf(images: Whole['images']) {
  return (['list', 'sources'] as const).flatMap((key) =>
    images[key].map((settings, index) => ({ settings, path: ['images', key, index] as const })),
  );
}

/** Who somebody is, as far as choices and overlays ask. */
export interface Chooser {
  readonly username: string;
  readonly groups: readonly { readonly name: string }[] | null;
  readonly admin: boolean | null;
}

/** The names of the overlays for a user, in their order. */
export function findOverlays(
  list: readonly {
    readonly name: string;
    readonly match: { readonly groups?: readonly string[]; readonly users?: readonly string[]; readonly admin?: true };
  }[],
  user: Chooser,
): string[] {
  return list
    .filter(
      ({ match }) =>
        (match.groups !== undefined && isMember(match.groups, user)) ||
        match.users?.includes(user.username) === true ||
        (match.admin === true && user.admin === true),
    )
    .map(({ name }) => name);
}

/** Whether something that is for these groups is offered to a user: without groups it is for everybody. */
export function isOffered({ groups }: { readonly groups?: readonly string[] }, user: Pick<Chooser, 'groups'>): boolean {
  return groups === undefined || isMember(groups, user);
}

function isMember(groups: readonly string[], user: Pick<Chooser, 'groups'>): boolean {
  return user.groups?.some(({ name }) => groups.includes(name)) === true;
}
