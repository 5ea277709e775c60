import { describe, expect, it } from 'vitest';
import { stringify } from 'yaml';
import { parseConfig } from '../../src/config/index.ts';
import { remarksOnLabs } from '../../src/cli/lab-remarks.ts';
import { summarize } from '../../src/cli/summary.ts';

const BASE = {
  baseUrl: 'https://hub.example.org',
  auth: { tokens: [{ role: 'hub', sha256: '0'.repeat(64) }] },
  images: { list: [{ reference: 'example.org/lab:1' }] },
};
const SIZES = { sizes: [{ name: 'small', cpu: 1, memory: '1Gi' }] };

function summaryOf(change: object): string {
  const text = stringify({ ...BASE, lab: SIZES, ...change });
  return summarize(parseConfig(text), text);
}
const ofLab = (lab: object) => summaryOf({ lab: { ...SIZES, ...lab } });
const nfs = { name: 'v', nfs: { server: 'nfs.example.org', path: '/export' } };

describe('the summary of a configuration', () => {
  it.each([
    [
      'nothing',
      {},
      '/home/{username} on an empty directory, which ends with the lab (lab.home.volume, lab.volumeMounts)',
    ],
    [
      'a plain image',
      { home: { schema: 'image', prefix: '/home/jovyan' } },
      '/home/jovyan on the file system of the lab, which ends with the lab (lab.home.volume, lab.volumeMounts)',
    ],
    [
      'a claim',
      { volumes: [{ name: 'v', persistentVolumeClaim: { storage: '5Gi' } }], home: { volume: 'v' } },
      '/home/{username} on the claim "v" of each lab (5Gi), kept when the lab ends (lab.home.volume)',
    ],
    [
      'a claim that is not kept',
      { volumes: [{ name: 'v', persistentVolumeClaim: { storage: '5Gi', retain: false } }], home: { volume: 'v' } },
      '/home/{username} on the claim "v" of each lab (5Gi), which ends with the lab (lab.home.volume)',
    ],
    [
      'an export above the homes',
      { volumes: [nfs], volumeMounts: [{ name: 'v', mountPath: '/home' }], home: { schema: 'initialThenUsername' } },
      '/home/{initial}/{username} on NFS nfs.example.org:/export, kept when the lab ends (lab.volumeMounts[0])',
    ],
    [
      'a part of an export, beside another mount',
      {
        volumes: [nfs],
        volumeMounts: [
          { name: 'v', mountPath: '/data' },
          { name: 'v', mountPath: '/home/jovyan', subPath: '{username}' },
        ],
        home: { schema: 'image', prefix: '/home/jovyan' },
      },
      '/home/jovyan on NFS nfs.example.org:/export, at {username}, kept when the lab ends (lab.volumeMounts[1])',
    ],
    [
      'mounts elsewhere only',
      { volumes: [nfs], volumeMounts: [{ name: 'v', mountPath: '/data' }] },
      '/home/{username} on an empty directory, which ends with the lab',
    ],
  ])('says where homes are: %s', (_, lab, said) => {
    expect(ofLab(lab)).toContain(`homes         ${said}`);
  });

  it('says who may call, role by role', () => {
    const auth = {
      serviceAccounts: { hub: ['jupyterhub/hub'] },
      proxyHeaders: { trustedAddresses: ['127.0.0.1/32'], adminUsers: ['grace'] },
    };
    const said = summaryOf({ auth });
    expect(said).toContain('role hub: the service account jupyterhub/hub (auth.serviceAccounts)');
    expect(said).toContain('role admin: grace, behind the proxy (auth.proxyHeaders)');
    expect(said).toContain('role user: whom the proxy at 127.0.0.1/32 names (auth.proxyHeaders)');
    expect(summaryOf({})).toContain('role admin: nobody');
  });

  it('says where ids come from', () => {
    expect(summaryOf({})).toContain('ids           nothing says them, and no lab starts without');
    const users = { defaults: { uid: 1000, gid: 100 }, byName: { ada: { uid: 1, gid: 1 } } };
    expect(summaryOf({ users })).toContain(
      'ids           from the configuration (users.byName, auth.tokens), else users.defaults (uid 1000, gid 100)',
    );
  });

  it('says what can be chosen, and who may', () => {
    const said = summaryOf({
      images: { list: [{ reference: 'example.org/lab:1', groups: ['staff'] }], allowOther: true },
      lab: {
        sizes: [...SIZES.sizes, { name: 'gpu', cpu: '500m', memory: '1.5Gi', extendedResources: { 'a.org/gpu': 2 } }],
        defaultSize: 'gpu',
      },
      overlays: [{ name: 'course', match: { groups: ['a', 'b'], admin: true }, lab: {} }],
    });
    expect(said).toContain(
      'images        example.org/lab:1 for staff; any other that is written in (images.allowOther)',
    );
    expect(said).toContain('sizes         small (1 CPU, 1Gi); gpu (500m CPU, 1536Mi, 2 a.org/gpu, the default)');
    expect(said).toContain('overlays      course for groups a, b and administrators');
    expect(said).toContain('namespaces    one for each lab, lab-{slug}, kept for 15m after it');
  });

  it('says which repositories images are offered of that were built here', () => {
    const said = summaryOf({
      images: { sources: [{ name: 'built', builds: { repositories: ['ada/', 'grace/'] }, groups: ['staff'] }] },
      builds: { registry: { host: 'example.org' }, builder: { image: 'example.org/builder:1' } },
    });
    expect(said).toContain(
      'images        the newest 5 that were built from each repository that matches ada/ or grace/ for staff (images.sources)',
    );
  });

  it('says which line asks for which level of Pod Security, also for some users only', () => {
    const text = stringify({
      ...BASE,
      lab: { ...SIZES, volumes: [nfs], podPatch: { hostNetwork: true } },
      overlays: [{ name: 'a', match: { admin: true }, lab: { initContainers: [] } }],
    });
    const line = text.split('\n').findIndex((each) => each.includes('hostNetwork')) + 1;
    const said = summarize(parseConfig(text), text);
    expect(said).toContain('Pod Security  privileged\n');
    expect(said).toContain(`- privileged is asked for by lab.podPatch.hostNetwork (line ${String(line)})`);
    expect(said).toContain('- baseline is asked for by lab.volumes[0].nfs (line ');
    const over = { name: 'a', match: { admin: true }, lab: { podPatch: { hostPID: true } } };
    expect(summaryOf({ overlays: [over] })).toMatch(
      /restricted\n *- privileged is asked for by overlays\[0\]\.lab \(line/,
    );
  });
});

describe('remarks on labs', () => {
  const remarksOn = (lab: object) =>
    remarksOnLabs(parseConfig(stringify({ ...BASE, lab: { ...SIZES, ...lab } }))).join('\n');

  it('name a volume that nothing mounts', () => {
    expect(remarksOn({ volumes: [nfs] })).toContain('the volume "v" is mounted nowhere');
    expect(remarksOn({ volumes: [nfs], home: { volume: 'v' } })).not.toContain('mounted nowhere');
  });

  it('say of the home of an image that it ends with the lab', () => {
    expect(remarksOn({ home: { schema: 'image' } })).toContain(
      'home directories are as the image has them at each start',
    );
  });
});
