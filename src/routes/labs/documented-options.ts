import { type Config, IMAGE_CLASSES } from '../../config/index.ts';
import { BUILD_PATH, REF } from '../../domain/git/git-ref.ts';
import { REPOSITORY } from '../../domain/git/repository-forms.ts';
import { IMAGE_TAG, parseImageReference, TAGGED_REFERENCE } from '../../domain/image/image-reference.ts';
import type { OpenApiDocument } from '../server/documented-refusals.ts';
import { USE_DROPDOWN, USE_NAME, USE_REPOSITORY } from './lab-specification.ts';

interface Schema {
  readonly [keyword: string]: unknown;
  readonly description?: string;
}
type Properties = Readonly<Record<string, Schema>>;
type Choices = Pick<Config, 'images' | 'lab' | 'builds'>;

const SELECTORS = ['image_list', 'image_dropdown', 'image_class', 'image_tag', 'image_repo'] as const;
type Selector = (typeof SELECTORS)[number];

/**
 * Says of the options of a lab what no schema that is written down could: that each may come in a list of one, which sizes and
 * images this installation has, and that one image is chosen, in the ways in which a form and a client choose it.
 */
export function documentOptions(document: OpenApiDocument, config: Choices): void {
  const schemas = (document.components?.schemas ?? {}) as Record<string, Schema & { properties?: Properties }>;
  const written = schemas['LabRequestOptions'];
  if (written === undefined) return;
  const { profile, profile_options, ...ofNublado } = written.properties ?? {};
  const hasProfiles = config.lab.profiles.length > 0;
  const size = { ...ofNublado['size'], type: 'string', pattern: anyCase(config.lab.sizes.map(({ name }) => name)) };
  const required = hasProfiles ? [] : ['size'];
  const fields: Properties = { ...(hasProfiles ? { profile: profileName(profile, config) } : {}), ...ofNublado, size };
  schemas['LabRequestOptions'] = {
    ...written,
    additionalProperties: true,
    properties: {
      ...Object.fromEntries(
        Object.entries(fields).map(([name, schema]) => [name, asFormField(schema, required.includes(name))]),
      ),
      ...(hasProfiles && profile_options !== undefined
        ? { profile_options: profileOptions(profile_options, config) }
        : {}),
    },
    ...(hasProfiles ? {} : { required }),
    anyOf: [...choices(config), ...(hasProfiles ? [NO_IMAGE] : [])],
    example: hasProfiles
      ? { profile: config.lab.profiles[0]?.name ?? '' }
      : { size: config.lab.defaultSize, image_list: config.images.list[0]?.reference ?? '' },
  };
}

function profileName(schema: Schema | undefined, { lab }: Choices): Schema {
  return { ...schema, type: 'string', enum: lab.profiles.map(({ name }) => name) };
}

/** The options of all profiles: which of them a request may name depends on its profile. */
function profileOptions(schema: Schema, { lab }: Choices): Schema {
  const names = new Set(lab.profiles.flatMap(({ options }) => Object.keys(options)));
  const choice = {
    anyOf: [
      { type: ['string', 'null'], maxLength: 1024 },
      { type: 'object', additionalProperties: { type: 'string', maxLength: 1024 } },
    ],
  };
  return { ...schema, properties: Object.fromEntries([...names].map((name) => [name, choice])) };
}

/** A value, or a list of one; what need not be said may be in an empty list. */
function asFormField({ description, ...schema }: Schema, isRequired: boolean): Schema {
  return { ...(description === undefined ? {} : { description }), ...inListToo(schema, isRequired ? 1 : 0) };
}

function inListToo(schema: Schema, minItems: number): Schema {
  return { anyOf: [schema, { type: 'array', items: schema, minItems, maxItems: 1 }] };
}

/** The ways to choose one image: what says which, and what says nothing beside it. */
function choices({ images, builds }: Choices): Schema[] {
  const reference = referenceOf(images);
  const tags = images.list.flatMap(({ reference }) => parseImageReference(reference)?.tag ?? []);
  const named = images.list.flatMap((image) => image.class ?? []);
  const classes = new Set<string>(images.sources.length > 0 ? IMAGE_CLASSES : ['recommended', ...named]);
  const repository = {
    image_repo: pattern(REPOSITORY),
    image_ref: { anyOf: [{ const: '' }, { type: 'string', pattern: REF.source }] },
    image_path: { type: 'string', pattern: BUILD_PATH.source },
  };
  const isBuilt = builds !== undefined;
  return [
    chosen('image_list', { image_list: reference }, ['image_dropdown', 'image_repo']),
    chosen('image_dropdown', { image_list: { const: USE_DROPDOWN }, image_dropdown: reference }, ['image_repo']),
    ...(images.allowOther === false
      ? []
      : [
          chosen('image_name', { image_list: { const: USE_NAME }, image_name: reference }, [
            'image_dropdown',
            'image_repo',
          ]),
        ]),
    ...(isBuilt
      ? [chosen('image_repo', { image_list: { const: USE_REPOSITORY }, ...repository }, ['image_dropdown'])]
      : []),
    chosen('image_dropdown', { image_dropdown: reference }),
    ...(isBuilt ? [chosen('image_repo', repository)] : []),
    chosen('image_class', { image_class: { enum: [...classes] } }),
    ...(tags.length === 0 && images.sources.length === 0
      ? []
      : [
          chosen('image_tag', {
            image_tag: images.sources.length === 0 ? { enum: [...new Set(tags)] } : pattern(IMAGE_TAG),
          }),
        ]),
  ];
}

/**
 * @param said what this choice says; `image_ref` and `image_path` need not be there
 * @param ignored selectors that may say anything
 */
function chosen(selector: Selector | 'image_name', said: Properties, ignored: readonly Selector[] = []): Schema {
  const properties = Object.fromEntries(
    Object.entries(said).map(([name, schema]) => {
      const isOptional = name === 'image_ref' || name === 'image_path';
      return [name, isOptional ? inListToo({ anyOf: [schema, { type: 'null' }] }, 0) : inListToo(schema, 1)];
    }),
  );
  const silent = SELECTORS.filter((name) => !(name in said) && !ignored.includes(name));
  return {
    required: [...new Set([...('image_list' in said ? ['image_list'] : []), selector])],
    properties: { ...properties, ...Object.fromEntries(silent.map((name) => [name, SILENT])) },
  };
}

/** What a form sends for what was left empty. */
const SILENT: Schema = { enum: ['', null, [], [''], [null]] };

/** With a profile no image need be named. */
const NO_IMAGE: Schema = { properties: Object.fromEntries(SELECTORS.map((name) => [name, SILENT])) };

/** What sources have is not known when the document is made. */
function referenceOf({ list, sources, allowOther }: Config['images']): Schema {
  if (allowOther !== false || sources.length > 0) return pattern(TAGGED_REFERENCE);
  const references = list.flatMap(({ reference }) => {
    const [tagged = reference, digest] = reference.split('@');
    return digest === undefined || parseImageReference(tagged)?.tag === null ? [reference] : [reference, tagged];
  });
  return { enum: [...new Set(references)] };
}

function pattern(source: string): Schema {
  return { type: 'string', pattern: `^(?:${source})$` };
}

/** Any of these names, in any case. */
function anyCase(names: readonly string[]): string {
  const inAnyCase = (name: string) => name.replaceAll(/[a-z]/g, (letter) => `[${letter}${letter.toUpperCase()}]`);
  return `^(?:${names.map(inAnyCase).join('|')})$`;
}
