import { z } from 'zod';
import { parseImageReference } from '../../domain/image/image-reference.ts';
import { registryAccess } from '../builds/registry.ts';
import { dnsLabel, objectName } from '../kubernetes.ts';
import { imageSettings } from './image.ts';
import { tagRules } from './tag-rules.ts';

/** Name of what is found out about the images of `images.list` and of profiles; no source can be called so. */
export const LISTED = 'listed';
const NAME_LENGTH = 40;

const repositoryName = z.string().refine(
  (name) => {
    const parsed = parseImageReference(name);
    return parsed !== undefined && parsed.tag === null && parsed.digest === null;
  },
  { error: 'expected a repository without a tag, such as quay.io/jupyter/scipy-notebook' },
);

const artifactRegistry = z.strictObject({
  location: z.string().min(1).describe('Location of the repository, such as `europe-west1`.'),
  project: z.string().min(1).describe('Project that has it.'),
  repository: z.string().min(1).describe('Name of the repository.'),
  image: z.string().min(1).describe('Name of the image in it.'),
});

/** Images that are found in a registry. */
export const source = z
  .strictObject({
    name: dnsLabel()
      .max(NAME_LENGTH)
      .refine((name) => name !== LISTED, { error: 'expected another name: Labwright uses this one itself' })
      .describe('Name of the source: in messages, and in that of the ConfigMap with what was found.'),
    title: z.string().min(1).exactOptional().describe('What its images are called together, in the form.'),
    repository: repositoryName
      .exactOptional()
      .describe('Repository whose tags are offered, with its registry; read through the OCI distribution API.'),
    artifactRegistry: artifactRegistry
      .exactOptional()
      .describe(
        'Instead of `repository`: an image in Google Artifact Registry, read with one listing of its own API and the account of the pod.',
      ),
    tags: tagRules.prefault({}).describe('Which of its tags are offered, and how.'),
    ...imageSettings,
  })
  .refine(({ repository, artifactRegistry: google }) => (repository === undefined) !== (google === undefined), {
    error: 'expected either repository or artifactRegistry',
  });

/** How one registry is asked. */
export const registryOfImages = z.strictObject({
  ...registryAccess,
  credentials: objectName
    .optional()
    .describe(
      'Secret of the controller with a docker `config.json` (key `config.json` or `.dockerconfigjson`); that of `lab.pullSecret` when absent.',
    ),
});
