import type { V1Job, V1PodSpec } from '@kubernetes/client-node';
import { assert, property, string } from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseBuild } from '../../../src/domain/build/build-intent.ts';
import { canary } from '../../support/canary.ts';
import { aBuildSpec, buildObjects, buildsConfig } from './build-cases.ts';

const podOf = (job: V1Job): V1PodSpec => job.spec!.template.spec!;
const builderOf = (job: V1Job) => podOf(job).containers.find(({ name }) => name === 'builder')!;
const limits = { cpu: '3', memory: '5Gi', 'ephemeral-storage': '30Gi' };
const POD = 'pod: { cpu: 3, memory: 5Gi, ephemeralStorage: 30Gi }';

/** What a container is started with: Kubernetes expands references to variables (third_party/forked/golang/expansion). */
function expanded(text: string): string {
  return text.replaceAll(/\$(?:\$|\((\w*)\))/g, (found, name?: string) => (name === undefined ? '$' : `<${found}>`));
}

describe('the Job of a build', () => {
  it('says all that a controller needs to know of it again', () => {
    const { job } = buildObjects(buildsConfig());
    const observed = parseBuild({ ...job, metadata: { ...job.metadata, uid: 'u', resourceVersion: '1' } });
    expect(observed).toMatchObject({
      spec: aBuildSpec(),
      suspended: true,
      interestExpiresAt: 1_795_000_300_000,
      result: null,
    });
  });

  it.each(['5', '{}', 'null', '{{{', '{"status":"ready","at":1}', '{"status":"failed","at":1}', '{"status":"done"}'])(
    'is over for good with a result that somebody has damaged: %s',
    (text) => {
      const { job } = buildObjects(buildsConfig());
      const annotations = { ...job.metadata!.annotations, 'labwright.dev/result': text };
      const observed = parseBuild({ ...job, metadata: { ...job.metadata, annotations } });
      const result = {
        status: 'failed',
        reason: 'Error',
        message: 'The build has failed.',
        at: aBuildSpec().createdAt,
      };
      expect(observed?.result).toEqual(result);
    },
  );

  it.each(['5', '{{{', '{"reason":7}'])('is to end with a cancel that somebody has damaged: %s', (text) => {
    const { job } = buildObjects(buildsConfig());
    const annotations = { ...job.metadata!.annotations, 'labwright.dev/cancel': text };
    const observed = parseBuild({ ...job, metadata: { ...job.metadata, annotations } });
    expect(observed?.cancel).toEqual({ by: '', reason: 'Cancelled' });
  });

  it('is none that can be read with a time that is none', () => {
    const { job } = buildObjects(buildsConfig());
    const build = JSON.stringify({ ...aBuildSpec(), createdAt: 1e300 });
    const annotations = { ...job.metadata!.annotations, 'labwright.dev/build': build };
    expect(parseBuild({ ...job, metadata: { ...job.metadata, annotations } })).toBeUndefined();
  });

  it('lives longer than its pod may run, so that the log of a build that was too slow can be read', () => {
    const { spec } = buildObjects(buildsConfig('deadlines: { total: 90500ms }')).job;
    expect(spec!.template.spec!.activeDeadlineSeconds).toBe(91);
    expect(spec!.activeDeadlineSeconds).toBe(151);
  });

  it('gives repo2docker every path as it is, and none as an option', () => {
    const config = buildsConfig();
    assert(
      property(string({ unit: 'grapheme', minLength: 1 }), (path) => {
        const args = builderOf(buildObjects(config, { spec: { path } }).job).args!.map(expanded);
        expect(args).toContain(`--subdir=${path}`);
        expect(args.at(-1)).toBe('https://github.com/ada/notebooks');
      }),
    );
  });

  it('is not made for a repository that repo2docker would take for an option', () => {
    const repository = { ...aBuildSpec().repository, url: '--Repo2Docker.extra=1' };
    expect(() => buildObjects(buildsConfig(), { spec: { repository } })).toThrow('no option');
  });

  it('has no label of Kueue unless Kueue is configured', () => {
    expect(buildObjects(buildsConfig()).job.metadata?.labels).not.toHaveProperty(['kueue.x-k8s.io/queue-name']);
  });

  it('keeps the labels it is found by, whatever the administrator adds', () => {
    const config = buildsConfig('pod: { labels: { labwright.dev/kind: lab, labwright.dev/build-id: other } }');
    const { metadata, spec } = buildObjects(config).job;
    for (const labels of [metadata?.labels, spec?.template.metadata?.labels]) {
      expect(labels).toMatchObject({ 'labwright.dev/kind': 'build', 'labwright.dev/build-id': aBuildSpec().id });
    }
  });
});

describe('the limits of a build', () => {
  it('bind the container in which the steps of the build run', () => {
    const buildah = buildObjects(buildsConfig(POD)).job;
    expect(builderOf(buildah).resources?.limits).toEqual(limits);
    const sidecar = podOf(buildObjects(buildsConfig(`${POD}\nbackend: { kind: buildkit }`)).job);
    expect(sidecar.initContainers?.map(({ name, resources }) => [name, resources?.limits])).toEqual([
      ['buildkitd', limits],
    ]);
  });

  it('are never below what is asked for', () => {
    const { job } = buildObjects(buildsConfig('pod: { cpu: 100m, memory: 100Mi, ephemeralStorage: 1Gi }'));
    const requests = { cpu: '100m', memory: '100Mi', 'ephemeral-storage': '1Gi' };
    expect(builderOf(job).resources?.requests).toEqual(requests);
  });
});

describe('secrets of a build', () => {
  it('are in its Secret and nowhere else', () => {
    const secret = canary('push');
    const {
      job,
      ground,
      secret: object,
    } = buildObjects(buildsConfig(), {
      dockerConfig: JSON.stringify({ auths: { 'registry.example.org': { auth: secret } } }),
      git: { 'git-credentials': `https://ada:${secret}@git.example.org` },
    });
    expect(JSON.stringify([job, ground])).not.toContain(secret);
    expect(Object.keys(object.data ?? {})).toEqual(['config.json', 'git-credentials']);
  });
});

describe('certificate authorities of the site', () => {
  it('come with the secrets of the build, which says where they are', () => {
    const { job, secret } = buildObjects(buildsConfig('certificateAuthorities: /etc/labwright/ca.pem'), {
      ...{ dockerConfig: null, git: {}, authorities: 'PEM' },
    });
    expect(Object.keys(secret.data ?? {})).toEqual(['certificate-authorities.pem']);
    expect(builderOf(job).env).toContainEqual({
      name: 'LABWRIGHT_CERTIFICATE_AUTHORITIES',
      value: '/run/labwright/secrets/certificate-authorities.pem',
    });
  });
});

describe('a machine that is lost', () => {
  const lost = (effect: object) =>
    ['not-ready', 'unreachable'].map((what) => ({ key: `node.kubernetes.io/${what}`, ...effect }));
  const tolerated = (pod: string) => buildObjects(buildsConfig(pod)).job.spec?.template.spec?.tolerations;

  it('is left after a minute, and not after the five that Kubernetes gives by default', () => {
    const usual = lost({ operator: 'Exists', effect: 'NoExecute', tolerationSeconds: 60 });
    expect(tolerated('')).toEqual(usual);
    const gpu = { key: 'gpu', operator: 'Exists' };
    expect(tolerated(`pod: { tolerations: [${JSON.stringify(gpu)}] }`)).toEqual([gpu, ...usual]);
  });

  it('is left when the configuration says', () => {
    const [notReady, unreachable] = lost({ operator: 'Exists', effect: 'NoExecute', tolerationSeconds: 600 });
    const usual = lost({ operator: 'Exists', effect: 'NoExecute', tolerationSeconds: 60 });
    expect(tolerated(`pod: { tolerations: [${JSON.stringify(notReady)}] }`)).toEqual([notReady, usual[1]]);
    expect(tolerated(`pod: { tolerations: ${JSON.stringify([notReady, unreachable])} }`)).toEqual([
      notReady,
      unreachable,
    ]);
    expect(tolerated('pod: { tolerations: [{ operator: Exists }] }')).toEqual([{ operator: 'Exists' }]);
  });
});

describe('what a backend costs', () => {
  it.each([
    ['{ kind: buildah }', 'baseline'],
    ['{ kind: buildah, unconfined: true }', 'privileged'],
    ['{ kind: buildkit, address: "tcp://buildkitd:1234" }', 'restricted'],
    ['{ kind: buildkit }', 'privileged'],
    ['{ kind: socket }', 'privileged'],
  ])('with %s the namespace is %s', (backend, level) => {
    const { namespace } = buildObjects(buildsConfig(`backend: ${backend}`)).ground;
    expect(namespace.metadata?.labels).toMatchObject({ 'pod-security.kubernetes.io/enforce': level });
  });

  it('has the host in it for the socket only', () => {
    const hasHost = (backend: string) => {
      const pod = podOf(buildObjects(buildsConfig(`backend: ${backend}`)).job);
      return (pod.volumes ?? []).some(({ hostPath }) => hostPath !== undefined);
    };
    expect(['{ kind: buildah }', '{ kind: buildkit }', '{ kind: socket }'].map(hasHost)).toEqual([false, false, true]);
  });
});

describe('the network of builds', () => {
  it('is closed towards private ranges and the metadata services, but for what is allowed', () => {
    const { networkPolicy } = buildObjects(buildsConfig('networkPolicy: { allowed: [10.20.30.40/32] }')).ground;
    const blocks = (networkPolicy?.spec?.egress ?? [])
      .filter(({ ports }) => ports === undefined)
      .flatMap(({ to }) => (to ?? []).map(({ ipBlock }) => ipBlock));
    expect(blocks.find((block) => block?.cidr === '0.0.0.0/0')?.except).toEqual(
      expect.arrayContaining(['169.254.169.254/32', '10.0.0.0/8', '172.16.0.0/12', '192.168.0.0/16', '100.64.0.0/10']),
    );
    expect(blocks.find((block) => block?.cidr === '::/0')?.except).toEqual(
      expect.arrayContaining(['fd00:ec2::254/128', 'fc00::/7', 'fe80::/10']),
    );
    expect(blocks).toContainEqual({ cidr: '10.20.30.40/32' });
  });

  it('is open for names at any address', () => {
    const { networkPolicy } = buildObjects(buildsConfig('networkPolicy: { enabled: true }')).ground;
    const dns = networkPolicy?.spec?.egress?.find(({ ports }) => ports?.every(({ port }) => port === 53));
    expect(dns?.to).toEqual([
      { namespaceSelector: {} },
      { ipBlock: { cidr: '0.0.0.0/0' } },
      { ipBlock: { cidr: '::/0' } },
    ]);
  });

  it('is left alone when policies are off', () => {
    expect(buildObjects(buildsConfig('networkPolicy: { enabled: false }')).ground).not.toHaveProperty('networkPolicy');
  });
});
