import type { LabConfig } from '../../config/config.ts';
import { slugOf } from '../../domain/names.ts';
import type { LabUser } from '../../domain/user/user.ts';

const PLAIN = /^[A-Za-z0-9_][A-Za-z0-9._@+-]{0,63}$/;

/**
 * A user's name where it has to fit into passwd and into a path: itself if it can, otherwise its slug. A plain name with
 * the slug's `---` also becomes a slug, so that nobody can choose the name that stands for somebody else.
 */
export function unixName(username: string): string {
  return PLAIN.test(username) && !username.includes('---') ? username : slugOf(username);
}

/** The home directory inside the lab. Its servers share it. */
export function homeDirectory({ home }: LabConfig, user: Pick<LabUser, 'username' | 'home'>): string {
  if (home.schema === 'image') return home.prefix;
  if (user.home !== undefined) return user.home;
  const name = unixName(user.username);
  const parts = home.schema === 'username' ? [name] : [name.slice(0, 1), name];
  return [home.prefix, ...parts, ...(home.suffix === '' ? [] : [home.suffix])].join('/');
}
