import { stringify } from 'yaml';
import { isRecord } from '../../util/is-record.ts';
import type { ImportReport } from './findings.ts';
import type { ImporterResult } from './importer.ts';
import type { Json, Source } from './source.ts';

const LABS = {
  namespaceSelector: { matchLabels: { 'labwright.dev/kind': 'lab' } },
  podSelector: { matchLabels: { 'labwright.dev/kind': 'lab' } },
};
const NAMESPACE = { matchLabels: { 'kubernetes.io/metadata.name': 'labwright' } };
const TO_LABS = { to: [LABS], ports: [{ protocol: 'TCP', port: 8888 }] };

/** What differs from the defaults of Zero to JupyterHub where Labwright makes the labs: as in deploy/jupyterhub/z2jh/values.yaml. */
export const HUB_NEEDS = {
  hub: {
    config: {
      JupyterHub: { spawner_class: 'labwright', cleanup_servers: false, init_spawners_timeout: 1 },
      LabwrightSpawner: {
        controller_url: 'http://labwright.labwright.svc/labwright',
        token_path: '/var/run/secrets/labwright/token',
      },
    },
    consecutiveFailureLimit: 0,
    extraConfig: {
      labwright:
        'import os\n\nnamespace = os.environ.get("POD_NAMESPACE", "jupyterhub")\n' +
        'c.JupyterHub.hub_connect_url = f"http://hub.{namespace}.svc:8081"\n',
    },
    extraVolumes: [
      {
        name: 'labwright',
        projected: {
          sources: [{ serviceAccountToken: { path: 'token', audience: 'labwright', expirationSeconds: 3600 } }],
        },
      },
    ],
    extraVolumeMounts: [{ name: 'labwright', mountPath: '/var/run/secrets/labwright', readOnly: true }],
    networkPolicy: {
      ingress: [
        {
          from: [
            LABS,
            { namespaceSelector: NAMESPACE, podSelector: { matchLabels: { 'app.kubernetes.io/name': 'labwright' } } },
          ],
          ports: [{ protocol: 'TCP', port: 'http' }],
        },
      ],
      egress: [{ to: [{ namespaceSelector: NAMESPACE }], ports: [{ protocol: 'TCP', port: 8080 }] }, TO_LABS],
    },
  },
  proxy: { chp: { networkPolicy: { egress: [TO_LABS] } } },
  rbac: { create: false },
  prePuller: { hook: { enabled: false }, continuous: { enabled: false } },
  scheduling: {
    userScheduler: { enabled: false },
    userPlaceholder: { enabled: false },
    podPriority: { enabled: false },
  },
  singleuser: { networkPolicy: { enabled: false }, cloudMetadata: { blockWithIptables: false } },
};

/** Code of the hub runs in the order of its names: what else names a spawner does so before. */
const LAST = 'zz-labwright';

/** What to know of the values of a hub that has Labwright's spawner. */
export const HUB_NOTES = [
  'The image of the hub needs the package labwright-spawner, and controller_url has to be where Labwright is (deploy/jupyterhub/README.md).',
];

/** Seconds that a hub waits for a start where nothing else is said (deploy/jupyterhub/README.md), and that Labwright does. */
const START_TIMEOUT = { hub: 720, lab: 600 };

/** The values that stay with the chart of a hub, and what its hub needs, at the place where its values are. */
export function hubWithLabwright(root: Source, chart: Source): Json {
  const { hub } = HUB_NEEDS;
  const ofKubeSpawner = chart.at('hub', 'config', 'KubeSpawner')?.remaining();
  const startTimeout = Number(chart.at('singleuser', 'startTimeout')?.value);
  const needs = {
    ...HUB_NEEDS,
    hub: {
      ...hub,
      config: {
        ...hub.config,
        // What it says of hub and spawner alone means the same there.
        KubeSpawner: undefined,
        LabwrightSpawner: {
          ...(isRecord(ofKubeSpawner) ? ofKubeSpawner : {}),
          ...hub.config.LabwrightSpawner,
          // Labwright gives up first, and says why.
          ...(startTimeout > START_TIMEOUT.lab
            ? { start_timeout: startTimeout + START_TIMEOUT.hub - START_TIMEOUT.lab }
            : {}),
        },
      },
      extraConfig: { [LAST]: `${hub.extraConfig.labwright}c.JupyterHub.spawner_class = "labwright"\n` },
    },
  };
  return addValues(root.remaining() ?? {}, chart === root ? needs : { [chart.path]: needs });
}

/** Values with more of them: tables are merged, lists go on, anything else is replaced, or removed by undefined. */
export function addValues(values: Json, more: Json): Json {
  if (Array.isArray(values) && Array.isArray(more)) return [...(values as Json[]), ...(more as Json[])];
  // Some lists of the chart can be written as tables.
  if (isRecord(values) && Array.isArray(more)) {
    return {
      ...values,
      ...Object.fromEntries(more.map((entry: Json, index) => [`labwright-${String(index)}`, entry])),
    };
  }
  if (!isRecord(values) || !isRecord(more)) return more;
  const merged = new Map(Object.entries(values));
  for (const [key, value] of Object.entries(more)) {
    const before = merged.get(key);
    if (value === undefined) merged.delete(key);
    else merged.set(key, before === undefined || before === null ? value : addValues(before, value));
  }
  return Object.fromEntries(merged);
}

/** The values that stay with the chart, as YAML. What is left of Python that did something to labs is named. */
export function writeHubValues({ hubValues, hubNotes }: ImporterResult, root: Source, { lost }: ImportReport): string {
  const left = lost.filter(({ path }) => root.stays(path)).map(({ path }) => `#   ${path}\n`);
  return [
    '# Made by labwright import: the values that stay with the chart of the hub, with what the hub needs to use Labwright.\n',
    ...hubNotes.map((note) => `# ${note}\n`),
    ...(left.length === 0
      ? []
      : ['# Python that set up labs and does nothing to them any more; it may do something else:\n', ...left]),
    '\n',
    stringify(hubValues, { lineWidth: 0, aliasDuplicateObjects: false }),
  ].join('');
}
