import { describe, expect, it } from 'vitest';
import { itNeedsControllers } from '../support/cluster-needs.ts';
import { aPod, eventually, refusal, useApi } from './api.ts';

const api = useApi();

const forbidden = (name: string, why: string) =>
  refusal(403, 'Forbidden', `pods "${name}" is forbidden: ${why}`, { name, kind: 'pods' });
const container = (resources: object, name = 'c') => ({ name, image: 'x:1', resources });

describe('service accounts', () => {
  it('that are missing are no account for a pod', async () => {
    const { name, path } = await api.namespace();
    expect(await api.post(`${path}/pods`, aPod('a', { serviceAccountName: 'nope' }))).toMatchObject(
      forbidden('a', `error looking up service account ${name}/nope: serviceaccount "nope" not found`),
    );
  });

  it('lend a pod their pull secrets', async () => {
    const { path } = await api.namespace();
    await api.merge(`${path}/serviceaccounts/lab`, { imagePullSecrets: [{ name: 'pull' }] });
    // Admission sees a changed account a moment later.
    const lent = await eventually(
      () => api.post(`${path}/pods`, aPod('', {}, { generateName: 'lab-' })),
      ({ status, body: { spec } }) => status === 201 && (spec.imagePullSecrets as unknown) !== undefined,
    );
    expect(lent.body.spec.imagePullSecrets).toEqual([{ name: 'pull' }]);
  });
});

describe('limit ranges', () => {
  it('give containers what they did not ask for, and a note of it', async () => {
    const { path } = await api.namespace();
    const limits = [{ type: 'Container', default: { cpu: '500m', memory: '1Gi' }, defaultRequest: { cpu: '100m' } }];
    const range = await api.post(`${path}/limitranges`, { metadata: { name: 'lab' }, spec: { limits } });
    expect(range.body.spec.limits).toEqual([
      { type: 'Container', default: { cpu: '500m', memory: '1Gi' }, defaultRequest: { cpu: '100m', memory: '1Gi' } },
    ]);
    const containers = [container({}), container({ limits: { cpu: '1' } }, 'd')];
    const { body } = await api.post(`${path}/pods`, aPod('a', { containers }));
    expect(body.spec.containers[0]?.resources).toEqual({
      limits: { cpu: '500m', memory: '1Gi' },
      requests: { cpu: '100m', memory: '1Gi' },
    });
    expect(body.spec.containers[1]?.resources).toEqual({
      limits: { cpu: '1', memory: '1Gi' },
      requests: { cpu: '1', memory: '1Gi' },
    });
    expect(body.metadata.annotations).toEqual({
      'kubernetes.io/limit-ranger':
        'LimitRanger plugin set: cpu, memory request for container c; cpu, memory limit for container c; memory request for container d; memory limit for container d',
    });
  });

  it('refuse a container that asks for more or less than they allow', async () => {
    const { path } = await api.namespace();
    const limits = [{ type: 'Container', max: { cpu: '2' }, min: { cpu: '100m' } }];
    await api.post(`${path}/limitranges`, { metadata: { name: 'lab' }, spec: { limits } });
    expect(
      await api.post(`${path}/pods`, aPod('a', { containers: [container({ limits: { cpu: '3' } })] })),
    ).toMatchObject(forbidden('a', 'maximum cpu usage per Container is 2, but limit is 3'));
    const little = container({ limits: { cpu: '1' }, requests: { cpu: '10m' } });
    expect(await api.post(`${path}/pods`, aPod('a', { containers: [little] }))).toMatchObject(
      forbidden('a', 'minimum cpu usage per Container is 100m, but request is 10m'),
    );
  });
});

describe('resource quotas', () => {
  const quota = (hard: object) => ({ metadata: { name: 'lab' }, spec: { hard } });

  itNeedsControllers('refuse a pod that does not fit, and count those that run', async () => {
    const { path } = await api.namespace();
    await api.post(`${path}/resourcequotas`, quota({ 'limits.cpu': '2', 'limits.memory': '4Gi' }));
    const uses = (cpu: string, memory: string) => ({ containers: [container({ limits: { cpu, memory } })] });
    // What admission lets in before it has seen the quota is counted by nobody.
    await eventually(
      () => api.post(`${path}/pods?dryRun=All`, aPod('a', uses('3', '1Gi'))),
      ({ status }) => status === 403,
    );
    expect(await api.post(`${path}/pods`, aPod('a', uses('1500m', '1Gi')))).toMatchObject({ status: 201 });
    const counted = await eventually(
      () => api.get(`${path}/resourcequotas/lab`),
      ({ body }) => body.status.used?.['limits.cpu'] === '1500m',
    );
    expect(counted.body.status).toEqual({
      hard: { 'limits.cpu': '2', 'limits.memory': '4Gi' },
      used: { 'limits.cpu': '1500m', 'limits.memory': '1Gi' },
    });
    expect(await api.post(`${path}/pods`, aPod('b', uses('1', '1Gi')))).toMatchObject(
      forbidden('b', 'exceeded quota: lab, requested: limits.cpu=1, used: limits.cpu=1500m, limited: limits.cpu=2'),
    );
    expect(await api.post(`${path}/pods`, aPod('b', uses('1', '8Gi')))).toMatchObject(
      forbidden(
        'b',
        'exceeded quota: lab, requested: limits.cpu=1,limits.memory=8Gi, used: limits.cpu=1500m,limits.memory=1Gi, limited: limits.cpu=2,limits.memory=4Gi',
      ),
    );
    await api.delete(`${path}/pods/a`);
    await eventually(
      () => api.get(`${path}/resourcequotas/lab`),
      ({ body }) => body.status.used?.['limits.cpu'] === '0',
    );
    // The API server admits by a cache of the quota, which may be a moment behind what was just read.
    const admitted = await eventually(
      () => api.post(`${path}/pods`, aPod('b', uses('2', '4Gi'))),
      ({ status }) => status === 201,
    );
    expect(admitted).toMatchObject({ status: 201 });
  });

  itNeedsControllers('make every container say what it uses', async () => {
    const { path } = await api.namespace();
    await api.post(`${path}/resourcequotas`, quota({ 'limits.cpu': '2', 'requests.memory': '4Gi' }));
    const containers = [container({}), container({ limits: { cpu: '1' } }, 'd')];
    // Admission sees a new quota a moment later.
    const refused = await eventually(
      () => api.post(`${path}/pods?dryRun=All`, aPod('a', { containers })),
      ({ status }) => status === 403,
    );
    expect(refused).toMatchObject(
      forbidden('a', 'failed quota: lab: must specify limits.cpu for: c; requests.memory for: c,d'),
    );
  });
});

describe('Pod Security', () => {
  const enforce = (level: string) => ({ 'pod-security.kubernetes.io/enforce': level });
  const careless = {
    hostNetwork: true,
    containers: [
      {
        name: 'c',
        image: 'x:1',
        securityContext: { privileged: true, capabilities: { add: ['SYS_ADMIN'] } },
        ports: [{ containerPort: 80, hostPort: 80 }],
      },
    ],
    initContainers: [{ name: 'i', image: 'x:1' }],
    volumes: [
      { name: 'h', hostPath: { path: '/x' } },
      { name: 'n', nfs: { server: 'a', path: '/x' } },
    ],
  };

  it('restricted names everything that it does not allow', async () => {
    const { path } = await api.namespace(enforce('restricted'));
    expect(await api.post(`${path}/pods`, aPod('a', careless))).toMatchObject(
      forbidden(
        'a',
        'violates PodSecurity "restricted:latest": host namespaces (hostNetwork=true), hostPort (container "c" uses hostPort 80), privileged (container "c" must not set securityContext.privileged=true), allowPrivilegeEscalation != false (containers "i", "c" must set securityContext.allowPrivilegeEscalation=false), unrestricted capabilities (containers "i", "c" must set securityContext.capabilities.drop=["ALL"]; container "c" must not include "SYS_ADMIN" in securityContext.capabilities.add), restricted volume types (volumes "h", "n" use restricted volume types "hostPath", "nfs"), runAsNonRoot != true (pod or containers "i", "c" must set securityContext.runAsNonRoot=true), seccompProfile (pod or containers "i", "c" must set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost")',
      ),
    );
  });

  it('restricted refuses root and an unconfined profile', async () => {
    const { path } = await api.namespace(enforce('restricted'));
    const rootful = {
      securityContext: { runAsUser: 0, runAsNonRoot: false, seccompProfile: { type: 'Unconfined' } },
      containers: [{ name: 'c', image: 'x:1', securityContext: { runAsUser: 0 } }],
    };
    expect(await api.post(`${path}/pods`, aPod('a', rootful))).toMatchObject(
      forbidden(
        'a',
        'violates PodSecurity "restricted:latest": allowPrivilegeEscalation != false (container "c" must set securityContext.allowPrivilegeEscalation=false), unrestricted capabilities (container "c" must set securityContext.capabilities.drop=["ALL"]), runAsNonRoot != true (pod must not set securityContext.runAsNonRoot=false), runAsUser=0 (pod and container "c" must not set runAsUser=0), seccompProfile (pod must not set securityContext.seccompProfile.type to "Unconfined")',
      ),
    );
  });

  it('restricted lets a careful pod pass', async () => {
    const { path } = await api.namespace(enforce('restricted'));
    const careful = {
      securityContext: { runAsNonRoot: true, runAsUser: 1000, seccompProfile: { type: 'RuntimeDefault' } },
      containers: [
        {
          name: 'c',
          image: 'x:1',
          securityContext: { allowPrivilegeEscalation: false, capabilities: { drop: ['ALL'] } },
        },
      ],
      volumes: [
        { name: 'v', emptyDir: {} },
        { name: 'w', persistentVolumeClaim: { claimName: 'x' } },
      ],
    };
    expect(await api.post(`${path}/pods`, aPod('a', careful))).toMatchObject({ status: 201 });
  });

  it('baseline refuses the host', async () => {
    const { path } = await api.namespace(enforce('baseline'));
    expect(await api.post(`${path}/pods`, aPod('a', { ...careless, hostPID: true }))).toMatchObject(
      forbidden(
        'a',
        'violates PodSecurity "baseline:latest": non-default capabilities (container "c" must not include "SYS_ADMIN" in securityContext.capabilities.add), host namespaces (hostNetwork=true, hostPID=true), hostPath volumes (volume "h"), hostPort (container "c" uses hostPort 80), privileged (container "c" must not set securityContext.privileged=true)',
      ),
    );
    expect(await api.post(`${path}/pods`, aPod('b'))).toMatchObject({ status: 201 });
  });

  it('is off without the label, and knows three levels', async () => {
    const { path } = await api.namespace();
    expect(await api.post(`${path}/pods`, aPod('a', { ...careless, volumes: [] }))).toMatchObject({ status: 201 });
    const { status, body } = await api.merge(path, { metadata: { labels: enforce('strict') } });
    expect(status).toBe(422);
    expect(body.message).toContain(
      'metadata.labels[pod-security.kubernetes.io/enforce]: Invalid value: "strict": must be one of privileged, baseline, restricted',
    );
  });
});

describe('the order of refusals', () => {
  it('is admission before validation, and a name that is taken last', async () => {
    const { path } = await api.namespace({ 'pod-security.kubernetes.io/enforce': 'restricted' });
    const both = aPod('a', { serviceAccountName: 'nope', containers: [] });
    expect(await api.post(`${path}/pods`, both)).toMatchObject({ status: 403 });
    expect(await api.post(`${path}/pods`, aPod('a', { containers: [] }))).toMatchObject({ status: 422 });
    const careful = {
      securityContext: { runAsNonRoot: true, seccompProfile: { type: 'RuntimeDefault' } },
      containers: [
        {
          name: 'c',
          image: 'x:1',
          securityContext: { allowPrivilegeEscalation: false, capabilities: { drop: ['ALL'] } },
        },
      ],
    };
    expect(await api.post(`${path}/pods`, aPod('a', careful))).toMatchObject({ status: 201 });
    expect(await api.post(`${path}/pods`, aPod('a'))).toMatchObject({ status: 403 });
    expect(await api.post(`${path}/pods`, aPod('a', careful))).toMatchObject({ status: 409 });
  });
});
