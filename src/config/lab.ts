import type { z } from 'zod';
import { TOKEN_DIRECTORY } from '../domain/lab/lab.ts';
import { repeated } from '../util/repeated.ts';
import type { DeepReadonly } from '../util/deep-readonly.ts';
import { crossCheck, type Report } from './cross-check.ts';
import { labSettings } from './lab-settings.ts';
import { checkExtraObjects } from './extra-objects.ts';
import { checkPlaceholders, PERSONAL_KEYS, tellsLabsApart } from './personal.ts';
import { checkPodSecurity, strictestLevel } from './pod-security.ts';

/** What the rules look at; `lab` before and after its defaults that are computed. */
type Settings = DeepReadonly<z.output<typeof labSettings>>;
/** A ConfigMap takes a mebibyte. */
const FILES_BYTES = 1000 * 1024;

/** How labs are made. */
export const lab = labSettings
  .check(
    crossCheck(['sizes', 'defaultSize'], checkDefaultSize),
    crossCheck(['volumes', 'volumeMounts', 'home', 'initContainers', 'sidecars'], checkMounts),
    crossCheck(
      ['volumeMounts', 'files', 'secrets', 'initContainers', 'runtimeMountsDir', 'token', 'serviceAccount'],
      checkPaths,
    ),
    crossCheck(['files'], checkFileSizes),
    crossCheck(['namespaces', 'namespace', 'podName', 'volumes', 'serviceAccount'], checkNamespaces),
    crossCheck(['namespaces', 'podName', 'serviceAccount', 'extraObjects'], checkExtraObjects),
    crossCheck(['topologySpreadConstraints'], checkSpread),
    crossCheck(['env', 'secrets'], checkSecretEnv),
    crossCheck(['volumes', 'initContainers', 'sidecars', 'podPatch', 'podSecurity'], checkPodSecurity),
    crossCheck(['schedulingTimeout', 'pullTimeout', 'containerTimeout', 'spawnTimeout'], checkTimeouts),
    crossCheck([...PERSONAL_KEYS], checkPlaceholders),
  )
  .transform((settings) => ({
    ...settings,
    home: homeOf(settings),
    defaultSize: settings.defaultSize ?? settings.sizes[0]?.name ?? '',
    args: settings.args ?? (settings.command === undefined ? ['jupyterhub-singleuser'] : []),
    schedulingTimeout: settings.schedulingTimeout ?? settings.spawnTimeout,
    pullTimeout: settings.pullTimeout ?? settings.spawnTimeout,
    containerTimeout: settings.containerTimeout ?? settings.spawnTimeout,
    podSecurity: settings.podSecurity ?? strictestLevel(settings),
    /** The level that was written, which nothing may ask to exceed. */
    podSecurityLimit: settings.podSecurity,
  }));

/** The home directory of the images of the Jupyter project. */
const HOME_OF_IMAGES = '/home/jovyan';

/** Whoever mounts something there has such an image, and a home directory elsewhere would hide the mount from its user. */
function homeOf({ home, volumeMounts }: Settings) {
  const isOfImage = volumeMounts.some(({ mountPath }) => `${mountPath}/`.startsWith(`${HOME_OF_IMAGES}/`));
  const isPlain = home.prefix === undefined && home.volume === undefined && home.suffix === '';
  const schema = home.schema ?? (isOfImage && isPlain ? 'image' : 'username');
  return { ...home, schema, prefix: home.prefix ?? (schema === 'image' ? HOME_OF_IMAGES : '/home') };
}

/** `lab` as it is parsed, before what the rest of the configuration adds to it. */
export type ParsedLab = DeepReadonly<z.output<typeof lab>>;

/** The rules for what one lab is made of, applied to what overlays make of `lab`. */
export function checkPieces(settings: ParsedLab, report: Report): void {
  checkMounts(settings, report);
  checkPaths(settings, report);
  checkFileSizes(settings, report);
  checkNamespaces(settings, report);
  checkExtraObjects(settings, report);
  checkSpread(settings, report);
  checkSecretEnv(settings, report);
  checkPodSecurity({ ...settings, podSecurity: settings.podSecurityLimit }, report);
  checkPlaceholders(settings, report);
}

function checkDefaultSize({ sizes, defaultSize }: Settings, report: Report): void {
  if (defaultSize !== undefined && !sizes.some(({ name }) => name === defaultSize)) {
    report(['defaultSize'], `expected one of the sizes: ${sizes.map(({ name }) => name).join(', ')}`);
  }
}

function checkMounts({ volumes, volumeMounts, home, initContainers, sidecars }: Settings, report: Report): void {
  const names = new Set(volumes.map(({ name }) => name));
  const expected =
    names.size === 0 ? 'a volume, and lab.volumes has none' : `one of the volumes: ${[...names].join(', ')}`;
  const check = (name: string, path: readonly (string | number)[]) => {
    if (!names.has(name)) report(path, `expected ${expected}`);
  };
  volumeMounts.forEach(({ name }, index) => {
    check(name, ['volumeMounts', index, 'name']);
  });
  initContainers.forEach((container, at) => {
    container.volumeMounts.forEach(({ name }, index) => {
      check(name, ['initContainers', at, 'volumeMounts', index, 'name']);
    });
  });
  sidecars.forEach((sidecar, at) => {
    sidecar.volumeMounts?.forEach(({ name }, index) => {
      check(name, ['sidecars', at, 'volumeMounts', index, 'name']);
    });
    if (initContainers.some(({ name }) => name === sidecar.name)) {
      report(['sidecars', at, 'name'], 'expected another name: an init container is called so');
    }
  });
  if (home.volume !== undefined) {
    check(home.volume, ['home', 'volume']);
    if (home.schema === 'image')
      report(['home', 'volume'], 'expected no volume: with schema image the home directory is that of the image');
  }
}

/** Two things cannot be mounted at one path; Kubernetes would refuse every pod. */
function checkPaths(settings: Settings, report: Report): void {
  const { volumeMounts, files, secrets, initContainers, runtimeMountsDir, token, serviceAccount } = settings;
  const runtime = ['secrets', 'environment', 'runtime'].map((name) => `${runtimeMountsDir ?? ''}/${name}`);
  const taken = new Set(['/etc/passwd', '/etc/group', '/tmp', ...(runtimeMountsDir === undefined ? [] : runtime)]);
  if (token.source === 'signed') taken.add(TOKEN_DIRECTORY);
  const claim = (target: string, path: readonly (string | number)[], among: Set<string>) => {
    if (among.has(target)) report(path, `expected another path: ${target} is already taken`);
    among.add(target);
  };
  Object.keys(files).forEach((target) => {
    claim(target, ['files', target], taken);
  });
  volumeMounts.forEach(({ mountPath }, index) => {
    claim(mountPath, ['volumeMounts', index, 'mountPath'], taken);
  });
  secrets.forEach(({ path }, index) => {
    if (path !== undefined) claim(path, ['secrets', index, 'path'], taken);
  });
  const directories = new Set<string>();
  serviceAccount.tokens.forEach(({ path }, index) => {
    const directory = path.slice(0, path.lastIndexOf('/'));
    if (!directories.has(directory)) claim(directory, ['serviceAccount', 'tokens', index, 'path'], taken);
    directories.add(directory);
  });
  initContainers.forEach((container, at) => {
    const among = new Set<string>();
    container.volumeMounts.forEach(({ mountPath }, index) => {
      claim(mountPath, ['initContainers', at, 'volumeMounts', index, 'mountPath'], among);
    });
  });
}

/** They are one ConfigMap, beside passwd and group. */
function checkFileSizes({ files }: Settings, report: Report): void {
  const bytes = Object.values(files).reduce(
    (sum, { text = '', base64 = '' }) => sum + Buffer.byteLength(text) + Buffer.byteLength(base64, 'base64'),
    0,
  );
  if (bytes > FILES_BYTES)
    report(['files'], 'expected no more than 1000 KiB in all: larger files belong into a volume');
}

/** What makes sense in one of the two ways only. */
function checkNamespaces(settings: Settings, report: Report): void {
  const { namespaces, namespace, podName, volumes, serviceAccount } = settings;
  const isShared = namespaces === 'shared';
  const only = (path: readonly (string | number)[], value: unknown) => {
    if (!isShared && value !== undefined) report(path, 'expected none without lab.namespaces: shared');
  };
  only(['namespace'], namespace);
  only(['podName'], podName);
  if (podName !== undefined && !tellsLabsApart(podName)) {
    report(
      ['podName'],
      'expected the user and the server in it, or labs had one name: such as lab-{slug} or jupyter-{user_server}',
    );
  }
  volumes.forEach(({ persistentVolumeClaim: claim }, index) => {
    const path = ['volumes', index, 'persistentVolumeClaim'];
    if (claim?.claimName !== undefined && !isShared) {
      const instead = 'set lab.namespaces: shared, where claims that are there can be used, or name the server in nfs';
      report(
        [...path, 'claimName'],
        `expected none: the namespace of a lab's own has no claims but those of the lab; ${instead}`,
      );
    }
    if (
      claim?.storage !== undefined &&
      claim.claimName !== undefined &&
      !claim.retain &&
      !tellsLabsApart(claim.claimName)
    ) {
      report([...path, 'retain'], 'expected true: a claim without the server in its name is for all servers of a user');
    }
  });
  volumes.forEach(({ persistentVolume }, index) => {
    if (isShared && persistentVolume !== undefined) {
      report(
        ['volumes', index, 'persistentVolume'],
        'expected persistentVolumeClaim with the claimName of a claim that is there',
      );
    }
  });
  if (isShared && Object.keys(serviceAccount.annotations).length > 0) {
    report(
      ['serviceAccount', 'annotations'],
      'expected none with lab.namespaces: shared: the account is there, and has its own',
    );
  }
}

function checkSpread({ topologySpreadConstraints }: Settings, report: Report): void {
  const kinds = topologySpreadConstraints.map((each) => `${each.topologyKey} ${each.whenUnsatisfiable}`);
  for (const index of repeated(kinds)) {
    report(
      ['topologySpreadConstraints', index],
      'expected another topologyKey or whenUnsatisfiable than the one before',
    );
  }
}

function checkSecretEnv({ env, secrets }: Settings, report: Report): void {
  const taken = new Set(Object.keys(env));
  secrets.forEach((secret, index) => {
    if (secret.env === undefined) return;
    if (taken.has(secret.env)) report(['secrets', index, 'env'], `expected another name: ${secret.env} is already set`);
    taken.add(secret.env);
  });
}

function checkTimeouts(settings: Settings, report: Report): void {
  for (const key of ['schedulingTimeout', 'pullTimeout', 'containerTimeout'] as const) {
    if ((settings[key] ?? 0) > settings.spawnTimeout) report([key], 'expected no more than spawnTimeout');
  }
}
