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
    `failed to pull and unpack image "${IMAGE}": no match for platform in manifest: not found`,
    `Back-off pulling image "${IMAGE}": ErrImagePull: rpc error: code = NotFound desc = failed to pull and unpack image "${IMAGE}": failed to resolve reference "${IMAGE}": ${IMAGE}: not found`,
    // CRI-O
    `reading manifest 1 in quay.io/jupyter/nosuch: manifest unknown`,
    `initializing source docker://docker.io/library/nosuch:1: reading manifest 1 in docker.io/library/nosuch: requested access to the resource is denied`,
    `choosing image instance: no image found in image index for architecture "arm64", variant "v8", OS "linux"`,
    // dockershim and ECR
    `Error response from daemon: manifest for example.org/lab:1 not found: manifest unknown: manifest unknown`,
    `Error response from daemon: Head "https://1.dkr.ecr.eu-west-1.amazonaws.com/v2/lab/manifests/1": no basic auth credentials`,
    `no matching manifest for linux/arm64/v8 in the manifest list entries`,
    `unauthorized: authentication required`,
  ])('can never be had is reported at once: %s', (message) => {
    expect(findTrouble(waitsFor('ErrImagePull', message))).toMatchObject({ reason: 'ImageNotFound', afterMs: 0 });
  });

  it.each([
    `Back-off pulling image "${IMAGE}"`,
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
    ['was refused by its node', failed({ reason: 'OutOfcpu' }), 'Error'],
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

describe('an event about a pod', () => {
  it.each([
    ['MountVolume.SetUp failed for volume "files" : configmap "lab-files" not found', 15_000],
    ['MountVolume.SetUp failed for volume "data" : hostPath type check failed: /data is not a directory', Infinity],
    ['Unable to attach or mount volumes: timed out waiting for the condition', Infinity],
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
