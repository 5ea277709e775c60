import type { Difference, Rule } from './difference.ts';

const ENVIRONMENT = /^(?:env |file \/etc\/nublado\/environment\/)/;
const isEnv = ({ fact }: Difference, ...names: readonly string[]) =>
  ENVIRONMENT.test(fact) && names.includes(fact.replace(ENVIRONMENT, ''));
const withoutMode = (file = '') => file.replace(/^mode \d+: /, '');

/** What explains the differences from the pods of Nublado's controller. */
export const RULES: readonly Rule[] = [
  {
    name: 'confined',
    kind: 'better',
    why:
      'Containers have the seccomp profile of the runtime, and no capabilities in the spelling that Pod Security asks for. The namespace ' +
      'enforces the strictest level of Pod Security that the site leaves possible.',
    holds: ({ fact, ours }) =>
      (fact === 'capabilities' && ours === '{"drop":["ALL"]}') ||
      (fact === 'seccomp' && ours === 'RuntimeDefault') ||
      (fact === 'pod security' && ours !== undefined),
  },
  {
    name: 'reached by the hub only',
    kind: 'better',
    why:
      'Hub and proxy in their own namespace reach a lab. With Nublado any pod of any namespace does that calls itself `app: jupyterhub`, ' +
      'and every pod of the namespace of the lab.',
    holds: ({ fact }) => fact.startsWith('reached by pods '),
  },
  {
    name: 'metadata service',
    kind: 'better',
    why: 'The metadata service of a cloud is kept away. Everything else can be reached, as before.',
    holds: ({ fact, ours }) => fact === 'reaches the metadata service of the cloud' && ours === 'no',
  },
  {
    name: 'startup probe',
    kind: 'better',
    why: 'The pod is ready when the server listens. With Nublado it is when the container runs, and the hub asks for itself.',
    holds: ({ fact, theirs }) => fact === 'startup probe' && theirs === undefined,
  },
  {
    name: 'no service links',
    kind: 'better',
    why: 'Services of the namespace do not become variables of the lab.',
    holds: ({ fact, ours }) => fact === 'pod enableServiceLinks' && ours === 'false',
  },
  {
    name: 'own account',
    kind: 'better',
    why: 'The pod runs with a service account of the lab, without rights and token, and does not wait for the cluster to make the default one.',
    holds: ({ fact, ours }) => fact === 'service account' && ours === 'lab',
  },
  {
    name: 'known to dashboards',
    kind: 'better',
    why: "Labels and annotations of KubeSpawner's pods, by which dashboards and tools for costs find servers.",
    holds: ({ fact, theirs }) =>
      theirs === undefined &&
      /^(?:labels (?:app|component|app\.kubernetes\.io\/component)$|(?:labels|annotations) hub\.jupyter\.org\/)/.test(
        fact,
      ),
  },
  {
    name: 'no name',
    kind: 'better',
    why: 'The field of the name in passwd is empty for users without one, who are called None with Nublado.',
    holds: ({ fact, theirs, ours }) => fact === 'file /etc/passwd' && theirs?.replace(':None:', '::') === ours,
  },
  {
    name: 'home',
    kind: 'better',
    why: 'HOME is set also for programs that do not look it up in passwd, and that run before the lab.',
    holds: (difference) => isEnv(difference, 'HOME') && difference.theirs === undefined,
  },
  {
    name: 'own labels',
    kind: 'neutral',
    why:
      'Labels and annotations of its own, by which Labwright finds what belongs to a lab, in the place of those of Nublado. Rules of the site ' +
      'that select `nublado.lsst.io/category: lab` have to select `labwright.dev/kind: lab`.',
    holds: ({ fact, theirs, ours }) =>
      /^(?:labels|annotations) (?:nublado\.lsst\.io|labwright\.dev|app\.kubernetes\.io\/managed-by)/.test(fact) &&
      (theirs === undefined || ours === undefined),
  },
  {
    name: 'name of the pull secret',
    kind: 'neutral',
    why: 'The copy of the Secret with the credentials of the registry has another name.',
    holds: ({ fact, theirs, ours }) =>
      fact === 'pod imagePullSecrets' && theirs?.replace('pull-secret', 'lab-pull-secret') === ours,
  },
  {
    name: 'modes',
    kind: 'neutral',
    why: 'Files in directories that are read-only have permissions that say so.',
    holds: ({ fact, theirs, ours }) =>
      fact.startsWith('file /etc/nublado/') &&
      theirs?.startsWith('mode 644: ') === true &&
      withoutMode(theirs) === withoutMode(ours),
  },
  {
    name: 'hub',
    kind: 'neutral',
    why: 'That the hub is reached is said by a rule of its own.',
    holds: ({ fact, theirs }) =>
      fact === 'reaches pods app=jupyterhub,component=hub of nublado' && theirs === undefined,
  },
  {
    name: 'ends soon',
    kind: 'neutral',
    why: 'A lab that is stopped has five seconds to end. Nublado gives it one when it deletes the pod.',
    holds: ({ fact }) => fact === 'pod terminationGracePeriodSeconds',
  },
  {
    name: 'not started again',
    kind: 'neutral',
    why: 'A server that ends is not started again behind the back of the hub: the hub says why it ended, and starts another one.',
    holds: ({ fact, theirs, ours }) => fact === 'pod restartPolicy' && theirs === 'OnFailure' && ours === 'Never',
  },
  {
    name: 'discovery',
    kind: 'neutral',
    why:
      'The file of service discovery is written by a container before the lab, which asks Repertoire as the controller of Nublado does, with the ' +
      'library in its image. A lab starts without the file where Repertoire does not answer.',
    holds: ({ fact, of, container, ours }) =>
      (of === 'before' && container === 'lab-discovery') ||
      (fact === 'file /etc/nublado/discovery/v1.json' && ours === undefined) ||
      fact === 'mount /etc/nublado/discovery',
  },
  {
    name: 'privileged root',
    kind: 'neutral',
    why: 'The container that makes the home directory has the gid 0 as well as the uid, may write into its own file system, and sees /tmp.',
    holds: ({ fact, container, theirs, ours }) =>
      container === 'nublado-std-inithome' &&
      ((fact === 'gid' && ours === '0') ||
        (fact === 'root file system' && ours === 'writable') ||
        (fact === 'mount /tmp' && theirs === undefined)),
  },
  {
    name: 'init containers see the lab',
    kind: 'neutral',
    why: 'An init container that sees what the lab sees is told of its machine, too.',
    holds: ({ of, fact, theirs }) =>
      of === 'before' && theirs === undefined && /^env (?:K8S|KUBERNETES)_NODE_NAME$/.test(fact),
  },
];
