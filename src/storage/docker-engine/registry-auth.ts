import { z } from 'zod';

const Config = z.object({
  auths: z
    .record(
      z.string(),
      z.object({ auth: z.string().optional(), username: z.string().optional(), password: z.string().optional() }),
    )
    .default({}),
});

/** Keys that Docker Hub has in a `config.json`. */
const HUB = ['https://index.docker.io/v1/', 'index.docker.io', 'docker.io'];

/**
 * The header `X-Registry-Auth` for one image: what a docker `config.json` has for its registry.
 *
 * @returns undefined when it has nothing, or cannot be read
 */
export function registryAuth(config: string | null, image: string): string | undefined {
  if (config === null) return undefined;
  const first = image.split('/')[0] ?? '';
  const isHost = image.includes('/') && (/[.:]/.test(first) || first === 'localhost');
  const keys = isHost ? [first, `https://${first}`, `http://${first}`] : HUB;
  const auths = parse(config);
  const entry = keys.map((key) => auths[key]).find((found) => found !== undefined);
  if (entry === undefined) return undefined;
  const [, username, password] = /^([^:]*):(.*)$/s.exec(Buffer.from(entry.auth ?? '', 'base64').toString()) ?? [];
  const auth = {
    username: entry.username ?? username,
    password: entry.password ?? password,
    serveraddress: keys[0],
  };
  return Buffer.from(JSON.stringify(auth)).toString('base64url');
}

function parse(config: string): z.infer<typeof Config>['auths'] {
  try {
    return Config.parse(JSON.parse(config)).auths;
  } catch {
    return {};
  }
}
