import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'yaml';
import type { LabUser, Quota } from '../../../src/domain/user/user.ts';

/** Values of production sites of Nublado are not part of this repository: `nublado/*.yaml` of a folder. */
const DATA = join(process.env.HUBS ?? join(import.meta.dirname, '../../../../shared/data'), 'nublado');
export const areSitesThere = existsSync(DATA);

interface Amounts {
  readonly cpu: number;
  /** As Kubernetes writes it. */
  readonly memory: string;
}

export interface NubladoMount {
  readonly containerPath: string;
  readonly volumeName: string;
  readonly subPath?: string;
  readonly readOnly?: boolean;
}

export interface NubladoVolume {
  readonly name: string;
  readonly source:
    | { readonly type: 'hostPath'; readonly path: string }
    | { readonly type: 'nfs'; readonly server: string; readonly serverPath: string; readonly readOnly?: boolean }
    | {
        readonly type: 'persistentVolumeClaim';
        readonly storageClassName: string;
        readonly accessModes: string[];
        readonly resources: { readonly requests: Record<string, string> };
        readonly readOnly?: boolean;
      };
}

/** `lab` of the configuration, as far as sites use it; shared/reference/nublado.md of the project has all of it. */
export interface NubladoLab {
  readonly activityInterval: string;
  readonly affinity: object;
  readonly application?: string;
  readonly emptyDirSource: 'memory' | 'disk';
  readonly env: Readonly<Record<string, string>>;
  readonly extraAnnotations: Readonly<Record<string, string>>;
  readonly files: Readonly<Record<string, string>>;
  readonly homedirPrefix: string;
  readonly homedirSchema: 'username' | 'initialThenUsername';
  readonly homedirSuffix: string;
  readonly homeVolumeName: string;
  readonly jupyterlabConfigDir: string;
  readonly labStartCommand: string[];
  readonly namespacePrefix: string;
  readonly nodeSelector: Record<string, string>;
  readonly nss: { readonly basePasswd: string; readonly baseGroup: string };
  readonly pullSecret?: string;
  readonly runtimeMountsDir: string;
  readonly secrets: readonly {
    readonly secretName: string;
    readonly secretKey: string;
    readonly env?: string;
    readonly path?: string;
  }[];
  readonly sizes: readonly {
    readonly size: string;
    readonly resources: { readonly limits: Amounts; readonly requests: Amounts };
  }[];
  readonly standardInithome: boolean;
  readonly tolerations: object[];
  readonly volumes: readonly NubladoVolume[];
  readonly volumeMounts: readonly NubladoMount[];
}

export interface Site {
  readonly name: string;
  /** The file. */
  readonly text: string;
  readonly lab: NubladoLab;
  /** Registry and repository of its images. */
  readonly repository: string;
  /** What is in the menu beside the images that are named. */
  readonly newest: string;
  readonly cases: readonly SiteCase[];
}

/** Who asks for which lab. */
export interface SiteCase {
  readonly user: LabUser;
  readonly quota: Quota | null;
  readonly size: string;
  readonly tag: string;
  readonly debug: boolean;
  readonly reset: boolean;
}

export function readSites(): Site[] {
  return readdirSync(DATA)
    .filter((file) => file.endsWith('.yaml'))
    .sort()
    .map((file) => siteOf(file.replace('.yaml', ''), readFileSync(join(DATA, file), 'utf8')));
}

function siteOf(name: string, text: string): Site {
  const { controller } = parse(text) as {
    controller: {
      config: {
        lab: NubladoLab;
        images: {
          source: { registry: string; repository: string };
          recommendedTag: string;
          pin: string[];
          aliasTags: string[];
          numReleases: number;
          numWeeklies: number;
          numDailies: number;
        };
      };
    };
  };
  const { lab, images } = controller.config;
  const { source, recommendedTag, pin, aliasTags } = images;
  // What a site sets that is not translated would be compared as if it were not there.
  const untold = Object.entries({ ...lab, volumeMounts: [], volumes: [] }).filter(
    ([key, value]) => UNTRANSLATED.has(key) && Object.keys(value as object).length > 0,
  );
  if (untold.length > 0) throw new Error(`${name}: ${untold.map(([key]) => key).join(', ')} is not translated`);
  const newest = [images.numReleases, images.numWeeklies, images.numDailies].map(String);
  return {
    ...{ name, text, lab },
    repository: `${source.registry}/${source.repository}`,
    newest: `${newest[0] ?? ''} releases, ${newest[1] ?? ''} weeklies, ${newest[2] ?? ''} dailies`,
    cases: casesOf(lab, recommendedTag, [...pin, ...aliasTags]),
  };
}

/** No site that is compared sets them. */
const UNTRANSLATED = new Set(['initContainers', 'namespaceAnnotations']);

const ADA: LabUser = {
  username: 'ada',
  name: 'Ada Lovelace',
  uid: 1101,
  gid: 1101,
  groups: [
    { name: 'ada', id: 1101 },
    { name: 'lunatics', id: 2028 },
  ],
};
const BOT: LabUser = {
  username: 'bot-mobu-1',
  name: null,
  uid: 90_001,
  gid: 90_001,
  groups: [{ name: 'bot-mobu-1', id: 90_001 }],
};

/** Somebody with each size and each image that is named, with debugging and a clean environment, and a bot with a quota and without a name. */
function casesOf({ sizes }: NubladoLab, recommended: string, named: readonly string[]): SiteCase[] {
  const [first = ''] = sizes.map(({ size }) => size);
  const plain: SiteCase = { user: ADA, quota: null, size: first, tag: recommended, debug: false, reset: false };
  return [
    ...sizes.map(({ size }) => ({ ...plain, size })),
    ...named.map((tag) => ({ ...plain, tag })),
    { ...plain, debug: true, reset: true },
    { ...plain, user: BOT, quota: { cpu: 9, memory: 27 * 2 ** 30, spawn: true } },
  ];
}
