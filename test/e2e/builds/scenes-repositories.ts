import { build, describe, holdReady, holdStream, logOf } from './following.ts';
import { commitAt } from './repositories.ts';
import type { BuildScene } from './setting.ts';

const ATTRIBUTES = '*.bin filter=lfs diff=lfs merge=lfs -text\n';

/** What is in Git LFS is in the image, read with the credentials of its host; what is not there fails the build. */
export async function filesInLfs(scene: BuildScene): Promise<void> {
  const { transcript, privateGit, git, baseImage } = scene;
  const files = {
    Dockerfile: `FROM ${baseImage}\nCOPY data.bin /srv/\nRUN cat /srv/data.bin\n`,
    '.gitattributes': ATTRIBUTES,
  };
  const kept = await privateGit.addRepository('ada/lfs', {
    ...files,
    'data.bin': privateGit.lfs.add('of the store\n'),
  });
  const built = await build(scene, kept.url);
  await holdReady(scene, 'a repository with a file in LFS', built);
  transcript.hold('the file is in it, and no pointer', logOf(built.events).includes('of the store'));
  const asked = privateGit.requests.filter(({ path }) => path.includes('/lfs'));
  const shown = (isObject: boolean) =>
    asked
      .filter(({ path }) => privateGit.lfs.isObject(path) === isObject)
      .map(({ hasAuthorization }) => hasAuthorization);
  transcript.hold(
    'its host was shown credentials, the store none',
    shown(false).includes(true) && !shown(true).includes(true),
  );

  const pointer = git.lfs.add('lost\n');
  git.lfs.clear();
  const lost = await git.addRepository('ada/lfs-lost', { ...files, 'data.bin': pointer });
  const failed = await build(scene, lost.url);
  holdStream(transcript, 'one whose file is lost', failed.events);
  transcript.hold('it fails because of that', failed.last?.reason === 'LfsUnavailable', describe(failed.last));
  transcript.hold('the file is named', failed.last?.message?.includes('data.bin') === true, describe(failed.last));
}

/** A commit that no branch has, by its ref and by its hash; one that nobody has does not come into the queue. */
export async function pullRequest(scene: BuildScene): Promise<void> {
  const { transcript, git, baseImage, labwright } = scene;
  const files = {
    Dockerfile: `FROM ${baseImage}\nCOPY . /srv/repo\nRUN cat /srv/repo/pulled.txt\n`,
    'pulled.txt': 'not yet\n',
  };
  const { url } = await git.addRepository('ada/pulled', files, { pulls: [7, 8] });
  for (const [what, ref] of [
    ['a pull request', 'refs/pull/7/head'],
    ['the commit of one', await commitAt(git, 'ada/pulled', 'refs/pull/8/head')],
  ] as const) {
    const built = await build(scene, url, { ref });
    await holdReady(scene, what, built);
    const number = what === 'a pull request' ? '7' : '8';
    transcript.hold('what it changes is built', new RegExp(`^${number}$`, 'm').test(logOf(built.events)));
  }
  const none = await labwright.builds.request({ repository: url, ref: 'f'.repeat(40) });
  const isTold = none.status === 404 && none.text.includes('does not have the commit');
  transcript.hold('a commit that is not there is refused before the queue', isTold, `${none.status} ${none.text}`);
}
