import { z } from '@hono/zod-openapi';
import type { Repository } from '../../domain/build/build.ts';
import {
  type KnownHosts,
  parseBinderSpec,
  parseBuildPath,
  parseRef,
  parseRepository,
} from '../../domain/git/repository.ts';
import { BUILD_PATH, REF } from '../../domain/git/git-ref.ts';
import { BINDER_SPECS, REPOSITORY } from '../../domain/git/repository-forms.ts';
import { reading } from './build-errors.ts';
import { expecting, identityName, refusal } from '../server/errors.ts';

/** Longer than what any host gives as a name. */
const TEXT_LENGTH = 2048;

const text = z.string(expecting('a valid string')).max(TEXT_LENGTH);

/** What the parsers of the domain take, as the description of the API has it. */
const pattern = (source: string) => ({ type: 'string', pattern: `^(?:${source})$` });
const REF_OR_NONE = { anyOf: [{ const: '' }, { type: 'string', pattern: REF.source }] };
const path = { type: 'string', pattern: BUILD_PATH.source };

/** Body of a create. Unknown keys are ignored. */
export const BuildSpecification = z
  .object(
    {
      repository: text.optional().meta({
        description: 'URL of the repository, `owner/name` of GitHub, or a DOI.',
      }),
      provider: text
        .optional()
        .meta({ description: 'With `spec`, instead of `repository`: as in addresses of BinderHub.' }),
      spec: text.optional(),
      ref: text.optional().meta({ description: 'Branch, tag or commit; `HEAD` when absent.' }),
      path: text.optional().meta({ description: 'Directory in the repository; the whole when absent.' }),
      detached: z.boolean(expecting('a valid boolean')).default(false).meta({
        description: 'Go on if nobody waits for it.',
      }),
      username: identityName
        .optional()
        .meta({ description: 'For whom; the caller when absent. Users can only ask for themselves.' }),
    },
    expecting('a valid dictionary'),
  )
  .superRefine(({ repository, provider, spec, ref }, context) => {
    const isBinder = provider !== undefined && spec !== undefined;
    const isHalf = (provider === undefined) !== (spec === undefined);
    if (isHalf || isBinder === (repository !== undefined)) {
      context.addIssue(refusal('Exactly one of repository, and provider with spec, must be there'));
    }
    if (isBinder && ref !== undefined) context.addIssue(refusal('The ref is part of the spec', ['ref']));
  })
  .meta({
    id: 'BuildSpecification',
    anyOf: [
      {
        required: ['repository'],
        properties: { repository: pattern(REPOSITORY), provider: false, spec: false, ref: REF_OR_NONE, path },
      },
      ...Object.entries(BINDER_SPECS).map(([provider, spec]) => ({
        required: ['provider', 'spec'],
        properties: { provider: { const: provider }, spec: pattern(spec), repository: false, ref: false, path },
      })),
    ],
    example: { repository: 'ada/notebooks', ref: 'main' },
  });
export type BuildSpecification = z.output<typeof BuildSpecification>;

/** What is to be built, in canonical form. */
export interface BuildTarget {
  readonly repository: Repository;
  readonly ref: string;
  readonly path: string;
}

/** @throws {LabwrightError} `invalid_repository` (422) */
export function readTarget(body: BuildSpecification, hosts: KnownHosts): BuildTarget {
  const { repository = '', provider, spec } = body;
  const path = reading(['body', 'path'], () => parseBuildPath(body.path ?? ''));
  if (provider !== undefined && spec !== undefined) {
    return { ...reading(['body', 'spec'], () => parseBinderSpec(provider, spec, hosts)), path };
  }
  return {
    repository: reading(['body', 'repository'], () => parseRepository(repository, hosts)),
    ref: reading(['body', 'ref'], () => parseRef(body.ref ?? '')),
    path,
  };
}
