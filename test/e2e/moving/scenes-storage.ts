import { inLab, type MovingScene, podOf, spawn, stop, writeFile } from './labs.ts';
import { HOMES_CLAIM } from './site.ts';

const USERS = ['ada', 'bob.b'] as const;

/** Each sees its own files on the claim of the site after a restart, and nobody else's. */
export async function homesScene(scene: MovingScene): Promise<void> {
  const { transcript } = scene;
  const fileOf = (username: string) => ({ name: `of-${username}.txt`, content: `what ${username} wrote` });
  await Promise.all(USERS.map((username) => spawn(scene, username, { profile: 'plain' })));
  for (const username of USERS) {
    const { pod, namespace, name } = await podOf(scene, username);
    const claims = pod.spec?.volumes?.flatMap(({ persistentVolumeClaim: claim }) => claim?.claimName ?? []) ?? [];
    const isThere = namespace === scene.facts.namespace && claims.join() === HOMES_CLAIM;
    transcript.hold(
      `${username} is in the shared namespace, on the claim of the site`,
      isThere,
      `${name}: ${claims.join()}`,
    );
    const status = await writeFile(scene, username, fileOf(username));
    transcript.hold(`${username} writes a file in JupyterLab`, status === 201, String(status));
  }
  await Promise.all(USERS.map((username) => stop(scene, username)));
  await Promise.all(USERS.map((username) => spawn(scene, username, { profile: 'plain' })));
  for (const username of USERS) {
    const { name, content } = fileOf(username);
    const read = await inLab(scene, username, `cat /home/jovyan/${name}`);
    transcript.hold(`after a restart ${username} reads what ${username} wrote`, read === content, read);
    const listed = await inLab(scene, username, "ls -A /home/jovyan | grep '^of-'; ls -A /home");
    transcript.hold('its home has no file of anybody else', listed === `${name}\njovyan`, listed.replaceAll('\n', ' '));
    const found = await inLab(scene, username, "find / -name 'of-*.txt' -not -path '/proc/*' 2>/dev/null || true");
    transcript.hold('and neither has any other place of the lab', found === `/home/jovyan/${name}`, found);
  }
  await Promise.all(USERS.map((username) => stop(scene, username)));
}

/** The lab reaches the database as on a machine of its own, and nobody else does. */
export async function databaseScene(scene: MovingScene): Promise<void> {
  const { transcript } = scene;
  const query = (statement: string) =>
    inLab(scene, 'ada', `curl -sS --data-binary "${statement}" http://localhost:5432/`);
  await spawn(scene, 'ada', { profile: 'database' });
  const { pod } = await podOf(scene, 'ada');
  const sidecars = pod.status?.initContainerStatuses?.map(
    ({ name, ready }) => `${name} ${ready ? 'ready' : 'not ready'}`,
  );
  transcript.hold('the database runs beside the lab', sidecars?.join() === 'database ready', sidecars?.join());
  await query('create table stars (name text)');
  await query("insert into stars values ('Mizar')");
  const rows = await query('select name from stars');
  transcript.hold('the lab writes and reads rows at localhost', rows === "[('Mizar',)]", rows);
  const outside = await fetch(`http://${pod.status?.podIP}:5432/`, { signal: AbortSignal.timeout(5_000) }).then(
    ({ status }) => `HTTP ${status}`,
    () => 'no answer',
  );
  transcript.hold('it does not answer at the address of the pod', outside === 'no answer', outside);
  await stop(scene, 'ada');
  await spawn(scene, 'ada', { profile: 'database' });
  const kept = await query('select name from stars');
  transcript.hold('the rows are there in the next lab', kept === "[('Mizar',)]", kept);
  await stop(scene, 'ada');
}
