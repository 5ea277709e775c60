import { readFile, stat, writeFile } from 'node:fs/promises';
import { createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { LocalLabs, startKubelet } from '../../../sandbox/index.ts';
import { ProcessContainers } from '../../../sandbox/processes/process-containers.ts';
import { ConfigMaps, Events, Pods, Secrets } from '../../../src/storage/kubernetes/resources.ts';
import { waitFor } from '../../support/wait-for.ts';
import {
  aFolder,
  aMachine,
  aPod,
  askLab,
  closeAll,
  closeLater,
  DEADLINE_MS,
  ended,
  gone,
  isFailed,
  isReady,
  lives,
  type PodRef,
  podThat,
  stateOf,
} from './support.ts';

afterEach(closeAll);

const run = (script: string) => ({ args: [process.execPath, '-e', script] });

async function aRunningLab(wish: Parameters<typeof aPod>[1] = {}, options: Parameters<typeof aMachine>[0] = {}) {
  const machine = await aMachine(options);
  const ref = await aPod(machine.client, wish);
  const pod = await podThat(machine.client, ref, isReady);
  return { ...machine, ref, pod };
}

async function eventsOf({ client, ref }: { client: Awaited<ReturnType<typeof aMachine>>['client']; ref: PodRef }) {
  const { items } = await client.list(Events, { namespace: ref.namespace });
  return items.map(({ reason, message }) => ({ reason, message }));
}

describe('a local lab', () => {
  it('is ready when it listens at the address of its pod, and goes through the stages of a pod', async () => {
    const lab = await aRunningLab();
    const { pid } = await askLab(lab.pod);
    expect(lives(pid)).toBe(true);
    expect(lab.pod.status?.podIP).toMatch(/^127\.\d+\.\d+\.\d+$/);
    expect(stateOf(lab.pod)).toMatchObject({ running: { startedAt: expect.any(String) as string } });
    const reasons = (await eventsOf(lab)).map(({ reason }) => reason);
    expect(reasons.filter((reason) => reason !== 'Unhealthy').sort()).toEqual([
      'Created',
      'Pulled',
      'Scheduled',
      'Started',
    ]);
    const message = 'Container image "localhost/jupyterlab:local" already present on machine';
    expect(await eventsOf(lab)).toContainEqual({ reason: 'Pulled', message });
  });

  it('listens on one port beside another lab', async () => {
    const { client } = await aMachine();
    const refs = [await aPod(client), await aPod(client, { namespace: 'lab-bob', username: 'bob' })];
    const pods = await Promise.all(refs.map((ref) => podThat(client, ref, isReady)));
    const [ada, bob] = await Promise.all(pods.map((pod) => askLab(pod)));
    expect(ada?.pid).not.toBe(bob?.pid);
  });

  it('has the environment of its container and nothing of ours but what it needs to know of the machine', async () => {
    process.env['SECRET_OF_THE_PARENT'] = 'hidden';
    closeLater(() => Promise.resolve(delete process.env['SECRET_OF_THE_PARENT']));
    const { client, folder } = await aMachine();
    await client.create(ConfigMaps, { metadata: { namespace: 'default', name: 'words' }, data: { A: 'a', B: 'b' } });
    await client.create(Secrets, {
      metadata: { namespace: 'default', name: 'lab-env' },
      stringData: {
        JUPYTERHUB_SERVICE_URL: 'http://0.0.0.0:8888/user/ada/?x',
        HOME: '/home/ada',
        TZ: 'Asia/Tokyo',
        TOKEN: 't',
      },
    });
    const ref = await aPod(client, {
      namespace: 'default',
      container: {
        envFrom: [
          { secretRef: { name: 'lab-env' } },
          { prefix: 'W_', configMapRef: { name: 'words' } },
          { secretRef: { name: 'not-there', optional: true } },
        ],
        env: [
          { name: 'GREETING', value: 'hello $(W_A), $$(W_A) $(UNKNOWN)' },
          { name: 'KEY', valueFrom: { secretKeyRef: { name: 'lab-env', key: 'TOKEN' } } },
          { name: 'WORD', valueFrom: { configMapKeyRef: { name: 'words', key: 'B' } } },
          { name: 'NONE', valueFrom: { configMapKeyRef: { name: 'words', key: 'C', optional: true } } },
          { name: 'NODE', valueFrom: { fieldRef: { fieldPath: 'spec.nodeName' } } },
          { name: 'IP', valueFrom: { fieldRef: { fieldPath: 'status.podIP' } } },
          { name: 'WHO', valueFrom: { fieldRef: { fieldPath: "metadata.annotations['labwright.dev/username']" } } },
        ],
      },
    });
    const pod = await podThat(client, ref, isReady);
    const { env, cwd, args } = await askLab(pod);
    const { LABWRIGHT_LOCAL_LAB: mark, PATH: path = '', ...rest } = env;
    const ip = pod.status?.podIP ?? '';
    const home = join(folder, 'homes', 'ada');
    const inherited = ['LANG', 'LANGUAGE', 'USER', 'LOGNAME', 'SHELL', 'TMPDIR'].filter((name) => name in process.env);
    const locale = Object.keys(process.env).filter((name) => name.startsWith('LC_'));
    expect(rest).toEqual({
      ...Object.fromEntries([...inherited, ...locale].map((name) => [name, process.env[name]])),
      ...{
        TZ: 'Asia/Tokyo',
        TOKEN: 't',
        W_A: 'a',
        W_B: 'b',
        KEY: 't',
        WORD: 'b',
        NODE: 'sandbox-node',
        IP: ip,
        WHO: 'ada',
      },
      GREETING: 'hello a, $(W_A) $(UNKNOWN)',
      JUPYTERHUB_SERVICE_URL: `http://${ip}:8888/user/ada/?x`,
      HOME: home,
    });
    expect(mark).toMatch(/^[0-9a-f]{16}\.[0-9a-f]{16}\..+/);
    expect(path).toBe(`${join(folder, '..', '.venv', 'bin')}:${process.env['PATH'] ?? ''}`);
    expect(cwd).toBe(home);
    expect(args).toEqual(['first', 'hello a, $(W_A) $(UNKNOWN)']);
  });

  it('keeps its home when it ends, and shares it with the other servers of its user', async () => {
    const { client, ref, pod, folder } = await aRunningLab();
    const { cwd } = await askLab(pod);
    await writeFile(join(cwd, 'work.txt'), 'kept');
    await client.delete(Pods, ref);
    await gone(client, ref);
    const again = await podThat(client, await aPod(client, { namespace: 'lab-ada--gpu' }), isReady);
    expect((await askLab(again)).cwd).toBe(cwd);
    expect(await readFile(join(cwd, 'work.txt'), 'utf8')).toBe('kept');
    for (const path of [folder, join(folder, 'homes'), cwd, join(folder, 'logs')]) {
      expect((await stat(path)).mode & 0o777).toBe(0o700);
    }
  });

  it.each(['../../etc', 'Ada/..', 'é', '.', ''])(
    'of a user called %j has a home of its own among the others',
    async (username) => {
      const { folder, pod } = await aRunningLab({ username });
      const { cwd } = await askLab(pod);
      expect(cwd.replace(join(folder, 'homes', '/'), '')).toMatch(/^[a-z0-9-]+---[0-9a-f]{16}$/);
    },
  );

  it('that ends by itself has failed, with its exit code and its last words', async () => {
    const { client, ref, pod, folder } = await aRunningLab();
    await askLab(pod, '/exit?code=3').catch(() => undefined);
    const failed = await podThat(client, ref, isFailed);
    expect(stateOf(failed)?.terminated).toMatchObject({ exitCode: 3, reason: 'Error', message: 'the last words' });
    const log = join(folder, 'logs', 'lab-ada_lab.log');
    expect(await readFile(log, 'utf8')).toBe('the last words\n');
    expect((await stat(log)).mode & 0o777).toBe(0o600);
  });

  it('that ends without an error has succeeded', async () => {
    const { client } = await aMachine();
    const ref = await aPod(client, { container: run('console.error("done")') });
    const pod = await podThat(client, ref, ({ status }) => status?.phase === 'Succeeded');
    expect(stateOf(pod)?.terminated).toMatchObject({ exitCode: 0, reason: 'Completed' });
    expect(stateOf(pod)?.terminated?.message).toBeUndefined();
  });

  it('that dies of a signal has 128 and the number of the signal as its exit code', async () => {
    const { client } = await aMachine();
    const ref = await aPod(client, { container: run('process.kill(process.pid, "SIGABRT")') });
    expect(stateOf(await podThat(client, ref, isFailed))?.terminated?.exitCode).toBe(134);
  });

  it('that never listens is ended when its startup probe has failed often enough', async () => {
    const { client } = await aMachine();
    const container = { ...run('setInterval(() => undefined, 1000)'), startupProbe: probe(1) };
    const ref = await aPod(client, { container });
    const failed = await podThat(client, ref, isFailed);
    expect(stateOf(failed)?.terminated).toMatchObject({ exitCode: 137, reason: 'Error' });
    const complaint: unknown = expect.stringMatching(
      /^Startup probe failed: dial tcp 127\.\d+\.0\.1:8888: connect: connection refused$/,
    );
    expect(await eventsOf({ client, ref })).toContainEqual({ reason: 'Unhealthy', message: complaint });
  });

  it('takes with it what it has started, also in a session of its own', async () => {
    const { client, ref, pod } = await aRunningLab();
    const { child = 0 } = await askLab(pod, '/child');
    expect(lives(child)).toBe(true);
    await askLab(pod, '/exit?code=1').catch(() => undefined);
    await podThat(client, ref, isFailed);
    expect(lives(child)).toBe(false);
  });
});

const probe = (failureThreshold: number) => ({ tcpSocket: { port: 8888 }, periodSeconds: 1, failureThreshold });

describe('a local lab that cannot start', () => {
  it.each([
    [['no-such-program'], 'exec: "no-such-program": executable file not found in $PATH'],
    [['./no-such-program'], 'exec: "./no-such-program": stat ./no-such-program: no such file or directory'],
    [['/etc/passwd'], 'exec: "/etc/passwd": permission denied'],
    [['/etc'], 'exec: "/etc": permission denied'],
    [undefined, 'no command specified'],
  ])('says so as a container runtime does: %j', async (args, words) => {
    const { client } = await aMachine();
    const ref = await aPod(client, { container: args === undefined ? { args: [] } : { args } });
    const { terminated } = stateOf(await podThat(client, ref, isFailed)) ?? {};
    expect(terminated).toMatchObject({ exitCode: 128, reason: 'StartError' });
    expect(terminated?.message).toBe(
      'failed to create containerd task: failed to create shim task: OCI runtime create failed: runc create failed: ' +
        `unable to start container process: error during container init: ${words}`,
    );
    expect((await eventsOf({ client, ref })).map(({ reason }) => reason)).toContain('Failed');
  });

  it('says what is wrong with a script whose interpreter is missing', async () => {
    const script = join(await aFolder(), 'lab');
    await writeFile(script, '#!/nowhere/python3\n', { mode: 0o755 });
    const { client } = await aMachine();
    const ref = await aPod(client, { container: { args: [script] } });
    const { terminated } = stateOf(await podThat(client, ref, isFailed)) ?? {};
    expect(terminated).toMatchObject({ exitCode: 128, reason: 'StartError' });
    expect(terminated?.message).toContain(`exec: "${script}": no such file or directory`);
  });

  it('waits for a lab that was left behind at its address, and is about to end', async () => {
    const { client, pod } = await aRunningLab();
    const next = (pod.status?.podIP ?? '').replace(/\d+$/, (last) => String(Number(last) + 1));
    const sockets = new Set<Socket>();
    const left = createServer((socket) => sockets.add(socket));
    await new Promise<void>((resolve) => left.listen(8888, next, resolve));
    const asked = new Promise((resolve) => left.once('connection', resolve));
    const ref = await aPod(client, { namespace: 'lab-grace', username: 'grace' });
    await asked;
    for (const socket of sockets) socket.destroy();
    await new Promise((resolve) => left.close(resolve));
    const ready = await podThat(client, ref, isReady);
    expect(ready.status?.podIP).toBe(next);
  });

  it('is not mistaken for another program that listens on its port of every address', async () => {
    const other = createServer((socket) => socket.destroy());
    await new Promise<void>((resolve) => other.listen(0, '0.0.0.0', resolve));
    closeLater(() => new Promise((resolve) => other.close(resolve)));
    const address = other.address();
    const port = typeof address === 'object' ? (address?.port ?? 0) : 0;
    const { client } = await aMachine();
    const ref = await aPod(client, { container: { startupProbe: { tcpSocket: { port } } } });
    const { terminated } = stateOf(await podThat(client, ref, isFailed)) ?? {};
    expect(terminated?.message).toContain(`another program of this machine listens on port ${port} of every address`);
  });

  it.each([
    [{ envFrom: [{ secretRef: { name: 'gone' } }] }, 'secret "gone" not found'],
    [{ envFrom: [{ configMapRef: { name: 'gone' } }] }, 'configmap "gone" not found'],
    [
      { env: [{ name: 'A', valueFrom: { secretKeyRef: { name: 'lab-env', key: 'NO' } } }] },
      "couldn't find key NO in Secret lab-ada/lab-env",
    ],
    [
      { env: [{ name: 'A', valueFrom: { resourceFieldRef: { resource: 'limits.cpu' } } }] },
      'the source of the variable A is not supported',
    ],
  ])('waits with CreateContainerConfigError for what it refers to: %j', async (container, message) => {
    const { client } = await aMachine();
    const ref = await aPod(client, { container });
    const pod = await podThat(client, ref, (found) => stateOf(found)?.waiting?.reason === 'CreateContainerConfigError');
    expect(stateOf(pod)?.waiting?.message).toBe(message);
    await client.delete(Pods, ref);
    await gone(client, ref);
  });
});

describe('a local lab under a new kubelet', () => {
  it('is lost, as a container that the kubelet does not find', async () => {
    const { sandbox, client } = await aMachine({ kubelet: false });
    const [before, after] = [await LocalLabs.open(await aFolder()), await LocalLabs.open(await aFolder())];
    for (const labs of [before, after]) closeLater(() => labs.close());
    const start = (labs: LocalLabs) => startKubelet({ client, containers: new ProcessContainers(client, labs) });
    const first = await start(before);
    const ref = await aPod(client);
    const { pid } = await askLab(await podThat(client, ref, isReady));
    await first.close();
    expect(lives(pid)).toBe(false);
    const second = await start(after);
    closeLater(() => second.close());
    const { terminated } = stateOf(await podThat(client, ref, isFailed)) ?? {};
    expect(terminated).toMatchObject({ exitCode: 137, reason: 'ContainerStatusUnknown' });
    expect(sandbox.kubelet).toBeUndefined();
    await client.delete(Pods, ref);
    await gone(client, ref);
  });
});

describe('the end of a local lab', () => {
  it('is SIGTERM first: its process can end as it likes, and then it is gone', async () => {
    const { client, ref, pod, folder } = await aRunningLab({
      container: run(`
        const { hostname, port } = new URL(process.env.JUPYTERHUB_SERVICE_URL);
        require('node:http').createServer((request, response) => response.end('{}')).listen(port, hostname);
        process.on('SIGTERM', () => { console.log('saved'); process.exit(0); });
      `),
      graceSeconds: 600,
    });
    await askLab(pod);
    await client.delete(Pods, ref);
    await gone(client, ref);
    expect(await readFile(join(folder, 'logs', 'lab-ada_lab.log'), 'utf8')).toBe('saved\n');
  });

  it('is SIGKILL after the grace', async () => {
    const { client, ref, pod } = await aRunningLab({ graceSeconds: 1 });
    const { pid } = await askLab(pod, '/deaf');
    const began = performance.now();
    await client.delete(Pods, ref);
    await gone(client, ref);
    expect(performance.now() - began).toBeGreaterThan(900);
    expect(lives(pid)).toBe(false);
  });

  it('is at once for a delete without grace', async () => {
    const { client, ref, pod } = await aRunningLab({ graceSeconds: 600 });
    const { pid } = await askLab(pod, '/deaf');
    await client.delete(Pods, ref, { gracePeriodSeconds: 0 });
    await ended(pid);
  });

  it('comes with the end of the sandbox, for everything that runs', async () => {
    const { client, sandbox, pod } = await aRunningLab({ graceSeconds: 600 });
    const other = await podThat(client, await aPod(client, { namespace: 'lab-bob', username: 'bob' }), isReady);
    const { pid, child = 0 } = await askLab(pod, '/child');
    const { pid: deaf } = await askLab(other, '/deaf');
    await sandbox.close();
    expect([pid, child, deaf].filter(lives)).toEqual([]);
  });

  it('comes with the end of the sandbox also while it starts or stops', async () => {
    const { client, sandbox, ref, pod } = await aRunningLab({ graceSeconds: 600 });
    const { pid } = await askLab(pod, '/deaf');
    const script = 'require("node:fs").writeFileSync("pid", String(process.pid)); setInterval(() => undefined, 1000)';
    await aPod(client, { namespace: 'lab-bob', username: 'bob', container: run(script) });
    const starting = await waitFor('the other lab to run', DEADLINE_MS, async () => {
      const text = await readFile(join((await askLab(pod)).cwd, '..', 'bob', 'pid'), 'utf8').catch(() => '');
      return text === '' ? undefined : Number(text);
    });
    await client.delete(Pods, ref);
    await podThat(client, ref, ({ metadata }) => metadata?.deletionTimestamp !== undefined);
    await sandbox.close();
    expect([pid, starting].filter(lives)).toEqual([]);
  });

  it.each([
    [
      { fault: 'crash', exitCode: 7 },
      { exitCode: 7, reason: 'Error' },
    ],
    [{ fault: 'oom' }, { exitCode: 137, reason: 'OOMKilled' }],
    [{ fault: 'evict' }, { exitCode: 137, reason: 'Error' }],
  ] as const)('comes with a fault that ends the pod: %j', async (fault, terminated) => {
    const { client, sandbox, ref, pod } = await aRunningLab();
    const { pid } = await askLab(pod);
    if (fault.fault === 'crash') await sandbox.kubelet?.crash(ref, fault.exitCode);
    else await sandbox.kubelet?.[fault.fault](ref);
    expect(stateOf(await podThat(client, ref, isFailed))?.terminated).toMatchObject(terminated);
    expect(lives(pid)).toBe(false);
  });

  it('comes with a pod that vanishes, and with a node that is lost', async () => {
    const match = { username: 'bob' };
    const { client, sandbox, ref, pod } = await aRunningLab({}, { faults: [{ fault: 'nodeLost', after: 1, match }] });
    const { pid } = await askLab(pod);
    await sandbox.kubelet?.remove(ref);
    await gone(client, ref);
    const other = await aPod(client, { namespace: 'lab-bob', username: 'bob' });
    const { pid: lost } = await askLab(await podThat(client, other, isReady));
    await podThat(client, other, ({ metadata }) => metadata?.deletionTimestamp !== undefined);
    expect([pid, lost].filter(lives)).toEqual([]);
  });

  it('comes when its turn for a fault of the faults file has come', async () => {
    const { client } = await aMachine({ faults: [{ fault: 'oom', after: 0 }] });
    const ref = await aPod(client);
    const failed = await podThat(client, ref, isFailed);
    expect(stateOf(failed)?.terminated?.reason).toBe('OOMKilled');
    await expect(askLab(failed)).rejects.toThrow();
  });
});
