import { describe, expect, it } from 'vitest';
import { ConfigError, parseConfig } from '../../src/config/index.ts';

const config = (lab: object) =>
  JSON.stringify({
    baseUrl: 'https://hub.example.org',
    auth: { proxyHeaders: { trustedAddresses: ['127.0.0.1/32'] } },
    images: { list: [{ reference: 'example.org/lab:1' }] },
    lab: { sizes: [{ name: 'small', cpu: 1, memory: '1Gi' }], ...lab },
  });

const CONFINED = { allowPrivilegeEscalation: false, capabilities: { drop: ['ALL'] } };

describe('the Pod Security of labs', () => {
  it.each([
    ['nothing', {}, 'restricted'],
    ['host aliases', { hostAliases: [{ ip: '10.0.0.1', hostnames: ['a'] }] }, 'restricted'],
    ['a CSI volume', { volumes: [{ name: 'a', csi: { driver: 's3' } }] }, 'restricted'],
    ['an iSCSI volume', { volumes: [{ name: 'a', iscsi: { iqn: 'a' } }] }, 'baseline'],
    ['a directory of the machine', { volumes: [{ name: 'a', hostPath: { path: '/' } }] }, 'privileged'],
    ['the network of the machine', { hostNetwork: true }, 'privileged'],
    ['no network of the machine', { hostNetwork: false }, 'restricted'],
    ['the processes of the machine', { hostPID: true }, 'privileged'],
    ['root for the pod', { securityContext: { runAsUser: 0, runAsNonRoot: false } }, 'baseline'],
    ['no seccomp', { securityContext: { seccompProfile: { type: 'Unconfined' } } }, 'privileged'],
    [
      'a setting of the kernel',
      { securityContext: { sysctls: [{ name: 'kernel.msgmax', value: '1' }] } },
      'privileged',
    ],
    ['a group for volumes', { securityContext: { fsGroup: 5 } }, 'restricted'],
    [
      'a hook of the lab',
      { containers: [{ name: 'notebook', lifecycle: { postStart: { exec: { command: ['a'] } } } }] },
      'restricted',
    ],
    [
      'root for the lab',
      { containers: [{ name: 'notebook', securityContext: { runAsUser: 0, runAsNonRoot: false } }] },
      'baseline',
    ],
    ['a privileged lab', { containers: [{ name: 'notebook', securityContext: { privileged: true } }] }, 'privileged'],
    [
      'a capability',
      { containers: [{ name: 'notebook', securityContext: { capabilities: { add: ['NET_ADMIN'] } } }] },
      'privileged',
    ],
    [
      'a port of the machine',
      { containers: [{ name: 'notebook', ports: [{ containerPort: 1, hostPort: 1 }] }] },
      'privileged',
    ],
    ['a container that is not confined', { containers: [{ name: 'more', image: 'a' }] }, 'baseline'],
    ['one that is', { containers: [{ name: 'more', image: 'a', securityContext: CONFINED }] }, 'restricted'],
  ])('follows a patch of the pod with %s', (_, podPatch, level) => {
    expect(parseConfig(config({ podPatch })).lab.podSecurity).toBe(level);
  });

  it('is no less strict than what is written: a patch that asks for more is refused where it does', () => {
    const text = config({ podSecurity: 'baseline', podPatch: { hostNetwork: true } });
    expect(() => parseConfig(text)).toThrow(ConfigError);
    expect(() => parseConfig(text)).toThrow(
      'lab.podPatch.hostNetwork (line 1): expected nothing that needs lab.podSecurity: privileged, which is set to baseline',
    );
  });
});
