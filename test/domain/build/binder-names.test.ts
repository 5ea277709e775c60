import { describe, expect, it } from 'vitest';
import { binderImageName, binderPodName } from '../../../src/domain/build/binder-names.ts';

const PREFIX = 'gcr.io/p/r2d-';
const COMMIT = '50533eb470ee6c24e872043d30b2fee463d6943f';
const URL_SLUG = 'https://gitlab.example.org/Group/Sub/Repo.git';

/** What BinderHub itself has answered. */
const GOLDEN: readonly {
  slug: string;
  ref: string;
  pod: string;
  image: string;
}[] = [
  {
    slug: 'binder-examples-requirements',
    ref: COMMIT,
    pod: 'build-binder-2dexamples-2drequirements-55ab5c-505-2c',
    image: `gcr.io/p/r2d-binder-2dexamples-2drequirements-55ab5c:${COMMIT}`,
  },
  {
    slug: 'yuvipanda-requirements',
    ref: '1c0c450604b15ec4cb41617b7958b671ad8ab691',
    pod: 'build-yuvipanda-2drequirements-23f3bc-1c0-c1',
    image: 'gcr.io/p/r2d-yuvipanda-2drequirements-23f3bc:1c0c450604b15ec4cb41617b7958b671ad8ab691',
  },
  {
    slug: 'dataverse-dvn-2ftjclkp',
    ref: '3035124.v3.0',
    pod: 'build-dataverse-2ddvn-2d2ftjclkp-a1371f-303-21',
    image: 'gcr.io/p/r2d-dataverse-2ddvn-2d2ftjclkp-a1371f:3035124.v3.0',
  },
  {
    slug: URL_SLUG,
    ref: COMMIT,
    pod: 'build-https-3a-2f-2fgitlab-2eexample-2eorg-2fgrou-df6d0e-505-2c',
    image: `gcr.io/p/r2d-https-3a-2f-2fgitlab-2eexample-2eorg-2fgroup-2fsub-2frepo-2egit-df6d0e:${COMMIT}`,
  },
  {
    slug: 'gitlab_-org-gitlab_-foss',
    ref: 'b3344b7f17c335a817c5d7608c5e47fd7cabc023',
    pod: 'build-gitlab-5f-2dorg-2dgitlab-5f-2dfoss-a53a80-b33-2f',
    image: 'gcr.io/p/r2d-gitlab-5f-2dorg-2dgitlab-5f-2dfoss-a53a80:b3344b7f17c335a817c5d7608c5e47fd7cabc023',
  },
  {
    slug: 'zenodo-3242074',
    ref: '3242074',
    pod: 'build-zenodo-2d3242074-b993d2-324-ea',
    image: 'gcr.io/p/r2d-zenodo-2d3242074-b993d2:3242074',
  },
];

describe("BinderHub's names", () => {
  it.each(GOLDEN)('are to the letter what it calls the image and the pod of $slug', ({ slug, ref, pod, image }) => {
    expect(binderImageName(PREFIX, slug, ref)).toBe(image);
    expect(binderPodName(slug, ref)).toBe(pod);
  });

  it('have no underscore and no capital, in the prefix neither', () => {
    expect(binderImageName('Reg.example/my_team/', 'a', 'V_1')).toBe('reg.example/my-team/a-ca9781:v-1');
  });

  it('escape each byte of a character that is more than one', () => {
    expect(binderImageName('', 'é', '1')).toMatch(/^-c3-a9-[0-9a-f]{6}:1$/);
    expect(binderImageName('', '😀', '1')).toMatch(/^-f0-9f-98-80-[0-9a-f]{6}:1$/);
  });

  it('are shortened to what registries and the API server take', () => {
    const slug = 'x/'.repeat(300);
    expect(binderImageName(PREFIX, slug, 'r').split(':')[0]).toHaveLength(255);
    expect(binderPodName(slug, COMMIT).length).toBeLessThanOrEqual(63);
  });
});
