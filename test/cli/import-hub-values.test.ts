import { readFile } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { HUB_NEEDS } from '../../src/cli/import/hub-values.ts';
import { runImport } from './importing.ts';

interface HubValues {
  readonly hub: {
    readonly config: Readonly<Record<string, Readonly<Record<string, unknown>>>>;
    readonly extraConfig: Readonly<Record<string, string>>;
    readonly networkPolicy: { readonly ingress: unknown[] };
    readonly extraVolumes: unknown[];
  };
}

const VALUES = `
singleuser:
  image: { name: a/b, tag: "1" }
  startTimeout: 1200
  defaultUrl: /lab
  storage: { type: none }
hub:
  image: { name: example/hub, tag: "3" }
  config: { KubeSpawner: { slug_scheme: escape, http_timeout: 120 }, Authenticator: { admin_users: [ada] } }
  extraConfig: { hook: "c.KubeSpawner.modify_pod_hook = f", other: "c.JupyterHub.services = []" }
  extraVolumes: [{ name: mine, emptyDir: {} }]
  networkPolicy: { ingress: [{ ports: [{ port: 1 }] }] }
cull: { timeout: 3600 }
`;

describe('the values that stay with the hub', () => {
  it('have what the example for Zero to JupyterHub has', async () => {
    const file = new URL('../../deploy/jupyterhub/z2jh/values.yaml', import.meta.url);
    const { hub, cull, ...rest } = parse(await readFile(file, 'utf8')) as Record<string, Record<string, unknown>>;
    expect(cull).toEqual({ enabled: true });
    const { image, config, ...ofHub } = hub as Record<string, Record<string, Record<string, unknown>>>;
    expect(image).toBeDefined();
    // That users may have several servers is the choice of a hub.
    delete config?.['JupyterHub']?.['allow_named_servers'];
    expect(HUB_NEEDS).toEqual({ hub: { ...ofHub, config }, ...rest });
  });

  it('are those that have not moved, and what the hub needs', async () => {
    const { hubValues, hubText } = await runImport('z2jh', VALUES);
    const { hub } = hubValues as unknown as HubValues;
    expect(hubValues).toMatchObject({
      singleuser: { defaultUrl: '/lab', networkPolicy: { enabled: false } },
      cull: { timeout: 3600 },
      hub: { image: { name: 'example/hub' }, config: { Authenticator: { admin_users: ['ada'] } } },
    });
    expect(hubValues).not.toHaveProperty('singleuser.storage');
    expect(hubValues).not.toHaveProperty('singleuser.image');
    expect(hub.networkPolicy.ingress).toHaveLength(2);
    expect(hub.extraVolumes).toMatchObject([{ name: 'mine' }, { name: 'labwright' }]);
    expect(hubText).toContain('#   hub.extraConfig.hook\n');
    expect(Object.keys(hub.extraConfig).sort()).toEqual(['hook', 'other', 'zz-labwright']);
  });

  it('hand what was said to the spawner of the chart to that of Labwright', async () => {
    const { hub } = (await runImport('z2jh', VALUES)).hubValues as unknown as HubValues;
    expect(hub.config['KubeSpawner']).toBeUndefined();
    // Labwright gives up after 1200 s, and the hub after that.
    expect(hub.config['LabwrightSpawner']).toMatchObject({ http_timeout: 120, start_timeout: 1320 });
  });

  it('are where the values of the hub are, also as a part of another chart', async () => {
    const nested = `jupyterhub:\n${VALUES.replaceAll(/^/gm, '  ')}\nother: { a: b }\n`;
    const { hubValues, report } = await runImport('z2jh', nested);
    expect(hubValues).toMatchObject({ other: { a: 'b' }, jupyterhub: { hub: { config: { LabwrightSpawner: {} } } } });
    expect(report.mapped).toContainEqual({ path: 'jupyterhub.singleuser.image.name', to: 'images.list[].reference' });
  });
});
