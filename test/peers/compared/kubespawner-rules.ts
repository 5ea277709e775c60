import type { Difference, Rule } from './difference.ts';

const isOne = (fact: string, ...names: readonly string[]) => names.includes(fact);
const asNumbers = ({ theirs, ours }: Difference) => [Number(theirs), Number(ours)] as const;
const MORE_ENV =
  /^env (?:CONTAINER_SIZE|IMAGE_DESCRIPTION|IMAGE_DIGEST|EXTERNAL_INSTANCE_URL|JUPYTERLAB_START_COMMAND|JUPYTERHUB_ACTIVITY_INTERVAL|K8S_NODE_NAME|KUBERNETES_NODE_NAME)$/;

/** What explains the differences from KubeSpawner's pods. */
export const RULES: readonly Rule[] = [
  {
    name: 'metadata service',
    kind: 'better',
    why: 'The metadata service of the cloud is kept away by the NetworkPolicy, not by a privileged container that runs before each lab.',
    holds: ({ of, container, ours }) => of === 'before' && container === 'block-cloud-metadata' && ours === undefined,
  },
  {
    name: 'confined',
    kind: 'better',
    why: 'Containers have no capabilities, the seccomp profile of the runtime, and are never root where they do not ask for it.',
    holds: ({ fact, ours }) =>
      (fact === 'capabilities' && ours === '{"drop":["ALL"]}') ||
      (fact === 'seccomp' && ours === 'RuntimeDefault') ||
      (isOne(fact, 'may be root', 'may gain privileges') && ours === 'no'),
  },
  {
    name: 'no token',
    kind: 'better',
    why: 'A lab has no token for the API server, also where a service account is named. Clouds that hand out credentials by account do so without.',
    holds: ({ fact, ours }) => fact === 'token for the API server' && ours === 'none',
  },
  {
    name: 'startup probe',
    kind: 'better',
    why: 'The pod is ready when the server listens; KubeSpawner asks for itself once the container runs.',
    holds: ({ fact, theirs }) => fact === 'startup probe' && theirs === undefined,
  },
  {
    name: 'no service links',
    kind: 'better',
    why: 'Services of the namespace do not become variables of the lab.',
    holds: ({ fact, ours }) => fact === 'pod enableServiceLinks' && ours === 'false',
  },
  {
    name: 'native sidecars',
    kind: 'better',
    why: 'Sidecars run before the lab starts, and end with it; beside it they come up at any time, and keep the pod from ending.',
    holds: ({ fact }) => fact === 'sidecars start',
  },
  {
    name: 'more variables',
    kind: 'better',
    why: 'Labs are told of their image, their size, their machine and the address of the site, in the words of Nublado.',
    holds: ({ of, fact, theirs }) => of === 'pod' && theirs === undefined && MORE_ENV.test(fact),
  },
  {
    name: 'passwd',
    kind: 'neutral',
    why: 'passwd and group name the user of the hub; uid and home directory are those of the image.',
    holds: ({ fact, theirs }) => isOne(fact, 'file /etc/passwd', 'file /etc/group') && theirs === undefined,
  },
  {
    name: 'tmp',
    kind: 'neutral',
    why: '/tmp is an empty directory of the pod, not of the container.',
    holds: ({ fact, theirs }) => fact === 'mount /tmp' && theirs === undefined,
  },
  {
    name: 'gid',
    kind: 'neutral',
    why:
      'The gid is that of `fsGid`, which is a further group there, beside the gid that the image gives. Files belong to the same uid; volumes ' +
      'are handed to the group where no other machine uses them.',
    holds: ({ of, fact, theirs, ours }) =>
      (fact === 'gid' && theirs === 'that of the image' && (ours === '100' || of !== 'pod')) ||
      (fact === 'further groups' && theirs === '[100]' && ours === undefined) ||
      (fact === 'group of volumes' && theirs === '100' && ours === undefined),
  },
  {
    name: 'rounded',
    kind: 'neutral',
    why: 'CPU is rounded up to a thousandth, and memory to a byte, also in the variables that tell of them.',
    holds: (difference) => {
      const [theirs, ours] = asNumbers(difference);
      const unit = /cpu/i.test(difference.fact) ? 0.001 : 1;
      return /^(?:limit|request|env (?:CPU|MEM)_)/.test(difference.fact) && Math.abs(ours - theirs) <= unit * 1.001;
    },
  },
  {
    name: 'ends soon',
    kind: 'neutral',
    why: 'A lab that is stopped has five seconds to end. KubeSpawner gives it one when it deletes the pod.',
    holds: ({ fact }) => fact === 'pod terminationGracePeriodSeconds',
  },
  {
    name: 'not started again',
    kind: 'neutral',
    why: 'A server that ends is not started again behind the back of the hub: the hub says why it ended, and starts another one.',
    holds: ({ fact, theirs, ours }) => fact === 'pod restartPolicy' && theirs === 'OnFailure' && ours === 'Never',
  },
  {
    name: 'priority',
    kind: 'neutral',
    why: "The chart's priority class has the priority 0, which pods without one have; `lab.priorityClassName` names another one.",
    holds: ({ fact, ours }) => fact === 'pod priorityClassName' && ours === undefined,
  },
  {
    name: 'labels of the chart',
    kind: 'neutral',
    why: "Labels of the chart's release, its network policies and KubeSpawner's version. Rules for Labwright's labs select `labwright.dev/kind: lab`.",
    holds: ({ fact, ours }) =>
      ours === undefined &&
      /^(?:labels (?:chart|heritage|release|hub\.jupyter\.org\/network-access-hub)|annotations hub\.jupyter\.org\/(?:jupyterhub|kubespawner)-version)$/.test(
        fact,
      ),
  },
  {
    name: 'own labels',
    kind: 'neutral',
    why: 'Labels and annotations of its own, by which Labwright finds what belongs to a lab.',
    holds: ({ fact, theirs }) =>
      theirs === undefined && /^(?:labels|annotations) (?:labwright\.dev\/|app\.kubernetes\.io\/managed-by)/.test(fact),
  },
  {
    name: 'init containers see the lab',
    kind: 'neutral',
    why: 'An init container may use what the lab may, and has its variables and /tmp. A pod needs no more for that: containers before the lab are not beside it.',
    holds: ({ of, fact, theirs }) => of === 'before' && theirs === undefined && /^(?:env|limit|request) /.test(fact),
  },
  {
    name: 'filled machines',
    kind: 'lost',
    why:
      "The chart's own scheduler fills one machine after the other, which makes an autoscaled cluster cheaper. Where it is kept, `lab.schedulerName: " +
      'user-scheduler` names it.',
    holds: ({ fact, theirs, ours }) =>
      fact === 'pod schedulerName' && theirs === 'user-scheduler' && ours === 'default-scheduler',
  },
  {
    name: 'user of sidecars',
    kind: 'lost',
    why:
      'A sidecar runs as the user of the lab, and as root where it is privileged; that of its image cannot be said. ' +
      '`securityContext.runAsUser` says another one.',
    holds: ({ of, fact, theirs }) => of === 'sidecar' && fact === 'uid' && theirs === 'that of the image',
  },
];
