import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { buildObjectName } from '../../../src/domain/build/build-intent.ts';
import { Secrets } from '../../../src/storage/kubernetes/resources.ts';
import { watchText } from '../../support/canary.ts';
import type { GitServer } from '../../support/git-server.ts';
import { build, describe, follow, holdReady, holdStream, linesOf, logOf } from './following.ts';
import { watchObjects } from './objects.ts';
import { repositoryOf } from './repositories.ts';
import type { BuildScene } from './setting.ts';

/** A repository that only those get who have its password; where that is then. */
export async function withCredentials(scene: BuildScene): Promise<void> {
  const { transcript, privateGit, gates, baseImage, labwright, cluster, registry } = scene;
  const { url } = await privateGit.addRepository('ada/private', {
    Dockerfile: `FROM ${baseImage}\nCOPY . /srv/repo\nRUN ${gates.pass('private')}\n`,
    'private.txt': 'for members only\n',
  });
  const { status, state } = await labwright.builds.request({ repository: url });
  transcript.hold('a repository with credentials is asked for', status === 201, `${status}`);
  const reading = follow(scene, labwright, state.id);
  await gates.reached('private');
  const ref = { namespace: labwright.buildNamespace, name: buildObjectName(state.id) };
  const keys = Object.keys((await cluster.client.get(Secrets, ref))?.data ?? {}).toSorted();
  transcript.hold(
    'while it runs, the Secret of the build has the credentials',
    ['config.json', 'git-credentials', 'gitconfig'].every((key) => keys.includes(key)),
    keys.join(' '),
  );
  transcript.say(`  ${await watchObjects(scene)} objects looked through meanwhile`);
  gates.open('private');
  const { events, last } = await reading;
  holdStream(transcript, 'the build', events);
  await holdReady(scene, 'the build', { last, state: (await labwright.builds.get(state.id)).state });
  transcript.hold('its server was shown credentials', wasShown(privateGit, '/ada/private'));
  const texts = await registry.textsOf(state.image, baseImage);
  for (const [what, text] of Object.entries(texts)) watchText(text, `${what} of the image of ${url}`);
  const size = Object.values(texts).reduce((sum, { length }) => sum + length, 0);
  const isWhole = Object.values(texts).some((text) => text.includes('for members only'));
  transcript.hold('its image was looked through: configuration, history, layers', isWhole, `${size} bytes`);
}

/** Nobody gets in without them, and the answer says so. */
export async function withoutCredentials(scene: BuildScene): Promise<void> {
  const { transcript, otherGit, baseImage, labwright } = scene;
  const { url } = await otherGit.addRepository('eve/secret', repositoryOf(baseImage, ['echo never']));
  const { status, text } = await labwright.builds.request({ repository: url });
  transcript.hold('a repository that wants credentials nobody has is refused', status === 404, `${status} ${text}`);
  transcript.hold('its server was shown none', !wasShown(otherGit, '/eve/secret'));
}

/** Credentials go to the host they are for, and not to those of submodules. */
export async function submodules(scene: BuildScene): Promise<void> {
  const { transcript, git, privateGit, otherGit, baseImage } = scene;
  const open = await git.addRepository('ada/module', { 'module.txt': 'of the module\n' });
  const closed = await otherGit.addRepository('eve/module', { 'module.txt': 'never seen\n' });
  const files = { Dockerfile: `FROM ${baseImage}\nCOPY module /srv/module\nRUN cat /srv/module/module.txt\n` };
  const first = await privateGit.addRepository('ada/open-module', files, { submodules: { module: open } });
  const built = await build(scene, first.url);
  await holdReady(scene, 'a repository with a submodule on another host', built);
  transcript.hold('the submodule is in it', logOf(built.events).includes('of the module'));
  transcript.hold('its host was shown no credentials', !wasShown(git, '/ada/module'));

  const second = await privateGit.addRepository('ada/closed-module', files, { submodules: { module: closed } });
  const failed = await build(scene, second.url);
  holdStream(transcript, 'one whose submodule wants credentials', failed.events);
  const isClear =
    failed.last?.reason === 'SubmoduleUnavailable' && /"module".* no such repository/.test(failed.last.message ?? '');
  transcript.hold('it fails, and says which and why', isClear, describe(failed.last));
  const asked = otherGit.requests.some(({ path }) => path.startsWith('/eve/module'));
  transcript.hold('its host was asked, and shown no credentials', asked && !wasShown(otherGit, '/eve/module'));
}

/** What the steps of a build can get at. */
export async function attacks(scene: BuildScene): Promise<void> {
  const { transcript, privateGit, baseImage, cluster } = scene;
  const { url } = await privateGit.addRepository('eve/attack', {
    'attack.py': await readFile(join(import.meta.dirname, 'attack.py'), 'utf8'),
    Dockerfile: `FROM ${baseImage}\nCOPY attack.py /\nRUN CLUSTER_HOST=${cluster.host} python3 /attack.py\n`,
  });
  const built = await build(scene, url);
  const said = linesOf(built.events).map(({ text = '' }) => text.trim());
  for (const line of said.filter((text) => /^(?:attack|network): /.test(text))) transcript.say(`  ${line}`);
  const none = [
    'files of secrets: 0',
    'tokens of Kubernetes: 0',
    'environments and arguments with credentials: 0',
    'memories with credentials: 0',
    'taking mounts away works: no',
  ];
  for (const line of none) transcript.hold(`a step finds ${line}`, said.includes(`attack: ${line}`));
  transcript.say('  networks are not tried: this cluster has NetworkPolicy objects and nothing that enforces them');
}

function wasShown({ requests }: GitServer, path: string): boolean {
  return requests.some((request) => request.path.startsWith(path) && request.hasAuthorization);
}
