import { z } from 'zod';
import { crossCheck, uniqueBy } from './cross-check.ts';
import { overlaySettings } from './lab-overlay.ts';
import { taggedImage } from './lab-pieces.ts';
import { extendedResources, groupNames } from './lab-size.ts';
import { requestRules } from './requests.ts';
import { cpu, labMemory } from './units.ts';
import { writeInImage, writeInPattern } from './write-in.ts';

/** Value of an option in a form that says: look at the text that was written in. KubeSpawner's word. */
export const UNLISTED_CHOICE = 'unlisted-choice';
/** Value of an option in a form that says: an image is built from a repository. */
export const REPOSITORY_CHOICE = 'repository-choice';

/** Names in requests, and in names of fields of the form. */
const name = z
  .string()
  .regex(/^[A-Za-z0-9](?:[A-Za-z0-9._-]{0,98}[A-Za-z0-9])?$/, {
    error: 'expected letters, digits, dots, _ and - inside, 100 at most',
  })
  .refine((text) => text !== UNLISTED_CHOICE && text !== REPOSITORY_CHOICE, {
    error: 'expected another name: the form of labs uses this one itself',
  });

const title = z.string().min(1).exactOptional();
const described = {
  title: title.describe('Title in the form; the name when absent.'),
  description: z.string().min(1).exactOptional().describe('What it is for, in the form.'),
  groups: groupNames.describe('Groups that may choose it; everybody when absent.'),
};

/** What is laid over what was there before. */
const settings = {
  size: z.string().exactOptional().describe('One of `lab.sizes`.'),
  cpu: cpu.exactOptional().describe('Limit of CPU; that of the size when absent.'),
  memory: labMemory.exactOptional().describe('Limit of memory; that of the size when absent.'),
  cpuRequest: cpu.exactOptional().describe('CPU kept free on the node; `cpu` beside it when absent.'),
  memoryRequest: labMemory.exactOptional().describe('Memory kept free on the node; `memory` beside it when absent.'),
  extendedResources: extendedResources.exactOptional().describe('GPUs and other devices, besides those of the size.'),
};
const image = taggedImage.exactOptional().describe('Image with tag or digest; it need not be in `images.list`.');
const lab = overlaySettings.exactOptional().describe('Other settings of labs, as in `overlays[].lab`.');

const choice = z
  .strictObject({
    name: name.describe('Name in requests.'),
    ...described,
    default: z.literal(true).exactOptional().describe('Chosen beforehand; the first choice is when none says so.'),
    image,
    ...settings,
    lab,
  })
  .check(...requestRules());

const writeIn = z
  .strictObject({
    title: title.describe('Title of the choice in the form; `Other` when absent.'),
    description: z.string().min(1).exactOptional().describe('What may be written, in the form.'),
    groups: groupNames.describe('Groups that may write something in; everybody when absent.'),
    pattern: writeInPattern
      .exactOptional()
      .describe('Regular expression that all of what is written must match, from the first character to the last.'),
    message: z
      .string()
      .min(1)
      .exactOptional()
      .describe('What must be written, in a sentence: it stands at the field, and answers what does not match.'),
    image: writeInImage.exactOptional().describe('Image, with what was written where `{value}` stands.'),
    ...settings,
    lab: overlaySettings
      .exactOptional()
      .describe(
        'Other settings of labs, as in `overlays[].lab`; what was written where `{value}` stands in `command`, `args`, `env`, ' +
          '`defaultUrl`, `extraLabels` and `extraAnnotations`.',
      ),
  })
  .check(
    crossCheck(['image', 'lab'], ({ image: template, lab: over }, report) => {
      if (template === undefined && !JSON.stringify(over ?? {}).includes('{value}'))
        report([], 'expected image, or lab with {value} in it: what is written would change nothing');
    }),
    ...requestRules(),
  );

const repository = z
  .strictObject({
    title: title.describe('Title of the choice in the form; `A repository` when absent.'),
    description: z.string().min(1).exactOptional().describe('What it is for, in the form.'),
    groups: groupNames.describe('Groups that may choose it; everybody when absent.'),
    ...settings,
    lab,
  })
  .check(...requestRules());

const option = z
  .strictObject({
    title: title.describe('Title in the form; the name when absent.'),
    description: z.string().min(1).exactOptional().describe('What is asked, in the form.'),
    choices: z.array(choice).check(uniqueBy('name'), atMostOneDefault()).default([]).describe('What can be chosen.'),
    writeIn: writeIn.exactOptional().describe('Lets users write something that is not among the choices.'),
    repository: repository
      .exactOptional()
      .describe(
        'Lets users name a repository that the image is built from, where `builds` is set up; `{}` for nothing more.',
      ),
  })
  .check(
    crossCheck(['choices', 'writeIn', 'repository'], (value, report) => {
      if (value.choices.length === 0 && value.writeIn === undefined && value.repository === undefined)
        report([], 'expected choices, writeIn or repository');
    }),
  );

const profile = z
  .strictObject({
    name: name.describe('Name in requests.'),
    ...described,
    default: z.literal(true).exactOptional().describe('Chosen beforehand; the first profile is when none says so.'),
    image,
    ...settings,
    lab,
    options: z
      .record(
        z.string().regex(/^[A-Za-z](?!.*--)(?:[A-Za-z0-9._-]{0,98}[A-Za-z0-9])?$/, {
          error: 'expected a letter, then letters, digits, dots, _ and single - inside, 100 at most',
        }),
        option,
      )
      .default({})
      .describe('What else users choose, by name, in the order of the form; each is laid over those before it.'),
  })
  .check(...requestRules());

/** Named combinations of settings, of which users choose one. */
export const profiles = z.array(profile).check(uniqueBy('name'), atMostOneDefault()).default([]);

function atMostOneDefault() {
  return z.superRefine<{ default?: true }[]>((entries, context) => {
    const [, ...others] = entries.flatMap((entry, index) => (entry.default === true ? [index] : []));
    for (const index of others) {
      context.addIssue({ code: 'custom', path: [index, 'default'], message: 'expected one default: another has it' });
    }
  });
}
