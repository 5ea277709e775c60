import { describe, expect, it } from 'vitest';
import type { ObservedPod } from '../../../src/domain/lab/pod.ts';
import { eventText, findEnd, findEventTrouble, findTrouble } from '../../../src/domain/lab/reasons.ts';
import { aContainer, aPod, ended } from '../../reconcile/support/observed.ts';

const IMAGE = 'quay.io/jupyter/minimal-notebook:2026-11-02';
const waitsFor = (reason: string, message = ''): ObservedPod =>
  aPod({ node: 'n', containers: [aContainer({ waiting: { reason, message } })] });

describe('an image that', () => {
  it.each([
    // containerd
    `rpc error: code = NotFound desc = failed to pull and unpack image "${IMAGE}": failed to resolve reference "${IMAGE}": ${IMAGE}: not found`,
    `failed to pull and unpack image "docker.io/library/nosuch:1": failed to resolve reference "docker.io/library/nosuch:1": pull access denied, repository does not exist or may require authorization: server message: insufficient_scope: authorization failed`,
    `failed to resolve reference "${IMAGE}": unexpected status from HEAD request to https://quay.io/v2/x/manifests/1: 401 UNAUTHORIZED`,
    `failed to resolve reference "ghcr.io/a/b:1": failed to authorize: failed to fetch anonymous token: unexpected status from GET request to https://ghcr.io/token: 403 Forbidden`,
    `Back-off pulling image "${IMAGE}": ErrImagePull: rpc error: code = NotFound desc = failed to pull and unpack image "${IMAGE}": failed to resolve reference "${IMAGE}": ${IMAGE}: not found`,
    // CRI-O
    `reading manifest 1 in quay.io/jupyter/nosuch: manifest unknown`,
    `initializing source docker://docker.io/library/nosuch:1: reading manifest 1 in docker.io/library/nosuch: requested access to the resource is denied`,
    // dockershim and ECR
    `Error response from daemon: manifest for example.org/lab:1 not found: manifest unknown: manifest unknown`,
    `Error response from daemon: Head "https://1.dkr.ecr.eu-west-1.amazonaws.com/v2/lab/manifests/1": no basic auth credentials`,
    `unauthorized: authentication required`,
  ])('can never be had is reported at once: %s', (message) => {
    expect(findTrouble(waitsFor('ErrImagePull', message))).toMatchObject({ reason: 'ImageNotFound', afterMs: 0 });
  });

  it.each([
    `failed to pull and unpack image "${IMAGE}": no match for platform in manifest: not found`,
    `choosing image instance: no image found in image index for architecture "arm64", variant "v8", OS "linux"`,
    `no matching manifest for linux/arm64/v8 in the manifest list entries`,
  ])('is made for other machines is reported as that: %s', (message) => {
    expect(findTrouble(waitsFor('ErrImagePull', message))).toMatchObject({ reason: 'ImagePlatform', afterMs: 0 });
  });

  it.each([
    `Back-off pulling image "${IMAGE}"`,
    // The answers of a registry, or of what is before it, that say "denied" or "not found" and pass all the same.
    `failed to resolve reference "docker.io/a/b:1": unexpected status from HEAD request to https://r/v2/: 429 Too Many Requests: pull access denied`,
    `failed to resolve reference "${IMAGE}": unexpected status from GET request to https://quay.io/v2/a/manifests/1: 502 Bad Gateway: upstream not found`,
    `toomanyrequests: retry-after: 601.7µs, allowed: 44000/minute: denied`,
    `Error response from daemon: received unexpected HTTP status: 500 Internal Server Error: not found`,
    `rpc error: code = Unavailable desc = connection error: desc = "transport: not found"`,
    `failed to do request: Head "https://quay.io/v2/a/manifests/1": dial tcp: lookup quay.io on 10.96.0.10:53: no such host`,
    `failed to do request: Head "https://quay.io/v2/a/manifests/1": dial tcp 10.0.0.1:443: i/o timeout`,
    `failed to do request: Head "https://quay.io/v2/a/manifests/1": dial tcp 10.0.0.1:443: connect: connection refused`,
    `failed to resolve reference "${IMAGE}": unexpected status from HEAD request to https://quay.io/v2/a/manifests/1: 503 Service Unavailable`,
    `failed to resolve reference "docker.io/a/b:1": toomanyrequests: You have reached your unauthenticated pull rate limit.`,
    `failed to do request: Head "https://r/v2/": tls: failed to verify certificate: x509: certificate signed by unknown authority`,
    `rpc error: code = DeadlineExceeded desc = context deadline exceeded`,
    `failed to copy: httpReadSeeker: failed open: failed to do request: EOF`,
    // The words of a hopeless answer in the name of an image are none.
    `Back-off pulling image "example.org/forbidden/denied:unauthorized"`,
    `failed to do request for example.org/unauthorized/lab:1: dial tcp: i/o timeout`,
    '',
  ])('may still come is waited for: %s', (message) => {
    const trouble = findTrouble(waitsFor('ImagePullBackOff', message));
    expect(trouble?.reason).toBe('ImagePullError');
    expect(trouble?.afterMs).toBeGreaterThan(30_000);
  });
});

describe('a container that waits', () => {
  it.each([
    ['InvalidImageName', 'InvalidImageName', 0],
    ['ErrImageNeverPull', 'ImageNotFound', 0],
    ['RegistryUnavailable', 'ImagePullError', 120_000],
    ['CreateContainerConfigError', 'ContainerConfigError', 3_000],
    ['CreateContainerError', 'ContainerCreateError', 15_000],
    ['RunContainerError', 'ContainerCreateError', 15_000],
    ['CrashLoopBackOff', 'Error', 0],
  ])('with %s is a matter of %s after %i ms', (waiting, reason, afterMs) => {
    expect(findTrouble(waitsFor(waiting))).toMatchObject({ reason, afterMs });
  });

  it.each(['ContainerCreating', 'PodInitializing', 'SomethingNew'])('with %s is on its way', (reason) => {
    expect(findTrouble(waitsFor(reason))).toBeUndefined();
  });

  it('for a place on a machine is not given up by itself', () => {
    expect(findTrouble(aPod({ unschedulable: '0/3 nodes' }))).toMatchObject({
      reason: 'Unschedulable',
      afterMs: Number.POSITIVE_INFINITY,
    });
  });
});

describe('a pod that is over', () => {
  const failed = (changes: Partial<ObservedPod>) => aPod({ phase: 'Failed', ...changes });
  const exited = (code: number, reason?: string) => aContainer({ terminated: ended(code, reason) });
  const home = (code: number) => aContainer({ name: 'home', init: true, terminated: ended(code) });

  it.each<[string, ObservedPod, string]>([
    ['ran out of memory', failed({ containers: [exited(137, 'OOMKilled')] }), 'OOMKilled'],
    ['crashed', failed({ containers: [home(0), exited(1)] }), 'Error'],
    ['ended by itself', aPod({ phase: 'Succeeded', containers: [exited(0)] }), 'Exited'],
    ['could not be prepared', failed({ containers: [home(3), aContainer()] }), 'InitContainerFailed'],
    ['crashed, and a helper of it was ended after it', failed({ containers: [home(143), exited(1)] }), 'Error'],
    [
      'ended by itself, and a helper of it was ended after it',
      aPod({ phase: 'Succeeded', containers: [home(143), exited(0)] }),
      'Exited',
    ],
    ['has a command that is not there', failed({ containers: [exited(128, 'StartError')] }), 'ContainerCreateError'],
    ['was refused by its node', failed({ reason: 'OutOfcpu' }), 'NodeRejected'],
    ['was refused with its GPU', failed({ reason: 'UnexpectedAdmissionError' }), 'NodeRejected'],
    ['does not fit its node any more', failed({ reason: 'NodeAffinity', containers: [exited(137)] }), 'NodeRejected'],
    ['came to a node that shuts down', failed({ reason: 'NodeShutdown' }), 'Evicted'],
    ['was ended with its node', failed({ reason: 'Terminated', containers: [exited(143)] }), 'Evicted'],
    ['was ended by a kubelet of old with its node', failed({ reason: 'Shutdown' }), 'Evicted'],
    ['made room for a critical pod', failed({ reason: 'Preempting', containers: [exited(137)] }), 'Preempted'],
    ['failed for a reason that nobody knows', failed({ reason: 'SomethingNew' }), 'Error'],
    ['ran for too long', failed({ reason: 'DeadlineExceeded' }), 'DeadlineExceeded'],
    ['was evicted', failed({ reason: 'Evicted', containers: [exited(137, 'ContainerStatusUnknown')] }), 'Evicted'],
    ['was drained', aPod({ phase: 'Running', terminating: true, disruption: 'EvictionByEvictionAPI' }), 'Evicted'],
    ['was shut down with its node', failed({ reason: 'Terminated', disruption: 'TerminationByKubelet' }), 'Evicted'],
    ['had to make room', aPod({ terminating: true, disruption: 'PreemptionByScheduler' }), 'Preempted'],
    ['lost its node', aPod({ phase: 'Running', terminating: true, disruption: 'DeletionByTaintManager' }), 'NodeLost'],
    ['was lost with its node', failed({ reason: 'NodeLost' }), 'NodeLost'],
    ['was deleted', aPod({ phase: 'Running', terminating: true }), 'DeletedExternally'],
  ])('because it %s says so', (_why, pod, reason) => {
    expect(findEnd(pod)).toMatchObject({ reason, message: expect.stringMatching(/\.$/) as string });
  });

  it.each<[string, ObservedPod]>([
    ['waits', aPod()],
    ['runs', aPod({ phase: 'Running' })],
    ['is about to be disturbed', aPod({ phase: 'Running', disruption: 'EvictionByEvictionAPI' })],
    ['has not been heard of', aPod({ phase: 'Unknown' })],
  ])('is not one that %s', (_what, pod) => {
    expect(findEnd(pod)).toBeUndefined();
  });
});

describe('a pod beside whose own container others run', () => {
  const beside = aContainer({ name: 'istio-proxy', runningSince: 1 });
  const running = (...containers: ObservedPod['containers']) => aPod({ phase: 'Running', node: 'n', containers });

  it.each<[string, ObservedPod['containers'][number], string]>([
    ['by itself', aContainer({ terminated: ended(0) }), 'Exited'],
    ['out of memory', aContainer({ terminated: ended(137, 'OOMKilled') }), 'OOMKilled'],
    ['with an error', aContainer({ terminated: ended(1) }), 'Error'],
  ])('is over as soon as that has ended %s', (_how, main, reason) => {
    expect(findEnd(running(beside, main))).toMatchObject({ reason });
  });

  it('is not over when one of the others has ended', () => {
    const gone = aContainer({ name: 'database', terminated: ended(1) });
    expect(findEnd(running(gone, aContainer({ runningSince: 1 })))).toBeUndefined();
  });

  it('was deleted, and has not ended by itself, when its container ends on its way out', () => {
    const killed = aContainer({ terminated: ended(143) });
    expect(findEnd({ ...running(killed), terminating: true })).toMatchObject({ reason: 'DeletedExternally' });
    expect(findEnd({ ...running(killed), phase: 'Failed', terminating: true })).toMatchObject({
      reason: 'DeletedExternally',
    });
  });

  it.each([
    ['the helper container "istio-proxy"', false],
    ['the preparation step "istio-proxy"', true],
  ])('has %s with an image of its own, which is not the reader’s', (whose, init) => {
    const waiting = (reason: string, message: string) => {
      const container = aContainer({ name: 'istio-proxy', init, waiting: { reason, message } });
      return findTrouble(aPod({ containers: [container, aContainer()] }));
    };
    for (const trouble of [
      waiting('ErrImagePull', 'not found'),
      waiting('InvalidImageName', ''),
      waiting('ErrImageNeverPull', ''),
      waiting('ErrImagePull', 'no match for platform in manifest: not found'),
    ]) {
      expect(trouble).toMatchObject({ reason: init ? 'InitContainerFailed' : 'SidecarFailed', afterMs: 0 });
      expect(trouble?.message).toContain(whose);
      expect(trouble?.message).toContain('Tell an administrator.');
      expect(trouble?.message).not.toMatch(/Check|Choose/);
    }
    expect(waiting('ErrImagePull', '429 Too Many Requests')?.message).toContain(whose);
  });

  it('is not said to end again and again because a helper does, and may come up all the same', () => {
    const crashing = aContainer({ name: 'istio-proxy', waiting: { reason: 'CrashLoopBackOff', message: '' } });
    const trouble = findTrouble(running(crashing, aContainer()));
    expect(trouble).toMatchObject({ reason: 'SidecarFailed', afterMs: Infinity });
    expect(trouble?.message).toContain('"istio-proxy"');
  });

  it('is told of its own trouble first', () => {
    const crashing = aContainer({ name: 'istio-proxy', waiting: { reason: 'CrashLoopBackOff', message: '' } });
    const own = aContainer({ waiting: { reason: 'InvalidImageName', message: '' } });
    expect(findTrouble(running(crashing, own))).toMatchObject({ reason: 'InvalidImageName' });
  });

  it('names the step that has failed, with what that has left to say, in one short line', () => {
    const step = (terminated: ReturnType<typeof ended>) =>
      findEnd(
        aPod({ phase: 'Failed', containers: [aContainer({ name: 'home', init: true, terminated }), aContainer()] }),
      );
    expect(step({ ...ended(3), message: 'no space\nleft on \u0007/home\n' })).toEqual({
      reason: 'InitContainerFailed',
      message: 'The preparation step "home" of the lab failed with exit code 3: no space left on /home',
    });
    expect(step({ ...ended(3), message: 'x'.repeat(5_000) })?.message.length).toBeLessThan(400);
    expect(step(ended(137, 'OOMKilled'))).toMatchObject({
      reason: 'InitContainerFailed',
      message: 'The preparation step "home" of the lab used more memory than it has.',
    });
  });
});

describe('what the machine may do a moment later', () => {
  it.each([
    ['CreateContainerConfigError', 'failed to sync secret cache: timed out waiting for the condition'],
    ['CreateContainerConfigError', 'failed to sync configmap cache: timed out waiting for the condition'],
    ['CreateContainerError', 'context deadline exceeded'],
    ['CreateContainerError', 'failed to reserve container name "lab_notebook_0": name is reserved for "4f1"'],
    ['RunContainerError', 'rpc error: code = Unavailable desc = connection refused'],
  ])('is waited for as the settings say: %s, %s', (reason, message) => {
    expect(findTrouble(waitsFor(reason, message))).toMatchObject({ waitsFor: 'container', afterMs: Infinity });
  });

  it.each([
    ['CreateContainerConfigError', 'secret "lab-env" not found'],
    ['CreateContainerConfigError', 'couldn’t find key licence in Secret lab/lab-secrets'],
    ['CreateContainerError', 'failed to generate container spec: no command specified'],
  ])('is not what will never be there: %s, %s', (reason, message) => {
    const trouble = findTrouble(waitsFor(reason, message));
    expect(trouble).not.toHaveProperty('waitsFor');
    expect(trouble?.afterMs).toBeLessThanOrEqual(15_000);
  });
});

describe('a pod without a machine', () => {
  const said = (unschedulable: string) => findTrouble(aPod({ unschedulable }))?.message;

  it.each([
    ['0/3 nodes are available: 3 Insufficient cpu. preemption: 0/3 nodes are available.', /no room .* waits/],
    ['0/4 nodes are available: 1 node(s) had untolerated taint {gpu: }, 3 Insufficient memory.', /no room .* waits/],
    ['0/3 nodes are available: pod has unbound immediate PersistentVolumeClaims.', /claim is not bound/],
    ['0/1 nodes are available: persistentvolumeclaim "lab-home" not found.', /claim is not bound/],
    ['0/3 nodes are available: 3 node(s) had volume node affinity conflict.', /tied to machines/],
    [
      '0/3 nodes are available: 1 Insufficient cpu, 2 node(s) had volume node affinity conflict.',
      /can reach the volume .* no room/,
    ],
    ["0/3 nodes are available: 3 node(s) didn't match Pod's node affinity/selector.", /of the kind/],
    ['0/3 nodes are available: 3 node(s) had untolerated taint {dedicated: gpu}.', /of the kind/],
    ['', /no room/],
  ])('is told what it waits for: %s', (text, sentence) => {
    expect(said(text)).toMatch(sentence);
  });
});

describe('an event about a pod', () => {
  it.each([
    ['MountVolume.SetUp failed for volume "files" : configmap "lab-files" not found', 15_000],
    ['MountVolume.SetUp failed for volume "data" : hostPath type check failed: /data is not a directory', Infinity],
    ['Unable to attach or mount volumes: timed out waiting for the condition', Infinity],
    // A machine that has just come up, whose drivers have not.
    [
      'MountVolume.MountDevice failed: driver name ebs.csi.aws.com not found in the list of registered CSI drivers',
      Infinity,
    ],
    ['Multi-Attach error for volume "pvc-1" Volume is already exclusively attached to one node', Infinity],
    ['AttachVolume.Attach failed for volume "pvc-1" : CSINode node-7 does not contain driver csi.example', Infinity],
    ['MountVolume.SetUp failed for volume "x" : secret "site" not found', 15_000],
  ])('FailedMount: %s', (message, afterMs) => {
    expect(findEventTrouble('FailedMount', message)).toMatchObject({ reason: 'VolumeMountFailed', afterMs });
  });

  it('that is no complaint about a volume changes nothing', () => {
    expect(findEventTrouble('Pulling', 'not found')).toBeUndefined();
  });
});

describe('the text of an event', () => {
  it('ends where the kubelet begins to quote its container runtime', () => {
    const said =
      'Failed to pull image "a/b:1": rpc error: code = NotFound desc = failed to pull and unpack image "a/b:1": not found';
    expect(eventText('Failed', said)).toBe('Failed to pull image "a/b:1"');
    expect(eventText('FailedScheduling', '0/5 nodes are available: 5 Insufficient memory.')).toContain(
      '5 Insufficient memory',
    );
    const probe = 'Startup probe failed: dial tcp 10.0.0.1:8888: connect: connection refused';
    expect(eventText('Unhealthy', probe)).toBe('Waiting for the server of the lab to answer');
  });
});
