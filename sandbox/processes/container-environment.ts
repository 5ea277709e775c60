import type { V1Container, V1EnvVar, V1EnvVarSource, V1Pod } from '@kubernetes/client-node';
import type { KubeClient } from '../../src/storage/kubernetes/kube-client.ts';
import { ConfigMaps, Secrets } from '../../src/storage/kubernetes/resources.ts';
import { ContainerProblem } from '../kubelet/containers.ts';

type Environment = Record<string, string>;
type Kind = 'secret' | 'configmap';

/** What a container says about its environment: `envFrom`, then `env`, read as a kubelet reads them. */
export class ContainerEnvironment {
  readonly #client: KubeClient;
  readonly #pod: V1Pod;
  readonly #podIP: string;
  readonly #signal: AbortSignal;
  /** Each Secret and ConfigMap is asked for once. */
  readonly #read = new Map<string, Environment | undefined>();

  constructor(client: KubeClient, pod: V1Pod, podIP: string, signal: AbortSignal) {
    this.#client = client;
    this.#pod = pod;
    this.#podIP = podIP;
    this.#signal = signal;
  }

  /** @throws ContainerProblem for what is named and not there, in the kubelet's words; KubeError */
  async of(container: V1Container): Promise<Environment> {
    const env: Environment = {};
    for (const { prefix = '', secretRef, configMapRef } of container.envFrom ?? []) {
      const ref = secretRef ?? configMapRef;
      if (ref?.name === undefined) continue;
      const data = await this.#dataOf(secretRef === undefined ? 'configmap' : 'secret', ref.name, ref.optional);
      for (const [name, value] of Object.entries(data ?? {})) env[`${prefix}${name}`] = value;
    }
    for (const variable of container.env ?? []) {
      const value = await this.#valueOf(variable, env);
      if (value !== undefined) env[variable.name] = value;
    }
    return env;
  }

  async #valueOf({ name, value, valueFrom }: V1EnvVar, env: Environment): Promise<string | undefined> {
    if (valueFrom === undefined) return expandReferences(value ?? '', env);
    const { secretKeyRef, configMapKeyRef, fieldRef } = valueFrom;
    if (secretKeyRef !== undefined) return this.#keyOf('secret', secretKeyRef);
    if (configMapKeyRef !== undefined) return this.#keyOf('configmap', configMapKeyRef);
    const field = fieldRef === undefined ? undefined : this.#fieldOf(fieldRef.fieldPath);
    if (field === undefined)
      throw new ContainerProblem('config', `the source of the variable ${name} is not supported`);
    return field;
  }

  async #keyOf(
    kind: Kind,
    { name = '', key, optional }: NonNullable<V1EnvVarSource['secretKeyRef']>,
  ): Promise<string | undefined> {
    const value = (await this.#dataOf(kind, name, optional))?.[key];
    if (value !== undefined || optional === true) return value;
    const shown = kind === 'secret' ? 'Secret' : 'ConfigMap';
    throw new ContainerProblem('config', `couldn't find key ${key} in ${shown} ${this.#namespace}/${name}`);
  }

  /** @returns undefined when there is none and there need not be */
  async #dataOf(kind: Kind, name: string, optional = false): Promise<Environment | undefined> {
    const id = `${kind}/${name}`;
    if (!this.#read.has(id)) this.#read.set(id, await this.#fetch(kind, name));
    const data = this.#read.get(id);
    if (data === undefined && !optional) throw new ContainerProblem('config', `${kind} "${name}" not found`);
    return data;
  }

  async #fetch(kind: Kind, name: string): Promise<Environment | undefined> {
    const ref = { namespace: this.#namespace, name };
    const options = { signal: this.#signal };
    if (kind === 'configmap') {
      const found = await this.#client.get(ConfigMaps, ref, options);
      return found === undefined ? undefined : { ...found.data };
    }
    const found = await this.#client.get(Secrets, ref, options);
    if (found === undefined) return undefined;
    const texts = Object.entries(found.data ?? {}).map(([key, value]) => [
      key,
      Buffer.from(value, 'base64').toString(),
    ]);
    return Object.fromEntries(texts) as Environment;
  }

  #fieldOf(path: string): string | undefined {
    const { metadata, spec, status } = this.#pod;
    const [, map, key = ''] = /^metadata\.(labels|annotations)\['(.+)'\]$/.exec(path) ?? [];
    if (map !== undefined) return (map === 'labels' ? metadata?.labels : metadata?.annotations)?.[key] ?? '';
    const fields: Readonly<Record<string, string | undefined>> = {
      'metadata.name': metadata?.name,
      'metadata.namespace': metadata?.namespace,
      'metadata.uid': metadata?.uid,
      'spec.nodeName': spec?.nodeName ?? '',
      'spec.serviceAccountName': spec?.serviceAccountName ?? '',
      'status.hostIP': status?.hostIP ?? '',
      'status.podIP': this.#podIP,
    };
    return Object.hasOwn(fields, path) ? fields[path] : undefined;
  }

  get #namespace(): string {
    return this.#pod.metadata?.namespace ?? '';
  }
}

/** `$(NAME)` becomes the variable's value where there is one, and `$$` is a dollar sign: in commands, arguments and `env`. */
export function expandReferences(text: string, env: Readonly<Environment>): string {
  return text.replaceAll(/\$(?:\$|\(([^()]*)\))/g, (written: string, name: string | undefined) => {
    if (name === undefined) return '$';
    return Object.hasOwn(env, name) ? (env[name] ?? '') : written;
  });
}
