import { CONTROLLER_NAMESPACE } from '../hub/deployment.ts';
import { CONTROLLER_ACCOUNT } from './installation.ts';
import { inLab, type MovingScene, spawn, stop } from './labs.ts';
import { ACCOUNT, AUDIENCE, TOKEN_FILE } from './site.ts';

/** What accounts may do: that of Labwright, and that of labs. */
export const accountScene = { rights, token };

async function rights(scene: MovingScene): Promise<void> {
  const { transcript, installation, deployment, facts } = scene;
  const labs = ['-n', facts.namespace];
  const questions: readonly (readonly [string, boolean, readonly string[]])[] = [
    ['make pods in the namespace of labs', true, ['create', 'pods', ...labs]],
    ['watch pods there', true, ['watch', 'pods', ...labs]],
    ['read Secrets there', false, ['get', 'secrets', ...labs]],
    ['make pods in another namespace', false, ['create', 'pods', '-n', 'default']],
    ['make pods in its own namespace', false, ['create', 'pods', '-n', CONTROLLER_NAMESPACE]],
    ['list pods of all namespaces', false, ['list', 'pods', '--all-namespaces']],
    ['list namespaces', false, ['list', 'namespaces']],
    ['make namespaces', false, ['create', 'namespaces']],
    ['make PersistentVolumes', false, ['create', 'persistentvolumes']],
  ];
  for (const [what, expected, words] of questions) {
    const answer = await installation.may(...words);
    transcript.hold(`it may ${expected ? '' : 'not '}${what}`, answer === expected, answer ? 'yes' : 'no');
  }
  const bindings = await deployment.kubectl('get', 'clusterrolebindings', '-o', 'json');
  const { items } = JSON.parse(bindings) as {
    items: { metadata: { name: string }; subjects?: { name: string; namespace?: string }[] }[];
  };
  const mine = items.filter(({ subjects = [] }) =>
    subjects.some(({ name, namespace = '' }) => `system:serviceaccount:${namespace}:${name}` === CONTROLLER_ACCOUNT),
  );
  transcript.hold('no ClusterRole is bound to it', mine.length === 0, mine.map(({ metadata }) => metadata.name).join());
}

async function token(scene: MovingScene): Promise<void> {
  const { transcript, facts } = scene;
  await spawn(scene, 'ada', { profile: 'plain' });
  const jwt = await inLab(scene, 'ada', `cat ${TOKEN_FILE}`);
  const claims = JSON.parse(Buffer.from(jwt.split('.')[1] ?? '', 'base64url').toString('utf8')) as {
    aud: string[];
    sub: string;
    exp: number;
    iat: number;
  };
  transcript.hold(
    'the token in the lab has its audience and no other',
    claims.aud.join() === AUDIENCE,
    claims.aud.join(),
  );
  const account = `system:serviceaccount:${facts.namespace}:${ACCOUNT}`;
  transcript.hold('it is of the account that the site has made', claims.sub === account, claims.sub);
  transcript.hold('it is valid for an hour', claims.exp - claims.iat === 3600, `${claims.exp - claims.iat} s`);
  const call = `curl -sk -o /dev/null -w '%{http_code}' -H "authorization: Bearer $(cat ${TOKEN_FILE})" `;
  const status = await inLab(scene, 'ada', `${call} https://kubernetes.default.svc/api/v1/namespaces`);
  transcript.hold('the API server does not take it', status === '401', status);
  const api = await inLab(scene, 'ada', 'ls /var/run/secrets/kubernetes.io || true');
  transcript.hold('a token for the API server is not in the lab', api.includes('No such file'), api);
  await stop(scene, 'ada');
}
