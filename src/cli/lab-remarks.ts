import { DEFAULT_NAMESPACE, type Config } from '../config/index.ts';

/** What a configuration means where it says nothing and that may not be what was meant; a sentence each. */
export function remarksOnLabs({ lab, kubernetes }: Config): string[] {
  return [...remarksOnHub(lab.networkPolicy, kubernetes.namespace)];
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
