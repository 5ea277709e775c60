import { describe, expect, it } from 'vitest';
import { findJobCondition } from '../../../../../src/reconcile/builds/executors/kubernetes/job-condition.ts';

const POD = 'pods "build-1-x" is forbidden:';

describe('what keeps a Job from making the pod of a build', () => {
  it.each([
    ['admission webhook "policy.example" denied the request: no', 'AdmissionDenied'],
    [`${POD} violates PodSecurity "restricted:latest": allowPrivilegeEscalation != false`, 'AdmissionDenied'],
    [`${POD} maximum memory usage per Container is 1Gi, but limit is 8Gi`, 'AdmissionDenied'],
    [`${POD} ValidatingAdmissionPolicy 'p' with binding 'b' denied request: no`, 'AdmissionDenied'],
    ['Pod "build-1-x" is invalid: spec.tolerations[0].effect: Invalid value: "NoSchedule"', 'AdmissionDenied'],
    [`${POD} unable to validate against any security context constraint: []`, 'AdmissionDenied'],
  ])('is a refusal at once: %s', (message, reason) => {
    expect(findJobCondition('FailedCreate', `Error creating: ${message}`)).toMatchObject({ reason, afterMs: 3_000 });
  });

  it.each([
    'Internal error occurred: failed calling webhook "policy.example": failed to call webhook: Post "https://p.s.svc:443/?timeout=10s": context deadline exceeded',
    'Internal error occurred: failed calling webhook "p": no endpoints available for service "p"',
    'etcdserver: leader changed',
    'etcdserver: request timed out',
    'Timeout: request did not complete within requested timeout - context deadline exceeded',
    `${POD} error looking up service account builds/labwright-build: serviceaccount "labwright-build" not found`,
    `${POD} status unknown for quota: builds, resources: pods`,
    'Operation cannot be fulfilled on resourcequotas "builds": the object has been modified; please apply your changes to the latest version and try again',
    'Post "https://10.0.0.1:443/api/v1/namespaces/builds/pods": dial tcp 10.0.0.1:443: connect: connection refused',
    'something that nobody has heard of',
  ])('may pass, and waits for the time of scheduling: %s', (message) => {
    expect(findJobCondition('FailedCreate', `Error creating: ${message}`)).toMatchObject({
      reason: 'SchedulingTimeout',
      afterMs: Number.POSITIVE_INFINITY,
    });
  });

  it('is given a minute when it is a 403 that nobody can explain, and two for a quota', () => {
    const find = (message: string) => findJobCondition('FailedCreate', message)?.afterMs;
    expect(find(`Error creating: ${POD} User "system:x" cannot create resource "pods"`)).toBe(60_000);
    expect(find(`Error creating: ${POD} exceeded quota: q, requested: pods=1`)).toBe(120_000);
    expect(findJobCondition('SuccessfulCreate', 'Created pod')).toBeUndefined();
  });
});
