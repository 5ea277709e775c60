import type { Repository } from './build.ts';

/** What BinderHub makes names of (`get_build_slug` of its providers). `version` is that of a DOI. */
export function binderSlugOf({ provider, url }: Repository, version: string): string {
  const path = () =>
    new URL(url).pathname
      .slice(1)
      .replace(/(?:\.git)+$/, '')
      .split('/');
  switch (provider) {
    case 'gh':
      return path().slice(-2).join('-');
    case 'gl':
      return path()
        .map((part) => part.replaceAll('-', '_-'))
        .join('-');
    case 'gist':
      return path().at(-1) ?? '';
    case 'zenodo':
      return `zenodo-${version}`;
    case 'git':
      return url;
  }
}
