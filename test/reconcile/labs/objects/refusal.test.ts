import { describe, expect, it } from 'vitest';
import { Refused, refusalOf } from '../../../../src/reconcile/labs/objects/refusal.ts';
import { KubeError } from '../../../../src/storage/kubernetes/kube-error.ts';

/** As kube-apiserver 1.34 answers. */
function answered(status: number, reason: string, message: string, causes?: Array<{ reason: string }>): KubeError {
  const target = { verb: 'create', kind: 'Pod', namespace: 'lab-rachel', name: 'lab' };
  return new KubeError(target, { status, reason, message, details: causes === undefined ? undefined : { causes } });
}

const forbidden = (message: string) => answered(403, 'Forbidden', message);
const RBAC = 'User "system:serviceaccount:hub:labwright" cannot';

describe('what the API server will never accept', () => {
  it.each([
    [
      'QuotaExceeded',
      forbidden(
        'pods "lab" is forbidden: exceeded quota: lab, requested: limits.cpu=2, used: limits.cpu=0, limited: limits.cpu=1',
      ),
    ],
    ['AdmissionDenied', forbidden('pods "lab" is forbidden: failed quota: lab: must specify limits.cpu for: notebook')],
    [
      'AdmissionDenied',
      forbidden('pods "lab" is forbidden: maximum memory usage per Container is 1Gi, but limit is 2Gi'),
    ],
    [
      'AdmissionDenied',
      forbidden('pods "lab" is forbidden: violates PodSecurity "baseline:latest": host namespaces (hostNetwork=true)'),
    ],
    ['AdmissionDenied', forbidden('pods "lab" is forbidden: no PriorityClass with name missing was found')],
    ['AdmissionDenied', forbidden('pods "lab" is forbidden: pod rejected: RuntimeClass "missing" not found')],
    [
      'AdmissionDenied',
      answered(
        422,
        'Invalid',
        `pods "lab" is forbidden: ValidatingAdmissionPolicy 'images' with binding 'images' denied request: not from our registry`,
      ),
    ],
    [
      'AdmissionDenied',
      answered(400, 'BadRequest', 'admission webhook "images.example.org" denied the request: not from our registry'),
    ],
    [
      'PermissionMissing',
      forbidden(
        `secrets is forbidden: ${RBAC} create resource "secrets" in API group "" in the namespace "lab-rachel"`,
      ),
    ],
    [
      'PermissionMissing',
      forbidden(
        `secrets is forbidden: ${RBAC} deletecollection resource "secrets" in API group "" in the namespace "x"`,
      ),
    ],
    ['PermissionMissing', forbidden(`secrets "x" is forbidden: ${RBAC} update resource "secrets" in API group ""`)],
    [
      'InvalidObject',
      answered(422, 'Invalid', 'Pod "lab" is invalid: spec.restartPolicy: Unsupported value: "Sometimes"', [
        { reason: 'FieldValueNotSupported' },
      ]),
    ],
    ['InvalidObject', answered(422, 'Invalid', 'Secret "lab-env" is invalid: data: Too long')],
    ['InvalidObject', answered(400, 'BadRequest', 'Pod in version "v1" cannot be handled as a Pod: json: …')],
    ['InvalidObject', answered(413, 'RequestEntityTooLarge', 'Request entity too large: limit is 3145728')],
  ])('is %s when it says: %s', (reason, error) => {
    const refused = refusalOf(error);
    expect(refused).toMatchObject({ finding: { reason }, cause: error });
    expect(refused?.message).toBe(refused?.finding.message);
    // The user reads a sentence of ours, and nothing of the answer.
    expect(refused?.message).toMatch(/^[A-Z][^"]*\.$/);
    expect(error.message).not.toContain(refused?.message);
  });

  it('is said of the lab or of the build that it was for', () => {
    const error = forbidden(`secrets is forbidden: ${RBAC} create resource "secrets" in API group ""`);
    expect(refusalOf(error)?.message).toBe('Labwright has not the rights that the lab needs.');
    expect(refusalOf(error, 'build')?.message).toBe('Labwright has not the rights that the build needs.');
  });

  it.each([
    [
      'a right is missing',
      forbidden(`secrets is forbidden: ${RBAC} create resource "secrets" in API group ""`),
      30_000,
    ],
    ['nobody knows why', forbidden('pods "lab" is forbidden: not today'), 30_000],
    ['a quota is used up', forbidden('pods "lab" is forbidden: exceeded quota: lab'), 5_000],
    ['a rule is violated', forbidden('pods "lab" is forbidden: violates PodSecurity "baseline:latest"'), 0],
    ['a webhook denies it', forbidden('admission webhook "x" denied the request: no'), 0],
    ['an object is not valid', answered(422, 'Invalid', 'Secret "lab-env" is invalid: data: Too long'), 0],
  ])('is worth another try for a while where %s', (_what, error, graceMs) => {
    expect(refusalOf(error)?.graceMs).toBe(graceMs);
  });

  it('stays what it was when it was found to be so before', () => {
    const refused = new Refused('NameTaken', 'The name is taken.');
    expect(refusalOf(refused)).toBe(refused);
  });
});

describe('what the API server may accept later', () => {
  it.each([
    answered(403, 'Forbidden', 'unable to create new content in namespace lab-x because it is being terminated', [
      { reason: 'NamespaceTerminating' },
    ]),
    forbidden('pods "lab" is forbidden: error looking up service account lab-x/lab: serviceaccount "lab" not found'),
    forbidden('pods "lab" is forbidden: status unknown for quota: lab, resources: limits.cpu'),
    answered(404, 'NotFound', 'namespaces "lab-x" not found'),
    answered(409, 'AlreadyExists', 'pods "lab" already exists'),
    answered(429, 'TooManyRequests', 'too many requests'),
    answered(500, 'InternalError', 'failed calling webhook "images.example.org": context deadline exceeded'),
    answered(0, 'NoAnswer', 'ECONNRESET'),
    answered(401, 'Unauthorized', 'Unauthorized'),
    new TypeError('a fault of ours'),
    undefined,
  ])('%s', (error) => {
    expect(refusalOf(error)).toBeUndefined();
  });
});

describe('a quota that leaves too little', () => {
  const exceeded = (requested: string, limited: string) =>
    refusalOf(
      forbidden(
        `x "y" is forbidden: exceeded quota: site, requested: ${requested}, used: ${requested}, limited: ${limited}`,
      ),
    )?.message;

  it('asks for a smaller size only where that needs less', () => {
    expect(exceeded('limits.cpu=2,requests.memory=1Gi', 'limits.cpu=1,requests.memory=1Gi')).toContain('smaller size');
    for (const [requested, limited] of [
      ['persistentvolumeclaims=1', 'persistentvolumeclaims=1'],
      ['pods=1,limits.cpu=1', 'pods=0,limits.cpu=4'],
      ['requests.storage=10Gi', 'requests.storage=5Gi'],
      ['count/secrets=1', 'count/secrets=3'],
    ] as const) {
      const message = exceeded(requested, limited);
      expect(message).toContain('"site"');
      expect(message).toContain(limited.split(',')[0]!);
      expect(message).toContain('Tell an administrator.');
      expect(message).not.toContain('smaller');
    }
  });

  it('is told by the amounts only, whatever else is in the answer', () => {
    const text = 'exceeded quota: site, requested: pods=1, used: pods=1, limited: pods=1 and a secret';
    expect(refusalOf(forbidden(text))?.message).not.toContain('secret');
  });
});
