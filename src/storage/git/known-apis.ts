import type { BuildsConfig } from '../../config/index.ts';
import { isCommit } from '../../domain/git/git-ref.ts';
import type { HostApi } from './host-api.ts';

/** https://docs.github.com/rest/commits/commits#get-a-commit; the media type `sha` leaves out all but the hash. */
export function githubApi({ apiUrl }: BuildsConfig['repositories']['github']): HostApi {
  return {
    question: ({ url }, ref) => {
      const path = new URL(url).pathname.split('/').slice(-2).join('/');
      return {
        url: `${apiUrl}/repos/${path}/commits/${encodeURIComponent(ref)}`,
        accept: 'application/vnd.github.sha',
      };
    },
    commitOf: (body) => (isCommit(body.trim()) ? body.trim() : undefined),
    saysNoRef: (status) => status === 422,
    saysEmpty: (status) => status === 409,
  };
}

/** https://docs.gitlab.com/api/commits/#get-a-single-commit */
export function gitlabApi({ url: base }: BuildsConfig['repositories']['gitlab']): HostApi {
  return {
    question: ({ url }, ref) => {
      const project = url.slice(base.length + 1).replace(/\.git$/, '');
      const path = `${encodeURIComponent(decodeURIComponent(project))}/repository/commits/${encodeURIComponent(ref)}`;
      return { url: `${base}/api/v4/projects/${path}?stats=false`, accept: 'application/json' };
    },
    commitOf: (body) => {
      const { id } = parse(body);
      return typeof id === 'string' && isCommit(id) ? id : undefined;
    },
    // The same status for both: "404 Project Not Found" and "404 Commit Not Found".
    saysNoRef: (status, body) => {
      const { message } = parse(body);
      return status === 404 && typeof message === 'string' && message.includes('Commit');
    },
  };
}

function parse(body: string): Readonly<Record<string, unknown>> {
  try {
    return (JSON.parse(body) ?? {}) as Record<string, unknown>;
  } catch {
    return {};
  }
}
