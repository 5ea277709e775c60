import { DEFAULT_NAMESPACE, type Config, isSlowPattern } from '../config/index.ts';

/** What a configuration means where it says nothing and that may not be what was meant; a sentence each. */
export function remarksOnLabs({ lab, kubernetes, builds }: Config): string[] {
  return [
    ...remarksOnHub(lab.networkPolicy, kubernetes.namespace),
    ...remarksOnStorage(lab),
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
function remarksOnStorage({ volumes, home, volumeMounts }: Config['lab']): string[] {
  const lost = volumes.filter(({ persistentVolumeClaim }) => persistentVolumeClaim?.retain === false);
  const remarks = lost.map(
    ({ name }) =>
      `the claim of the volume "${name}" is deleted whenever a lab ends, with everything that was written to it (retain: false).`,
  );
  const volume = volumes.find(({ name }) => name === home.volume);
  const isCovered = volumeMounts.some(({ mountPath }) => `${home.prefix}/`.startsWith(`${mountPath}/`));
  const isEmpty = volume === undefined ? !isCovered && volumeMounts.length === 0 : volume.emptyDir !== undefined;
  if (isEmpty)
    remarks.push('home directories are empty at each start, and end with the lab (lab.home.volume, lab.volumeMounts).');
  return remarks;
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
