import { addValues } from './hub-values.ts';
import { importNubladoImages } from './nublado-images.ts';
import { importNubladoLab } from './nublado-lab.ts';
import type { ImporterResult } from './importer.ts';
import type { Json, Source } from './source.ts';

const HUB_NOTES = [
  "The spawner of Nublado goes on as it is, and finds Labwright in place of Nublado's controller, whose objects the chart must not make any more",
  '(deploy/jupyterhub/README.md).',
];
const BASE_URL = 'https://hub.example.org';
const SWITCHED_OFF: readonly (readonly [section: readonly string[], why: string])[] = [
  [
    ['fileserver'],
    'there is no WebDAV server here: run one beside the same volumes, or have people move files through their labs',
  ],
  [['metrics'], 'no events go to Kafka: Prometheus reads /metrics'],
];

/** The values of Nublado in Phalanx, or the configuration of its controller alone. */
export function importNublado(root: Source): ImporterResult {
  const controller = root.at('controller');
  const config = controller?.at('config') ?? (root.at('lab') === undefined ? root.within('config') : root);
  const baseUrl = config.at('baseUrl') ?? root.at('global', 'baseUrl');
  if (root.at('global', 'baseUrl') === undefined) baseUrl?.mapped('baseUrl');
  const url = (baseUrl?.text() ?? BASE_URL).replace(/\/$/, '');
  const image = controllerImage(controller);
  const top = importTop(config);
  const images = importNubladoImages(
    config.within('images'),
    config.at('dropdownMenu') ?? config.at('lab', 'dropdownMenu'),
  );
  // The hub goes on asking it, too: the value stays there.
  const repertoireUrl = root.at('global', 'repertoireUrl')?.text() ?? `${url}/repertoire`;
  const lab = importNubladoLab(config.within('lab'), { image, repertoireUrl });
  explainRest(config);
  for (const rest of config.unsettled()) rest.lost('there is no setting for it');
  if (controller !== undefined && controller !== config) explainController(controller);
  for (const rest of root.unsettled()) rest.hub();
  return {
    config: {
      baseUrl: url,
      ...top,
      auth: {
        proxyHeaders: {
          trustedAddresses: ['192.0.2.1/32'],
          userInfoUrl: `${url}/auth/api/v1/user-info`,
          hubUsers: ['bot-nublado-hub'],
        },
      },
      users: { sources: ['gafaelfawr'] },
      images,
      lab,
    },
    hubValues: addValues(root === config ? {} : remainingWithout(root, 'controller'), {
      jupyterhub: {
        hub: {
          extraConfig: {
            'zz-labwright': `c.NubladoSpawner.repertoire_base_url = "${url}${String(top['pathPrefix'])}"\n`,
          },
        },
      },
    }),
    hubNotes: HUB_NOTES,
  };
}

function importTop(config: Source): Record<string, Json> {
  const [prefix, level] = [config.at('pathPrefix'), config.at('logLevel')];
  prefix?.mapped('pathPrefix');
  level?.mapped('logLevel');
  const written = level?.text()?.toLowerCase();
  const levels: Readonly<Record<string, string>> = {
    debug: 'debug',
    info: 'info',
    warning: 'warn',
    error: 'error',
    critical: 'fatal',
  };
  return {
    pathPrefix: prefix?.text() ?? '/nublado',
    ...(written !== undefined && levels[written] !== undefined ? { logLevel: levels[written] } : {}),
  };
}

/** The image of the controller, which Nublado's own init containers run, too. */
function controllerImage(controller: Source | undefined): string {
  const [repository, tag] = [controller?.at('image', 'repository'), controller?.at('image', 'tag')];
  return `${repository?.text() ?? 'ghcr.io/lsst-sqre/nublado'}:${tag?.text() ?? '11.0.0'}`;
}

function explainRest(config: Source): void {
  for (const [path, why] of SWITCHED_OFF) {
    const section = config.at(...path);
    if (section?.at('enabled')?.value === true) section.lost(why);
    else section?.mapped();
  }
  config
    .at('fsadmin')
    ?.remarked(
      'overlays',
      'no pod for the care of files is made on demand: a lab of an administrator is one, with an overlay (match: { admin: true }) that mounts ' +
        'what is needed',
    );
  config.at('watchReconnectTimeout')?.remarked(undefined, 'watches are looked after without a setting');
  config.at('logProfile')?.remarked(undefined, 'logs are JSON');
  config.at('metadataPath')?.remarked(undefined, 'Labwright knows its namespace by its service account');
  config.at('name')?.remarked(undefined, 'it names the application in alerts, of which there are none here');
}

/** What the chart does for the controller itself. */
function explainController(controller: Source): void {
  const alerts = controller.at('slackAlerts');
  if (alerts?.value === true) alerts.lost('Labwright writes to no chat: Prometheus can, of what /metrics says');
  else alerts?.mapped();
  for (const [, rest] of controller.entries()) {
    if (rest.unsettled().length > 0) {
      rest.remarked(
        undefined,
        'about the controller itself: say it in the Deployment of Labwright (deploy/kubernetes)',
      );
    }
  }
}

function remainingWithout(root: Source, section: string): Json {
  return Object.fromEntries(
    root.entries().flatMap(([key, entry]) => {
      const value = entry.remaining();
      return key === section || value === undefined ? [] : [[key, value]];
    }),
  );
}
