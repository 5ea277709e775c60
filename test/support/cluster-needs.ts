import { inject, it } from 'vitest';

const withoutControllers = process.env.LABWRIGHT_TEST_CLUSTER === 'apiserver' && !inject('apiServer').controllers;

/**
 * `it` for a test that waits for Kubernetes' own controllers: a namespace that finishes terminating, a quota that is
 * counted, the account `default`. Where the folder in KUBEBUILDER_ASSETS holds no kube-controller-manager the run
 * reports these tests as not run.
 */
export const itNeedsControllers: typeof it = withoutControllers ? (it.skip as unknown as typeof it) : it;

/** `it` for a test of kinds that the sandbox does not have; it is for the real API server. */
export const itNeedsRealKinds: typeof it =
  process.env.LABWRIGHT_TEST_CLUSTER === 'apiserver' ? itNeedsControllers : (it.skip as unknown as typeof it);
