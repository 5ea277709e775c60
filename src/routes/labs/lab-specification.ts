import { IMAGE_CLASSES } from '../../config/index.ts';
import { z } from '@hono/zod-openapi';
import { expecting, refusal } from '../server/errors.ts';

/** A checkbox: a boolean, or the words that a form has for it. */
const flag = z
  .union([z.boolean(), z.enum(['true', 'false'])], { error: 'Input should be a valid boolean' })
  .transform((value) => value === true || value === 'true');

/** Value of `image_list` that says: look at `image_dropdown`. Browsers always send both. */
export const USE_DROPDOWN = 'use_image_from_dropdown';
/** Value of `image_list` that says: look at `image_repo`. */
export const USE_REPOSITORY = 'use_image_from_repository';
/** Value of `image_list` that says: look at `image_name`. */
export const USE_NAME = 'use_image_by_name';
export const SERVICE_PREFIX = 'JUPYTERHUB_SERVICE_PREFIX';

/** Longest text of an option; the longest image reference that can be valid is shorter. */
export const OPTION_LENGTH = 1024;
/** The environment becomes a Secret, which holds a mebibyte at most; a process takes 128 KiB in one variable. */
const ENV_COUNT = 1024;
const ENV_VALUE_BYTES = 128 * 1024 - 256;
const ENV_BYTES = 512 * 1024;
/** As Kubernetes names variables that come from a Secret: the key is the name. */
const ENV_NAME = /^(?!\.\.?$|\.\.)[-._a-zA-Z][-._a-zA-Z0-9]{0,252}$/;
const ENV_VALUE = /^[^\u0000]*$/;
const SERVICE_PREFIX_VALUE = /^\/[^\s?#\\\u0000-\u001f\u007f-\u009f]*$/;

const selector = z
  .string(expecting('a valid string'))
  .max(OPTION_LENGTH)
  .optional()
  .transform((value) => (value === '' ? undefined : value));

const SELECTORS = ['image_list', 'image_class', 'image_tag', 'image_repo', 'image_dropdown'] as const;
type ImageSelector = (typeof SELECTORS)[number];
type SelectorValues = { readonly [Name in ImageSelector]?: string | undefined };

/** Which image is wanted: one selector and what it says. */
export interface ImageChoice {
  readonly selector: ImageSelector;
  readonly value: string;
  /** With `image_repo`: branch, tag or commit, and the directory; undefined when they were not said. */
  readonly ref?: string | undefined;
  readonly path?: string | undefined;
}

/** What a lab is asked for with. */
export const LabRequestOptions = z
  .object(
    {
      profile: formField('profile', selector).meta({
        description: 'Name of a profile; the one that is chosen beforehand when absent, where there are any.',
      }),
      profile_options: z
        .record(z.string(), z.unknown(), expecting('a valid dictionary'))
        .nullish()
        .transform((value) => value ?? {})
        .meta({
          description:
            'What is chosen for the options of the profile, by name: the name of a choice, or what is written in. What is absent is as it ' +
            'is chosen beforehand. `{"image_repo": …, "image_ref": …, "image_path": …}` has an image built, where an option offers that.',
        }),
      size: formField('size', selector).meta({
        description: 'Name of a lab size, in any case. Where there are profiles it need not be said.',
      }),
      enable_debug: formField('enable_debug', flag.default(false)).meta({ description: 'Set DEBUG in the lab.' }),
      reset_user_env: formField('reset_user_env', flag.default(false)).meta({ description: 'Set RESET_USER_ENV.' }),
      image_list: formField('image_list', selector).meta({
        description: `A reference, \`${USE_DROPDOWN}\`, \`${USE_NAME}\`, or \`${USE_REPOSITORY}\`.`,
      }),
      image_dropdown: formField('image_dropdown', selector).meta({ description: 'A reference; `image_list` wins.' }),
      image_name: formField('image_name', selector).meta({
        description: `A reference that somebody has written; it counts where \`image_list\` is \`${USE_NAME}\`.`,
      }),
      image_class: formField('image_class', z.enum(IMAGE_CLASSES, expecting(oneOf(IMAGE_CLASSES))).optional()).meta({
        description: 'The image of a class.',
      }),
      image_tag: formField('image_tag', selector).meta({ description: 'The image with this tag.' }),
      image_repo: formField('image_repo', selector).meta({
        description:
          'A repository that the image is built from, where it is not there already: a URL such as ' +
          '`https://hub.example.org/ada/notebooks.git`, a DOI, or `owner/name` of GitHub.',
      }),
      image_ref: formField('image_ref', selector).meta({
        description: 'Its branch, tag or commit; `HEAD` when absent.',
      }),
      image_path: formField('image_path', selector).meta({ description: 'Directory inside of it that is built.' }),
    },
    expecting('a valid dictionary'),
  )
  .catchall(z.unknown())
  .transform((all, context) => {
    const { image_list, image_dropdown, image_name, image_class, image_tag, image_repo, ...options } = all;
    const { image_ref, image_path, profile, profile_options, size, enable_debug, reset_user_env, ...others } = options;
    const known = { profile, profileOptions: profile_options, size, enable_debug, reset_user_env, others };
    const image = choose({ ...chosen({ image_list, image_dropdown, image_repo }, image_name), image_class, image_tag });
    if (typeof image !== 'string') {
      return { ...known, image: image && { ...image, ref: image_ref, path: image_path } };
    }
    context.addIssue(refusal(image));
    return z.NEVER;
  })
  .meta({
    id: 'LabRequestOptions',
    description:
      'Values, or lists of one as a form sends them. Exactly one image selector, where `image_list` decides over ' +
      '`image_dropdown`, `image_name` and `image_repo`, which forms always send; none is needed with a profile that names the image. Options of a profile may ' +
      'also be said as the form sends them (`profile-option-PROFILE--OPTION`), and by their names alone. Other keys are ignored.',
  });

const Env = z
  .record(z.string(), z.string(expecting('a valid string')), expecting('a valid dictionary'))
  .superRefine((env, context) => {
    const fault = faultOf(env);
    if (fault !== undefined) context.addIssue(fault);
  })
  .meta({
    description: `The environment of the lab, verbatim. \`${SERVICE_PREFIX}\` is required.`,
    required: [SERVICE_PREFIX],
    properties: {
      [SERVICE_PREFIX]: { type: 'string', pattern: SERVICE_PREFIX_VALUE.source, maxLength: OPTION_LENGTH },
    },
    additionalProperties: { type: 'string', pattern: ENV_VALUE.source, maxLength: ENV_VALUE_BYTES },
    propertyNames: { pattern: ENV_NAME.source },
    maxProperties: ENV_COUNT,
    example: { [SERVICE_PREFIX]: '/user/ada/' },
  });

export type LabRequestOptions = z.output<typeof LabRequestOptions>;

/** Body of a create: what the hub's spawner sends. Unknown keys are ignored. */
export const LabSpecification = z
  .object({ options: LabRequestOptions, env: Env }, expecting('a valid dictionary'))
  .meta({ id: 'LabSpecification' });
export type LabSpecification = z.output<typeof LabSpecification>;

/** A form sends all of its fields, whichever was chosen: where `image_list` says anything, it decides between them. */
function chosen(
  { image_list, image_dropdown, image_repo }: SelectorValues,
  image_name: string | undefined,
): SelectorValues {
  if (image_list === undefined) return { image_dropdown, image_repo };
  if (image_list === USE_DROPDOWN) return { image_dropdown };
  if (image_list === USE_NAME) return { image_dropdown: image_name };
  if (image_list === USE_REPOSITORY) return { image_repo };
  return { image_list };
}

/** The one selector that says something, if any; a sentence where there are several. */
function choose(selectors: SelectorValues): ImageChoice | string | undefined {
  const choices = SELECTORS.flatMap((selector) => {
    const value = selectors[selector];
    return value === undefined ? [] : [{ selector, value }];
  });
  const [choice, ...others] = choices;
  if (choice === undefined || others.length === 0) return choice;
  return `Image specified multiple ways (${choices.map(({ selector }) => selector).join(', ')})`;
}

function faultOf(env: Readonly<Record<string, string>>): ReturnType<typeof refusal> | undefined {
  const entries = Object.entries(env);
  if (entries.length > ENV_COUNT) return refusal(`Environment has more than ${String(ENV_COUNT)} variables`);
  let size = 0;
  for (const [name, value] of entries) {
    // A name that is none is not repeated: it may be a value that slipped.
    if (!ENV_NAME.test(name)) return refusal('Environment has a name that no variable can have');
    const bytes = Buffer.byteLength(value);
    if (bytes > ENV_VALUE_BYTES) return refusal('Value is too long', [name]);
    if (!ENV_VALUE.test(value) || !value.isWellFormed()) return refusal('Value is no valid text', [name]);
    size += name.length + bytes;
  }
  if (size > ENV_BYTES) return refusal('Environment is too large');
  const prefix = Object.hasOwn(env, SERVICE_PREFIX) ? env[SERVICE_PREFIX] : undefined;
  if (prefix === undefined) return refusal(`Environment must contain ${SERVICE_PREFIX}`);
  if (prefix.length > OPTION_LENGTH || !SERVICE_PREFIX_VALUE.test(prefix)) {
    return refusal('Value must be a path that begins with a slash', [SERVICE_PREFIX]);
  }
  return undefined;
}

function oneOf(values: readonly string[]): string {
  const quoted = values.map((value) => `'${value}'`);
  return `${quoted.slice(0, -1).join(', ')} or ${quoted.at(-1) ?? ''}`;
}

/**
 * A value as a JupyterHub form sends it: in a list of one. Plain values are what API clients send; an empty list and null
 * say nothing. Both are taken, as in Nublado.
 */
function formField<Schema extends z.ZodType>(name: string, schema: Schema) {
  return z.preprocess((value, context) => {
    if (!Array.isArray(value)) return value ?? undefined;
    const [first, ...others] = value as unknown[];
    if (others.length === 0) return first ?? undefined;
    context.addIssue(refusal(`Too many values for ${name}`));
    return z.NEVER;
  }, schema);
}
