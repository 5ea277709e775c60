import { buildConfig, type Config, type ConfigInput } from '../../../src/config/index.ts';
import type { LabKey, LabOptions, LabSecrets } from '../../../src/domain/lab/lab.ts';
import type { CreateLab } from '../../../src/reconcile/labs/lab-service.ts';
import { canary } from '../../support/canary.ts';

export const IMAGE = 'registry.example/lab:1';

/** Planted in every lab's environment and token; neither may ever be written to a log. */
export const PLANTED = { env: canary('in-the-environment'), token: canary('as-the-token') };

/** A configuration with one small size and the defaults, and on top what the test is about. */
export function aConfig(lab: Partial<ConfigInput['lab']> = {}, more: Partial<ConfigInput> = {}): Config {
  return buildConfig({
    baseUrl: 'https://hub.example.org',
    auth: { tokens: [{ sha256: '0'.repeat(64), role: 'admin' }] },
    images: { list: [{ reference: IMAGE }] },
    ...more,
    lab: { sizes: [{ name: 'small', cpu: 1, memory: '1Gi', cpuRequest: '10m', memoryRequest: '16Mi' }], ...lab },
  });
}

export interface LabChange {
  readonly username?: string;
  readonly servername?: string;
  readonly image?: string;
  readonly options?: Partial<LabOptions>;
  readonly secrets?: Partial<LabSecrets>;
  readonly quota?: CreateLab['quota'];
}

/** A request for a lab, complete and valid. */
export function aLab(change: LabChange = {}): CreateLab {
  const { username = 'ada', servername = '', image = IMAGE } = change;
  return {
    key: { username, servername },
    user: { username, name: 'Ada Lovelace', uid: 1000, gid: 1000, groups: [{ name: 'astronomers', id: 5000 }] },
    options: { size: 'small', enable_debug: false, reset_user_env: false, image, ...change.options },
    image: { reference: image, name: 'Lab', digest: '' },
    resources: { limits: { cpu: 1, memory: 2 ** 30 }, requests: { cpu: 0.01, memory: 2 ** 24 } },
    extendedResources: {},
    quota: change.quota ?? null,
    secrets: {
      env: { JUPYTERHUB_USER: username, JUPYTERHUB_API_TOKEN: PLANTED.env },
      token: PLANTED.token,
      ...change.secrets,
    },
    servicePrefix: `/user/${username}/`,
  };
}

export function aKey(username = 'ada', servername = ''): LabKey {
  return { username, servername };
}
