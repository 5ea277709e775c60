import { DEFAULT_NAMESPACE, describeHomes, type Config, isSlowPattern } from '../config/index.ts';

/** What a configuration means where it says nothing and that may not be what was meant; a sentence each. */
export function remarksOnLabs(config: Config): string[] {
  const { lab, kubernetes, builds } = config;
  return [
    ...remarksOnHub(lab.networkPolicy, kubernetes.namespace),
    ...remarksOnStorage(config),
    ...remarksOnProfiles(lab.profiles, builds !== undefined),
  ];
}

/** What of profiles is not as it may seem. */
function remarksOnProfiles(profiles: Config['lab']['profiles'], areBuilt: boolean): string[] {
  const options = profiles.flatMap(({ options: all }, index) =>
    Object.entries(all).map(([name, option]) => ({ ...option, key: `lab.profiles[${String(index)}].options.${name}` })),
  );
  const slow = options.flatMap(({ key, writeIn }) =>
    writeIn?.pattern !== undefined && isSlowPattern(writeIn.pattern)
      ? `${key}.writeIn.pattern takes so long over some texts that it is ended: a repetition inside of another one, such as (a+)+.`
      : [],
  );
  const unbuilt = areBuilt
    ? []
    : options.flatMap(({ key, repository }) => (repository === undefined ? [] : `${key}.repository`));
  return unbuilt.length === 0
    ? slow
    : [...slow, `repositories are not offered as long as builds is not set up (${unbuilt.join(', ')}).`];
}

/** What users write and find gone the next day. */
function remarksOnStorage(config: Config): string[] {
  const { lab } = config;
  const { volumes } = lab;
  const lost = volumes.filter(({ persistentVolumeClaim }) => persistentVolumeClaim?.retain === false);
  const remarks = lost.map(
    ({ name }) =>
      `the claim of the volume "${name}" is deleted whenever a lab ends, with everything that was written to it (retain: false).`,
  );
  const ends = remarkOnHomes(config);
  if (ends !== undefined) remarks.push(ends);
  const mounted = namesOfMounted(config);
  for (const { name } of volumes) {
    if (!mounted.has(name))
      remarks.push(`the volume "${name}" is mounted nowhere (lab.volumeMounts, lab.home.volume).`);
  }
  return remarks;
}

/** What users lose when a lab ends; undefined where homes are kept. */
export function remarkOnHomes({ lab }: Config): string | undefined {
  const { isKept, key } = describeHomes(lab);
  return isKept ? undefined : sayHomesEnd(lab.home.schema, key);
}

function sayHomesEnd(schema: Config['lab']['home']['schema'], key: string): string {
  const what = schema === 'image' ? 'as the image has them' : 'empty';
  return `home directories are ${what} at each start, and end with the lab (${key}).`;
}

/** What any lab mounts, with all overlays, sizes and images. */
function namesOfMounted({ lab, overlays, images }: Config): ReadonlySet<string> {
  const all = [
    lab,
    ...[...overlays, ...lab.sizes, ...images.list, ...images.sources].flatMap((each) => each.lab ?? []),
  ];
  return new Set([
    ...(lab.home.volume === undefined ? [] : [lab.home.volume]),
    ...all.flatMap(({ volumeMounts = [], initContainers = [], sidecars = [], podPatch = {} }) => [
      ...volumeMounts.map(({ name }) => name),
      ...initContainers.flatMap((each) => each.volumeMounts.map(({ name }) => name)),
      ...sidecars.flatMap((each) => each.volumeMounts?.map(({ name }) => name) ?? []),
      // What is in the patch is not looked at: its names count as mounted.
      ...[...JSON.stringify(podPatch).matchAll(/"name":"([^"]+)"/g)].map(([, name = '']) => name),
    ]),
  ]);
}

function remarksOnHub(
  { enabled, hub, proxy, hubNamespaces }: Config['lab']['networkPolicy'],
  own = `of Labwright (${DEFAULT_NAMESPACE} where its pod does not say)`,
): string[] {
  if (!enabled || (hub !== undefined && proxy !== undefined)) return [];
  const where = hubNamespaces === undefined ? `the namespace ${own}` : `namespace ${hubNamespaces.join(', ')}`;
  return [
    `hub and proxy reach labs from ${where} only, as pods with the labels of Zero to JupyterHub ` +
      '(lab.networkPolicy.hubNamespaces, hub, proxy).',
  ];
}
