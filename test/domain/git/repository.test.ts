import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { binderSlugOf } from '../../../src/domain/build/binder-slug.ts';
import { BuildProblem } from '../../../src/domain/build/build.ts';
import { refCandidates } from '../../../src/domain/git/git-ref.ts';
import { parseBinderSpec, parseBuildPath, parseRef, parseRepository } from '../../../src/domain/git/repository.ts';
import { canary } from '../../support/canary.ts';

const hosts = { github: { url: 'https://github.com' }, gitlab: { url: 'https://gitlab.com' } };
const parse = (text: string) => parseRepository(text, hosts);
const github = { provider: 'gh', url: 'https://github.com/ada/notebooks' };

function problemOf(attempt: () => unknown): BuildProblem {
  try {
    attempt();
  } catch (error) {
    if (error instanceof BuildProblem) return error;
    throw error;
  }
  throw new Error('it was not refused');
}

describe('a repository as people write it', () => {
  it.each([
    'https://github.com/ada/notebooks',
    'https://GitHub.com/ada/notebooks.git',
    'https://www.github.com/ada/notebooks/',
    'http://github.com:80/ada/notebooks',
    'https://github.com:443/ada/notebooks//',
    'https://github.com./ada/notebooks',
    'https://github.com/%61da/notebooks',
    'https://%67ithub.com/ada/notebooks',
    'git://github.com/ada/notebooks.git',
    'ssh://git@github.com/ada/notebooks.git',
    'ssh://git@github.com:22/ada/notebooks',
    'git@github.com:ada/notebooks.git',
    'github.com:ada/notebooks',
    'ada/notebooks',
    '  ada/notebooks  ',
  ])('%s is the one of GitHub', (text) => {
    expect(parse(text)).toEqual(github);
  });

  it.each([
    ['https://gitlab.com/group/sub/lab', 'gl', 'https://gitlab.com/group/sub/lab.git'],
    ['git@gitlab.com:group/sub/lab.git', 'gl', 'https://gitlab.com/group/sub/lab.git'],
    ['https://Git.Example.org:443/a/b.git', 'git', 'https://git.example.org/a/b.git'],
    ['https://git.example.org:8443/a', 'git', 'https://git.example.org:8443/a'],
    ['http://0x7f.1/a', 'git', 'http://127.0.0.1/a'],
    ['http://[0:0::1]/a', 'git', 'http://[::1]/a'],
    ['https://bücher.example/a%7Eb', 'git', 'https://xn--bcher-kva.example/a~b'],
    ['git@git.example.org:a/b.git', 'git', 'ssh://git@git.example.org/a/b.git'],
    ['ssh://Git.example.org:22/a', 'git', 'ssh://git@git.example.org/a'],
    ['ssh://ada@git.example.org:443/a', 'git', 'ssh://ada@git.example.org:443/a'],
    ['https://gist.github.com/ada/8A9b0C1d2E3f4A5b6C7d8', 'gist', 'https://gist.github.com/8a9b0c1d2e3f4a5b6c7d8.git'],
    ['git@gist.github.com:8a9b0c1d2e3f4a5b6c7d8.git', 'gist', 'https://gist.github.com/8a9b0c1d2e3f4a5b6c7d8.git'],
    ['10.5281/ZENODO.3242074', 'zenodo', '10.5281/zenodo.3242074'],
    ['doi:10.5281/zenodo.3242074', 'zenodo', '10.5281/zenodo.3242074'],
    ['https://doi.org/10.5281/zenodo.3242074', 'zenodo', '10.5281/zenodo.3242074'],
    ['https://zenodo.org/records/3242074', 'zenodo', '10.5281/zenodo.3242074'],
  ])('%s is %s %s', (text, provider, url) => {
    expect(parse(text)).toEqual({ provider, url });
  });

  it('knows GitLab below a path, and GitHub at another host', () => {
    const own = { github: { url: 'http://ghe.example.org:8080' }, gitlab: { url: 'https://example.org/git' } };
    expect(parseRepository('ada/lab', own)).toEqual({ provider: 'gh', url: 'http://ghe.example.org:8080/ada/lab' });
    expect(parseRepository('https://example.org/git/a/b', own).provider).toBe('gl');
    expect(parseRepository('https://example.org/other/a/b', own).provider).toBe('git');
    expect(parseRepository('https://ghe.example.org/ada/lab', own).provider).toBe('git');
  });

  it('keeps and repeats no credential', () => {
    const secret = canary('url');
    for (const text of [
      `https://ada:${secret}@git.example.org/a`,
      `https://${secret}@github.com/ada/notebooks`,
      `https://${secret}@x@git.example.org/a`,
      `ssh://git:${secret}@git.example.org/a`,
      `https://git.example.org/a?token=${secret}`,
      `https://git.example.org/a#${secret}`,
      `https://[${secret}/a`,
      `-${secret}`,
    ]) {
      const { message, reason } = problemOf(() => parse(text));
      expect(message).not.toContain(secret);
      expect(reason).toBe('RepositoryInvalid');
    }
  });

  it.each([
    '',
    'notebooks',
    '--upload-pack=touch /tmp/x',
    'ext::sh -c touch%20/tmp/x',
    'file:///etc',
    '/etc/passwd',
    'ftp://example.org/a',
    'https://example.org',
    'https://example.org/',
    'https://example.org/a/../b',
    'https://example.org/a/%2e%2e/b',
    'https://example.org/a//b',
    'https://example.org/a%2fb',
    'https://example.org/a%5cb',
    'https://example.org/a%00',
    'https://example.org/a%0ab',
    'https://example.org/a%ff',
    'https://example.org\\@evil.example/a',
    'https://example.org/a\u0000',
    'https://example.org/a b',
    'https://example.org:0/a',
    'https://example.org:70000/a',
    'https:///a/b',
    'ssh://-oProxyCommand=x/a',
    'ssh://-x@example.org/a',
    '-x@example.org:a',
    'https://github.com/ada',
    'https://github.com/ada/notebooks/tree/main',
    'https://github.com/ada/..git',
    'https://gitlab.com/group/lab/-/tree/main',
    'https://gist.github.com/ada',
    '10.5281/../../admin',
    `https://example.org/${'a'.repeat(2_000)}`,
  ])('refuses %j', (text) => {
    expect(problemOf(() => parse(text)).reason).toBe('RepositoryInvalid');
  });

  const name = fc.stringMatching(/^[A-Za-z0-9_][A-Za-z0-9_-]{0,9}$/);
  const part = fc.string({ unit: 'grapheme', minLength: 1, maxLength: 8 }).filter((text) => {
    return !/^\.{1,2}$/.test(text) && !/[/\\\u0000-\u001f\u007f-\u009f\u2028\u2029]/.test(text) && text.isWellFormed();
  });
  const place = fc.record({
    host: fc.constantFrom('git.example.org', 'github.com', 'gitlab.com', 'gist.github.com', 'example.org'),
    scheme: fc.constantFrom('https', 'http', 'ssh'),
    port: fc.constantFrom('', ':22', ':80', ':443', ':8443'),
    path: fc.array(fc.oneof(name, part), { minLength: 1, maxLength: 3 }),
  });

  it('is the same when it is read again', () => {
    fc.assert(
      fc.property(place, ({ host, scheme, port, path }) => {
        const text = `${scheme}://${host}${port}/${path.map(encodeURIComponent).join('/')}`;
        let once: ReturnType<typeof parse>;
        try {
          once = parse(text);
        } catch (error) {
          expect(error).toBeInstanceOf(BuildProblem);
          return;
        }
        expect(parse(once.url)).toEqual(once);
        expect(once.url).not.toMatch(/[\s\\?#]/);
      }),
      { numRuns: 3_000 },
    );
  });

  it('is never another one of the same host', () => {
    fc.assert(
      fc.property(
        fc.array(part, { minLength: 1, maxLength: 3 }),
        fc.array(part, { minLength: 1, maxLength: 3 }),
        (one, other) => {
          const [a, b] = [one, other].map((path) => {
            return parse(`https://git.example.org/${path.map(encodeURIComponent).join('/')}`).url;
          });
          expect(a === b).toBe(one.length === other.length && one.every((each, index) => each === other[index]));
        },
      ),
      { numRuns: 3_000 },
    );
  });

  it('is refused with a sentence, whatever the text, and never with another error', () => {
    const piece = fc.constantFrom(
      'https://',
      'ssh://',
      'git@',
      ':',
      '@',
      '/',
      '..',
      '%',
      '%2f',
      'github.com',
      '[',
      ']',
      '?',
      'a',
      '\0',
      '\ud800',
      '.git',
      'doi:',
      '10.5281/',
    );
    fc.assert(
      fc.property(fc.array(fc.oneof(piece, fc.string({ maxLength: 3 })), { maxLength: 8 }), (pieces) => {
        try {
          expect(parse(pieces.join('')).url).not.toMatch(/[\s\0\\]/);
        } catch (error) {
          expect(error).toBeInstanceOf(BuildProblem);
        }
      }),
      { numRuns: 5_000 },
    );
  });
});

describe('a BinderHub address', () => {
  const binder = (provider: string, spec: string) => {
    const { repository, ref } = parseBinderSpec(provider, spec, hosts);
    return [repository.provider, repository.url, ref, binderSlugOf(repository, '3242074')];
  };

  it.each([
    ['gh', 'ada/notebooks/main', ['gh', github.url, 'main', 'ada-notebooks']],
    ['gh', 'ada/notebooks.git/feature/one', ['gh', github.url, 'feature/one', 'ada-notebooks']],
    ['gh', 'ada/notebooks/feature%2Fone', ['gh', github.url, 'feature/one', 'ada-notebooks']],
    ['gh', 'ada/notebooks', ['gh', github.url, 'HEAD', 'ada-notebooks']],
    [
      'gl',
      'gitlab-org%2Fgitlab-foss/master',
      ['gl', 'https://gitlab.com/gitlab-org/gitlab-foss.git', 'master', 'gitlab_-org-gitlab_-foss'],
    ],
    [
      'git',
      'https%3A%2F%2Fgitlab.example.org%2FGroup%2FSub%2FRepo.git/a/b',
      ['git', 'https://gitlab.example.org/Group/Sub/Repo.git', 'a/b', 'https://gitlab.example.org/Group/Sub/Repo.git'],
    ],
    ['git', 'git%40h.org%3Ap/HEAD', ['git', 'ssh://git@h.org/p', 'HEAD', 'ssh://git@h.org/p']],
    [
      'gist',
      'ada/8a9b0c1d2e3f4a5b6c7d8/master',
      ['gist', 'https://gist.github.com/8a9b0c1d2e3f4a5b6c7d8.git', 'master', '8a9b0c1d2e3f4a5b6c7d8'],
    ],
    ['zenodo', '10.5281/zenodo.3242074', ['zenodo', '10.5281/zenodo.3242074', 'HEAD', 'zenodo-3242074']],
    ['zenodo', '10.5281%2Fzenodo.3242074/', ['zenodo', '10.5281/zenodo.3242074', 'HEAD', 'zenodo-3242074']],
  ])('%s/%s', (provider, spec, expected) => {
    expect(binder(provider, spec)).toEqual(expected);
  });

  it.each([
    ['gh', 'ada'],
    ['gh', 'ada/..%2F..%2Fx/main'],
    ['gh', '../notebooks/main'],
    ['gl', 'lab/main'],
    ['git', 'ada/notebooks/main'],
    ['git', 'https%3A%2F%2Fada%3Apw%40h.org%2Fa/main'],
    ['gist', 'ada'],
    ['zenodo', 'zenodo.3242074'],
    ['hg', 'ada/notebooks/main'],
    ['constructor', 'ada/notebooks/main'],
    ['gh', 'ada/notebooks/%zz'],
  ])('%s/%s is refused', (provider, spec) => {
    expect(problemOf(() => binder(provider, spec)).reason).toBe('RepositoryInvalid');
  });
});

describe('a slash that is not encoded', () => {
  it.each([
    ['gl', 'group/lab/main'],
    ['gl', 'group/sub/lab'],
    ['git', 'https://git.example.org/ada/lab.git/main'],
    ['git', 'https:/git.example.org/ada/lab.git'],
    ['git', 'git.example.org/ada/lab/main'],
  ])('is what is wrong with %s/%s', (provider, spec) => {
    const { reason, message } = problemOf(() => parseBinderSpec(provider, spec, hosts));
    expect([reason, message]).toEqual(['RepositoryInvalid', expect.stringContaining('%2F')]);
  });
});

describe('a ref', () => {
  it.each(['main', 'feature/one', 'v1.0', 'refs/pull/1/head', 'HEAD', 'ünïcode'])('%s is one', (text) => {
    expect(parseRef(text)).toBe(text);
  });

  it('is HEAD when there is none, and a commit is in lower case', () => {
    expect(parseRef('')).toBe('HEAD');
    expect(parseRef('A'.repeat(40))).toBe('a'.repeat(40));
  });

  it.each([
    '-x',
    '--upload-pack=x',
    'a..b',
    'a b',
    'a\0',
    'a\nb',
    'a~1',
    'a^{}',
    'a:b',
    'a?',
    'a*',
    'a[',
    'a\\b',
    '@',
    'a@{1}',
    '/a',
    'a/',
    'a//b',
    '.a',
    'a/.b',
    'a.',
    'a.lock',
    'a.lock/b',
    'a'.repeat(300),
  ])('%j is none', (text) => {
    expect(problemOf(() => parseRef(text)).reason).toBe('RefNotFound');
  });

  it('means a tag before a branch, as for Git', () => {
    expect(refCandidates('v1').slice(0, 3)).toEqual(['refs/v1', 'refs/tags/v1', 'refs/heads/v1']);
    expect(refCandidates('HEAD')[0]).toBe('HEAD');
    expect(refCandidates('main')).not.toContain('main');
  });
});

describe('a directory in a repository', () => {
  it.each([
    ['', ''],
    ['/', ''],
    ['a/b', 'a/b'],
    ['/a/b/', 'a/b'],
    ['a b/ü', 'a b/ü'],
  ])('%j is %j', (text, path) => {
    expect(parseBuildPath(text)).toBe(path);
  });

  it.each(['..', 'a/../b', './a', 'a//b', '-x', '/-x', 'a\0', 'a\\b', 'a\n', 'a'.repeat(1_001)])(
    '%j is refused',
    (text) => {
      expect(problemOf(() => parseBuildPath(text)).reason).toBe('RepositoryInvalid');
    },
  );
});

describe('a GitHub that has an address and no name', () => {
  const hosts = { github: { url: 'http://127.0.0.1:3000' }, gitlab: { url: 'https://gitlab.com' } };

  it.each(['http://127.0.0.1:3000/ada/a', 'ada/a'])('has the repository %s', (text) => {
    expect(parseRepository(text, hosts)).toEqual({ provider: 'gh', url: 'http://127.0.0.1:3000/ada/a' });
  });

  it('has no gists, and other hosts have repositories', () => {
    expect(problemOf(() => parseBinderSpec('gist', `ada/${'a'.repeat(20)}`, hosts)).reason).toBe('RepositoryInvalid');
    expect(parseRepository('https://git.example.org/a/b', hosts).provider).toBe('git');
  });
});

it.each(['ada/notebooks/', 'ada/notebooks//', 'https://github.com/ada/notebooks/'])(
  '%s is a repository of GitHub',
  (text) => {
    const hosts = { github: { url: 'https://github.com' }, gitlab: { url: 'https://gitlab.com' } };
    expect(parseRepository(text, hosts).url).toBe('https://github.com/ada/notebooks');
  },
);
