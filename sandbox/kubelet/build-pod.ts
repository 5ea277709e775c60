import type { V1Pod } from '@kubernetes/client-node';
import { BUILD_KIND } from '../../src/domain/build/build-intent.ts';
import { BUILD_CONTAINER } from '../../src/domain/build/build-run.ts';
import { KIND_LABEL } from '../../src/domain/names.ts';

export function isBuild({ metadata, spec }: V1Pod): boolean {
  return metadata?.labels?.[KIND_LABEL] === BUILD_KIND && spec?.containers[0]?.name === BUILD_CONTAINER;
}

/** The image that a build is to push: its reference with a tag. */
export function imageOfBuild({ spec }: V1Pod): string {
  return spec?.containers[0]?.env?.find(({ name }) => name === 'LABWRIGHT_IMAGE')?.value ?? '';
}
