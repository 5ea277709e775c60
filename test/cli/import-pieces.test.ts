import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ImportReport } from '../../src/cli/import/findings.ts';
import { parseArguments, runCommand } from '../../src/cli/index.ts';
import { parseConfig } from '../../src/config/index.ts';
import { buildWith } from '../builder/cases.ts';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'labwright-import-'));
});
afterAll(() => rm(folder, { recursive: true }));

/** The lab of the values, and what was said of them. */
async function imported(values: string) {
  const [file, report] = [join(folder, 'values.yaml'), join(folder, 'report.json')];
  await writeFile(file, values);
  const homes = ['--homes', 'nfs.example.org:/homes'];
  const command = parseArguments(['import', 'z2jh', '-f', file, '--report', report, ...homes]);
  if (command.command === 'serve') throw new Error('another command');
  const { stdout, stderr } = await runCommand(command);
  expect(stderr).not.toContain('needs a hand');
  const config = parseConfig(stdout ?? '');
  const findings = JSON.parse(await readFile(report, 'utf8')) as ImportReport;
  const { pod, networkPolicy } = buildWith(config, { user: { username: 'ada' } });
  return { config, pod: pod.spec!, lab: pod.spec!.containers[0]!, networkPolicy: networkPolicy?.spec, findings };
}

const NAMED = 'image: { name: a/b, tag: "1" }';
const USER_POOL = { matchExpressions: [{ key: 'hub.jupyter.org/node-purpose', operator: 'In', values: ['user'] }] };

describe('import z2jh', () => {
  it('places labs as the chart does, also where the values say nothing', async () => {
    const plain = await imported(`singleuser: { ${NAMED} }`);
    expect(plain.pod.tolerations).toMatchObject([
      { key: 'hub.jupyter.org/dedicated', value: 'user' },
      { key: 'hub.jupyter.org_dedicated', value: 'user' },
    ]);
    expect(plain.pod.affinity?.nodeAffinity).toEqual({
      preferredDuringSchedulingIgnoredDuringExecution: [{ weight: 100, preference: USER_POOL }],
    });
    const zone = { matchExpressions: [{ key: 'zone', operator: 'Exists' }] };
    const own = await imported(`
singleuser:
  ${NAMED}
  extraTolerations: [{ key: community, operator: Exists }]
  extraNodeAffinity: { required: [${JSON.stringify(zone)}] }
  extraPodAntiAffinity: { preferred: [{ weight: 1, podAffinityTerm: { topologyKey: zone } }] }
scheduling: { userPods: { tolerations: [], nodeAffinity: { matchNodePurpose: require } }, userScheduler: { enabled: true } }
`);
    expect(own.pod.tolerations).toEqual([{ key: 'community', operator: 'Exists' }]);
    expect(own.pod.affinity).toEqual({
      nodeAffinity: { requiredDuringSchedulingIgnoredDuringExecution: { nodeSelectorTerms: [zone, USER_POOL] } },
      podAntiAffinity: {
        preferredDuringSchedulingIgnoredDuringExecution: [{ weight: 1, podAffinityTerm: { topologyKey: 'zone' } }],
      },
    });
    const ignored = await imported(
      `{ singleuser: { ${NAMED} }, scheduling: { userPods: { nodeAffinity: { matchNodePurpose: ignore } } } }`,
    );
    expect(ignored.pod.affinity).toBeUndefined();
    expect(own.findings.remarked.map(({ path }) => path)).toContain('scheduling.userScheduler.enabled');
  });

  it('keeps all of a mount, of a container before the lab and of one beside it', async () => {
    const { pod, lab, findings } = await imported(`
singleuser:
  ${NAMED}
  storage:
    type: static
    static: { pvcName: homes, subPath: "{username}" }
    extraVolumes:
      - { name: again, persistentVolumeClaim: { claimName: homes } }
      - { name: fuse, emptyDir: {} }
      - { name: bucket, csi: { driver: s3.example.org } }
    extraVolumeMounts:
      - { name: again, mountPath: /shared/, subPath: _shared, readOnly: true }
      - { name: fuse, mountPath: /fuse, mountPropagation: HostToContainer }
      - { name: bucket, mountPath: /bucket, readOnly: true }
  initContainers:
    - name: pull
      image: git:1
      resources: { limits: { memory: 1Gi } }
      securityContext: { runAsUser: 1000, runAsGroup: 1000 }
      volumeMounts: [{ name: bucket, mountPath: /bucket }]
    - { name: rules, image: "net:1", securityContext: { runAsUser: 0, capabilities: { add: [NET_ADMIN] } } }
  extraContainers:
    - name: s3fs
      image: s3fs:1
      securityContext: { privileged: true }
      volumeMounts: [{ name: fuse, mountPath: /fuse, mountPropagation: Bidirectional }, { name: bucket, mountPath: /bucket }]
`);
    expect(findings.lost).toEqual([]);
    expect(pod.volumes).toContainEqual({ name: 'again', nfs: { server: 'nfs.example.org', path: '/homes' } });
    expect(lab.volumeMounts).toContainEqual({
      name: 'again',
      mountPath: '/shared',
      subPath: '_shared',
      readOnly: true,
    });
    expect(lab.volumeMounts).toContainEqual({
      ...{ name: 'fuse', mountPath: '/fuse', mountPropagation: 'HostToContainer' },
    });
    expect(lab.volumeMounts).toContainEqual({ name: 'bucket', mountPath: '/bucket', readOnly: true });
    const [pull, rules, s3fs] = pod.initContainers ?? [];
    expect(pull).toMatchObject({
      resources: { limits: { memory: '1Gi' } },
      securityContext: { runAsUser: 1000, runAsGroup: 1000, allowPrivilegeEscalation: false },
    });
    expect(pull?.volumeMounts).toContainEqual({ name: 'bucket', mountPath: '/bucket' });
    expect(rules?.securityContext).toMatchObject({
      privileged: true,
      runAsUser: 0,
      capabilities: { add: ['NET_ADMIN'] },
    });
    // Pods have the uid of the lab, and such images are made for root.
    expect(s3fs).toMatchObject({ restartPolicy: 'Always', securityContext: { privileged: true, runAsUser: 0 } });
    expect(s3fs?.volumeMounts).toEqual([
      { name: 'fuse', mountPath: '/fuse', mountPropagation: 'Bidirectional' },
      { name: 'bucket', mountPath: '/bucket' },
    ]);
  });

  it('takes variables from Secrets and from the pod', async () => {
    const { config, lab, findings } = await imported(`
singleuser:
  ${NAMED}
  extraEnv:
    KEY: { valueFrom: { secretKeyRef: { name: cloud, key: api } } }
    AGAIN: { name: AGAIN, valueFrom: { secretKeyRef: { name: other, key: api } } }
    NODE: { valueFrom: { fieldRef: { fieldPath: status.hostIP } } }
`);
    expect(config.lab.secrets).toEqual([{ secretName: 'cloud', secretKey: 'api', env: 'KEY' }]);
    expect(lab.env).toContainEqual({ name: 'NODE', valueFrom: { fieldRef: { fieldPath: 'status.hostIP' } } });
    // Two keys of one name cannot both be copied.
    expect(findings.lost.map(({ path }) => path)).toEqual(['singleuser.extraEnv.AGAIN']);
  });

  it('lets labs reach what the chart lets them reach', async () => {
    const own =
      '{ to: [{ podSelector: { matchLabels: { app: proxy } } }, { ipBlock: { cidr: 0.0.0.0/0, except: [10.0.0.0/8] } }] }';
    const { config, networkPolicy } = await imported(`singleuser: { ${NAMED}, networkPolicy: { egress: [${own}] } }`);
    expect(config.lab.networkPolicy).toMatchObject({
      internet: true,
      blocked: ['10.0.0.0/8', '172.16.0.0/12', '192.168.0.0/16'],
    });
    expect(networkPolicy?.egress?.at(-1)).toEqual({
      to: [
        {
          namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': 'jupyterhub' } },
          podSelector: { matchLabels: { app: 'proxy' } },
        },
        // A privileged container kept labs from it.
        { ipBlock: { cidr: '0.0.0.0/0', except: ['10.0.0.0/8', '169.254.169.254/32'] } },
      ],
    });
    const open = await imported(`
singleuser:
  ${NAMED}
  cloudMetadata: { blockWithIptables: false }
  networkPolicy: { egressAllowRules: { nonPrivateIPs: false, privateIPs: true } }
`);
    expect(open.config.lab.networkPolicy).toMatchObject({ internet: false, blocked: [] });
    const reached = open.networkPolicy?.egress?.at(-1)?.to?.map(({ ipBlock }) => ipBlock?.cidr);
    expect(reached).toEqual(['169.254.169.254/32', '10.0.0.0/8', '172.16.0.0/12', '192.168.0.0/16']);
  });

  it('pulls images again whose tag moves, as Kubernetes does', async () => {
    const moving = await imported('singleuser: { image: { name: a/b, tag: latest } }');
    expect(moving.lab.imagePullPolicy).toBe('Always');
    const ofProfile = '{ display_name: A, kubespawner_override: { image: c/d } }';
    const chosen = await imported(`singleuser: { ${NAMED}, profileList: [${ofProfile}] }`);
    expect(chosen.config.lab.profiles).toMatchObject([{ image: 'c/d:latest', lab: { imagePullPolicy: 'Always' } }]);
    const told = await imported('singleuser: { image: { name: a/b, tag: latest, pullPolicy: IfNotPresent } }');
    expect(told.lab.imagePullPolicy).toBe('IfNotPresent');
    expect((await imported(`singleuser: { ${NAMED} }`)).lab.imagePullPolicy).toBe('IfNotPresent');
  });

  it('says where a file of labs holds a private key', async () => {
    const key = '-----BEGIN OPENSSH PRIVATE KEY-----';
    const { findings } = await imported(`singleuser:
  ${NAMED}
  extraFiles:
    text: { mountPath: /etc/a, stringData: "first\\n${key}\\n" }
    bytes: { mountPath: /etc/b, binaryData: ${Buffer.from(key).toString('base64')} }
    data: { mountPath: /etc/c.json, data: { deep: { key: "${key}" } } }
    public: { mountPath: /etc/d, stringData: "-----BEGIN CERTIFICATE-----" }
`);
    const told = findings.remarked.filter(({ why = '' }) => why.includes('a private key'));
    expect(told.map(({ path }) => path)).toEqual(
      ['text', 'bytes', 'data'].map((name) => `singleuser.extraFiles.${name}`),
    );
  });

  it('sets no limit where the hub sets none', async () => {
    const none = await imported(`singleuser: { ${NAMED}, cpu: { guarantee: 0.05 } }`);
    expect(none.lab.resources).toEqual({ limits: {}, requests: { cpu: '50m', memory: '1Gi' } });
    const profile = '{ display_name: A, kubespawner_override: { mem_limit: null, mem_guarantee: 30G, cpu_limit: 2 } }';
    const { config } = await imported(
      `singleuser: { ${NAMED}, memory: { limit: 1G, guarantee: null }, profileList: [${profile}] }`,
    );
    const chosen = { name: 'a', options: {}, ownSize: true } as const;
    const [large] = buildWith(config, { profile: chosen }).pod.spec?.containers ?? [];
    expect(large?.resources).toEqual({ limits: { cpu: '2' }, requests: { cpu: '1m', memory: '30Gi' } });
  });

  it('takes no slip of the values for a setting that is lost', async () => {
    const { findings } = await imported(
      `singleuser: { ${NAMED}, profileList: [{ display_name: A, kubespawner_override: { default: true, mem_limit: 1G } }] }`,
    );
    expect(findings.lost).toEqual([]);
  });
});
