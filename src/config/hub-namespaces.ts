import { isDnsLabel } from '../domain/kubernetes/names.ts';

interface Auth {
  readonly serviceAccounts?: { readonly hub: readonly string[] } | undefined;
  readonly jupyterhub?: { readonly apiUrl: string } | undefined;
}

/** The namespaces in which a configuration says that hubs are; undefined where it does not say. */
export function findHubNamespaces({ serviceAccounts, jupyterhub }: Auth): string[] | undefined {
  const accounts = (serviceAccounts?.hub ?? []).map((account) => account.slice(0, account.indexOf('/')));
  const service = jupyterhub === undefined ? undefined : namespaceOf(new URL(jupyterhub.apiUrl));
  const found = [...accounts, ...(service === undefined ? [] : [service])];
  return found.length === 0 ? undefined : [...new Set(found)];
}

/** Of `http://hub.NAMESPACE` and `http://hub.NAMESPACE.svc…`; other names are not those of Services. */
function namespaceOf({ protocol, hostname }: URL): string | undefined {
  const [, namespace = '', svc] = hostname.split('.');
  if (protocol !== 'http:' || !isDnsLabel(namespace) || /^\d+$/.test(namespace)) return undefined;
  return svc === undefined || svc === 'svc' ? namespace : undefined;
}
