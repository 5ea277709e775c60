import { type Config, knownSources } from '../config/index.ts';

/** Users for whom no lab can be made, since nothing says their ids. */
export function remarksOnUsers({ users, auth }: Pick<Config, 'users' | 'auth'>): string[] {
  const sources = knownSources({ users, auth });
  if (sources.length === 0)
    return ['nothing says the uid and gid of users, and no lab starts without (users.defaults).'];
  if (sources.every((source) => source === 'static')) {
    return ['users who are not in the configuration start no labs: nothing says their uid and gid (users.defaults).'];
  }
  return [];
}
