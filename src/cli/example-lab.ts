import { LabBuilder, type LabInput, type LabObjects } from '../builder/lab/lab-builder.ts';
import {
  DEFAULT_NAMESPACE,
  repositoryOf,
  findOverlays,
  layCompute,
  namedImage,
  profileLayers,
  resolveQuota,
  sizeResources,
  type Config,
  type LabSizeConfig,
} from '../config/index.ts';
import type { ChosenProfile } from '../domain/lab/lab.ts';
import type { LabUser } from '../domain/user/user.ts';
import type { RenderCommand } from './arguments.ts';

/** Stands for every value that only a real spawn knows. */
export const PLACEHOLDER = 'placeholder';
const DEFAULT_ID = 1000;

/** Which lab: what `labwright render` takes. */
export type ExampleLab = Pick<
  RenderCommand,
  'user' | 'server' | 'image' | 'displayName' | 'uid' | 'gid' | 'groups' | 'admin'
> &
  Pick<RenderCommand, 'debug' | 'resetUserEnv'> & {
    /** Names of overlays; those that match the user when absent. */
    readonly overlays?: readonly string[];
    /** The profile and what is chosen for its options. */
    readonly profile?: ChosenProfile | undefined;
  };

/** The objects of a lab, with placeholders where secrets would be. It asks no cluster. */
export function buildExampleLab(config: Config, asked: ExampleLab, size: LabSizeConfig): LabObjects {
  const builder = new LabBuilder(config, config.kubernetes.namespace ?? DEFAULT_NAMESPACE);
  const user = findUser(asked, config);
  const layers = profileLayers(config.lab.profiles, asked.profile);
  const image = findImage({ image: namedImage(layers) ?? asked.image }, config);
  const compute = layCompute({ ...size, resources: sizeResources(size) }, layers);
  const servicePrefix = `/user/${[user.username, asked.server].filter(Boolean).map(encodeURIComponent).join('/')}/`;
  const lab: LabInput['lab'] = {
    spawnId: PLACEHOLDER,
    user,
    servername: asked.server,
    ...builder.placeOf({ user, servername: asked.server }),
    options: {
      size: size.name,
      enable_debug: asked.debug,
      reset_user_env: asked.resetUserEnv,
      image: image.reference,
    },
    image,
    overlays: asked.overlays ?? findOverlays(config.overlays, { ...user, admin: asked.admin }),
    ...(asked.profile && { profile: asked.profile }),
    ...compute,
    quota: resolveQuota(config, user),
    servicePrefix,
    createdAt: 0,
    deadline: config.lab.spawnTimeout,
  };
  return builder.buildLab({ user, lab, image, ...placeholders(config, servicePrefix) });
}

/** What the options say of the user; for the rest, what the configuration knows. */
function findUser(asked: ExampleLab, { auth, users }: Config): LabUser {
  const username = asked.user;
  const byToken = auth.tokens.find(({ user }) => user?.username === username)?.user;
  const byName = Object.hasOwn(users.byName, username) ? users.byName[username] : undefined;
  const known = byToken ?? byName;
  const facts = known ?? users.defaults;
  const uid = asked.uid ?? facts?.uid ?? DEFAULT_ID;
  return {
    username,
    name: asked.displayName ?? known?.name ?? null,
    uid,
    gid: asked.gid ?? facts?.gid ?? uid,
    groups: asked.groups.length > 0 ? asked.groups : (facts?.groups ?? []),
  };
}

/** The image that is named, or the first of the list; where there are only sources, one of the first that could be there. */
function findImage({ image }: Pick<ExampleLab, 'image'>, { images }: Config): LabInput['image'] {
  const listed = image === undefined ? images.list[0] : images.list.find(({ reference }) => reference === image);
  const [source] = images.sources;
  if (image === undefined && listed === undefined && source !== undefined) {
    const { recommended, pinned, aliases } = source.tags;
    const reference = `${repositoryOf(source)}:${recommended ?? pinned[0] ?? aliases[0] ?? 'latest'}`;
    return { reference, name: reference, digest: '', origin: source.name };
  }
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
