import { capitalize } from '../../util/capitalize.ts';
import type { V1EnvVar, V1Secret } from '@kubernetes/client-node';
import type { LabConfig } from '../../config/config.ts';
import { isLimited, isShared, spawnMetadata, type BuildContext } from './context.ts';
import { homeDirectory } from './home.ts';
import { buildSecretFiles } from './user-files.ts';
import { formatFloat, showMemory } from '../../util/quantities.ts';
import { encodeSecret } from '../values.ts';

/** Key of the user's token in the lab's Secret, and name of its file. */
export const TOKEN_KEY = 'token';
/**
 * Type of the lab's Secret where the token in it is signed by Labwright and renewed. Kubernetes lets nobody change it, so
 * a patch that names it changes no Secret of another kind.
 */
const SIGNED_TOKEN_TYPE = 'labwright.dev/signed-token';

/** Where the server of a lab is to listen, as JupyterHub says it. */
const SERVICE_URL = 'JUPYTERHUB_SERVICE_URL';
const LOOPBACK = /^(https?:\/\/)(?:127(?:\.\d+){3}|localhost|\[::1\]|)(?=[:/])/;

/**
 * The environment of a lab, by rising precedence: what the hub sent, verbatim but for where to listen; what the request and
 * the image say; the configuration. It holds the API token that the hub gave to the lab, so all of it is kept in a Secret. The
 * names are those that labs written for Nublado and for KubeSpawner read.
 */
export function buildEnvironment(context: BuildContext): Record<string, string> {
  const { config, secrets, lab, image, baseUrl, user } = context;
  const { limits, requests } = lab.resources;
  const size = lab.options.size;
  return {
    ...secrets.env,
    ...listenWhereReached(secrets.env, config.port),
    ...(lab.options.enable_debug ? { DEBUG: 'TRUE' } : {}),
    ...(lab.options.reset_user_env ? { RESET_USER_ENV: 'TRUE' } : {}),
    ...(config.home.schema === 'image' ? {} : { HOME: homeDirectory(config, user) }),
    // git and mail programs read it
    ...(user.email === undefined ? {} : { EMAIL: user.email }),
    JUPYTER_IMAGE: image.reference,
    JUPYTER_IMAGE_SPEC: image.reference,
    IMAGE_DESCRIPTION: image.name,
    IMAGE_DIGEST: image.digest,
    CONTAINER_SIZE: `${capitalize(size)} (${formatFloat(limits.cpu)} CPU, ${showMemory(limits.memory)} RAM)`,
    CPU_GUARANTEE: formatFloat(requests.cpu),
    ...(isLimited(context, 'cpu') ? { CPU_LIMIT: formatFloat(limits.cpu) } : {}),
    MEM_GUARANTEE: String(requests.memory),
    ...(isLimited(context, 'memory') ? { MEM_LIMIT: String(limits.memory) } : {}),
    ...(config.defaultUrl === undefined ? {} : { JUPYTERHUB_DEFAULT_URL: config.defaultUrl }),
    JUPYTERHUB_ACTIVITY_INTERVAL: String(Math.ceil(config.activityInterval / 1000)),
    EXTERNAL_INSTANCE_URL: baseUrl,
    JUPYTERLAB_START_COMMAND: [...(config.command ?? []), ...config.args].map(quote).join(' '),
    ...(config.runtimeMountsDir === undefined ? {} : { NUBLADO_RUNTIME_MOUNTS_DIR: config.runtimeMountsDir }),
    ...Object.fromEntries(Object.entries(config.env).filter(([, value]) => !isExpanded(value))),
  };
}

/**
 * JupyterHub's defaults, 127.0.0.1 and port 0, are for labs on the hub's own machine: a server would listen on loopback and port
 * 80. In a pod it is reached through the lab's Service, so it listens on all addresses, and where the hub leaves the port open, on the
 * port of the Service.
 */
function listenWhereReached(env: Readonly<Record<string, string>>, port: number): Record<string, string> {
  const url = env[SERVICE_URL];
  if (url === undefined) return {};
  const reached = url.replace(LOOPBACK, '$10.0.0.0').replace(/^(https?:\/\/[^/]*):0(?=\/|$)/, `$1:${String(port)}`);
  return { [SERVICE_URL]: reached };
}

/** The environment as the Secret that the pod takes it from. */
export function buildEnvSecret(context: BuildContext): V1Secret {
  return {
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: spawnMetadata(context, context.names.envSecret),
    type: 'Opaque',
    data: encodeSecret(buildEnvironment(context)),
  };
}

/** Whether the lab has a token that is signed by Labwright, and a file in which it is renewed. */
export function hasSignedToken({ config, secrets }: BuildContext): boolean {
  return config.token.source === 'signed' && secrets.token !== null;
}

/** Merge patch of the lab's Secret: another token in the place of the one before. */
export function tokenPatch(token: string): object {
  return { type: SIGNED_TOKEN_TYPE, data: encodeSecret({ [TOKEN_KEY]: token }) };
}

/** The Secret with the user's token and the copied secrets; undefined when there is nothing to keep. */
export function buildLabSecret(context: BuildContext): V1Secret | undefined {
  const { secrets, names } = context;
  const type = hasSignedToken(context) ? SIGNED_TOKEN_TYPE : 'Opaque';
  const data = {
    ...(isShared(context) ? buildSecretFiles(context) : {}),
    ...secrets.data,
    ...(secrets.token === null ? {} : encodeSecret({ [TOKEN_KEY]: secrets.token })),
  };
  if (Object.keys(data).length === 0) return undefined;
  return { apiVersion: 'v1', kind: 'Secret', metadata: spawnMetadata(context, names.secret), type, data };
}

/** The registry credentials of the lab's pod; undefined when none are configured. */
export function buildPullSecret(context: BuildContext): V1Secret | undefined {
  const { pullSecret, names } = context;
  if (pullSecret === null) return undefined;
  const { type, data } = pullSecret;
  return {
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: spawnMetadata(context, names.pullSecret),
    type,
    data: { ...data },
  };
}

/** Variables of the notebook container that cannot be in the env Secret: references to other places. */
export function buildReferences({ config, names, secrets: { token } }: BuildContext): V1EnvVar[] {
  const secret = (name: string, key: string) => ({ name, valueFrom: { secretKeyRef: { name: names.secret, key } } });
  const nodeName = { fieldRef: { apiVersion: 'v1', fieldPath: 'spec.nodeName' } };
  return [
    ...(token === null ? [] : [secret('ACCESS_TOKEN', TOKEN_KEY), secret('NUBLADO_TOKEN', TOKEN_KEY)]),
    ...config.secrets.flatMap(({ env, secretKey }) => (env === undefined ? [] : [secret(env, secretKey)])),
    { name: 'KUBERNETES_NODE_NAME', valueFrom: nodeName },
    { name: 'K8S_NODE_NAME', valueFrom: nodeName },
  ];
}

/**
 * The variables of the configuration in which the kubelet fills in others (`$(NAME)`, `$$` for a dollar). It does so in what the pod says
 * itself only, not in what comes from a Secret. They come last, so that they may name any other.
 */
export function buildExpandedEnv({ env }: LabConfig): V1EnvVar[] {
  return Object.entries(env).flatMap(([name, value]) => (isExpanded(value) ? [{ name, value }] : []));
}

function isExpanded(value: string): boolean {
  return value.includes('$(') || value.includes('$$');
}

/** One word of a command as a shell reads it. */
function quote(word: string): string {
  return /^[A-Za-z0-9_@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'"'"'`)}'`;
}
