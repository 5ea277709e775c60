import { DEFAULT_NAMESPACE, type Config } from '../config/index.ts';

/** What a configuration means where it says nothing and that may not be what was meant; a sentence each. */
export function remarksOnLabs({ lab, kubernetes }: Config): string[] {
  return [...remarksOnHub(lab.networkPolicy, kubernetes.namespace), ...remarksOnStorage(lab)];
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
