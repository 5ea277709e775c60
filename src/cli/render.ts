import { LabBuilder, type LabInput } from '../builder/lab/lab-builder.ts';
import { listObjects, writeManifest } from '../builder/manifest.ts';
import {
  ConfigError,
  DEFAULT_NAMESPACE,
  loadConfig,
  resolveQuota,
  sandboxConfig,
  sizeResources,
  type Config,
} from '../config/index.ts';
import type { LabUser } from '../domain/user/user.ts';
import type { RenderCommand } from './arguments.ts';
import { printed, refused, type CommandResult } from './result.ts';

/** Stands for every value that only a real spawn knows. */
const PLACEHOLDER = 'placeholder';
const DEFAULT_ID = 1000;

/** `labwright render`: the objects of a lab as YAML, with placeholders where secrets would be. It asks no cluster. */
export async function render(command: RenderCommand): Promise<CommandResult> {
  let config: Config;
  try {
    config = command.config === undefined ? forTrying() : await loadConfig(command.config);
  } catch (error) {
    if (error instanceof ConfigError) return refused(error.message);
    throw error;
  }
  const size = config.lab.sizes.find(({ name }) => name === (command.size ?? config.lab.defaultSize));
  if (size === undefined) {
    return refused(`--size: expected one of ${config.lab.sizes.map(({ name }) => name).join(', ')}`, 2);
  }
  const builder = new LabBuilder(config.lab, {
    baseUrl: config.baseUrl,
    namespace: config.kubernetes.namespace ?? DEFAULT_NAMESPACE,
  });
  const user = findUser(command, config);
  const { namespace } = builder.buildObjectNames({ username: user.username, servername: command.server });
  const image = findImage(command, config);
  const servicePrefix = `/user/${[user.username, command.server].filter(Boolean).map(encodeURIComponent).join('/')}/`;
  const lab: LabInput['lab'] = {
    spawnId: PLACEHOLDER,
    user,
    servername: command.server,
    namespace,
    options: {
      size: size.name,
      enable_debug: command.debug,
      reset_user_env: command.resetUserEnv,
      image: image.reference,
    },
    image,
    resources: sizeResources(size),
    extendedResources: size.extendedResources,
    quota: resolveQuota(config, user),
    servicePrefix,
    createdAt: 0,
    deadline: config.lab.spawnTimeout,
  };
  const objects = builder.buildLab({ user, lab, image, ...placeholders(config, servicePrefix) });
  return printed(writeManifest(listObjects(objects)));
}

/** What the options say of the user; for the rest, what the configuration knows. */
function findUser(command: RenderCommand, { auth, users }: Config): LabUser {
  const username = command.user;
  const byToken = auth.tokens.find(({ user }) => user?.username === username)?.user;
  const byName = Object.hasOwn(users.byName, username) ? users.byName[username] : undefined;
  const known = byToken ?? byName;
  const facts = known ?? users.defaults;
  const uid = command.uid ?? facts?.uid ?? DEFAULT_ID;
  return {
    username,
    name: command.displayName ?? known?.name ?? null,
    uid,
    gid: command.gid ?? facts?.gid ?? uid,
    groups: command.groups.length > 0 ? command.groups : (facts?.groups ?? []),
  };
}

function findImage({ image }: RenderCommand, { images }: Config): LabInput['image'] {
  const listed = image === undefined ? images.list[0] : images.list.find(({ reference }) => reference === image);
  const reference = listed?.reference ?? image ?? '';
  return { reference, name: listed?.name ?? reference, digest: /@(sha256:.*)$/.exec(reference)?.[1] ?? '' };
}

function placeholders({ lab }: Config, servicePrefix: string): Pick<LabInput, 'secrets' | 'pullSecret'> {
  const encoded = Buffer.from(PLACEHOLDER).toString('base64');
  const registries = Buffer.from('{"auths":{}}').toString('base64');
  return {
    secrets: {
      env: { JUPYTERHUB_API_TOKEN: PLACEHOLDER, JUPYTERHUB_SERVICE_PREFIX: servicePrefix },
      token: lab.token.source === 'none' ? null : PLACEHOLDER,
      data: Object.fromEntries(lab.secrets.map(({ secretKey }) => [secretKey, encoded])),
    },
    pullSecret:
      lab.pullSecret === undefined
        ? null
        : { type: 'kubernetes.io/dockerconfigjson', data: { '.dockerconfigjson': registries } },
  };
}

function forTrying(): Config {
  return sandboxConfig({
    host: '127.0.0.1',
    port: 8080,
    userToken: PLACEHOLDER,
    hubToken: `${PLACEHOLDER} of the hub`,
  });
}
