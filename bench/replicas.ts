import { cpus } from 'node:os';
import { setTimeout as delay } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { missingAssets } from '../test/support/api-server.ts';
import { takeFindings } from '../test/support/canary.ts';
import { type Disturbance, DISTURBANCES, foreignWrites } from './replicas/disturbances.ts';
import { BUILDS, Fleet } from './replicas/fleet.ts';
import { violations } from './replicas/invariants.ts';
import { seeded } from './replicas/random.ts';
import { type Routes, Subject } from './replicas/subject.ts';
import { foreignObjects, killAgainAndAgain, unleash } from './replicas/storm.ts';
import { Tally } from './replicas/tally.ts';
import { milliseconds, quantile, type Row, table } from './statistics.ts';

const USAGE = `npm run replicas -- [--minutes N] [--replicas N] [--seed N] [--only NAME,…] [--storm]
Runs so many replicas of the controller on a real kube-apiserver with a test kubelet, under 20 spawns and 5 builds a minute, and meanwhile
restarts, kills and stops them and cuts their connections. Ends with 1 when anything was lost, doubled or answered wrongly.
With --storm, the leader is killed every seven to ten seconds instead, and an eighth of all calls to the API server fail in every way there is.
What happens: ${Object.keys(DISTURBANCES).join(', ')}. KUBEBUILDER_ASSETS names the servers' folder.
`;

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '10' },
    replicas: { type: 'string', default: '3' },
    seed: { type: 'string', default: String(Date.now() % 100_000) },
    only: { type: 'string', default: Object.keys(DISTURBANCES).join(',') },
    storm: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
});
const chosen = values.only.split(',').filter((name) => name !== '') as (keyof typeof DISTURBANCES)[];
const wrong = chosen.filter((name) => !Object.hasOwn(DISTURBANCES, name));
const missing = missingAssets(process.env.KUBEBUILDER_ASSETS);
if (values.help || wrong.length > 0 || missing !== undefined) {
  const why = wrong.length > 0 ? `There is nothing called ${wrong.join(' or ')}` : (missing ?? '');
  process.stderr.write(values.help ? USAGE : `${why}\n${USAGE}`);
  process.exit(values.help ? 0 : 2);
}

const SPAWN_MS = 3_000;
const BUILD_MS = 12_000;
/** A lab lives between so many milliseconds. */
const LIFE_MS = [15_000, 60_000] as const;
/** Between two disturbances. */
const CALM_MS = [4_000, 12_000] as const;

const random = seeded(Number(values.seed));
const between = ([least, most]: readonly [number, number]) => least + random() * (most - least);
const start = performance.now();
let ready = start;
const endsAt = () => ready + Number(values.minutes) * 60_000;
const progress = (line: string): void => {
  process.stderr.write(`${((performance.now() - start) / 1000).toFixed(0).padStart(5)} s  ${line}\n`);
};

const tally = new Tally(values.storm);
const labs: Subject[] = [];
const builds: Subject[] = [];

function lab(): Routes {
  const user = `user-${String(labs.length).padStart(4, '0')}`;
  const path = `/labwright/spawner/v1/labs/${user}`;
  const env = { JUPYTERHUB_SERVICE_PREFIX: `/user/${user}/`, JUPYTERHUB_USER: user };
  return {
    name: 'lab',
    create: () => ({
      path: `${path}/create`,
      body: { options: { size: ['small'], image_list: ['registry.example/lab:1'] }, env },
    }),
    path: () => path,
    accepted: [201],
    terminal: ['complete', 'failed'],
  };
}

function build(): Routes {
  const commit = Array.from({ length: 40 }, () => Math.floor(random() * 16).toString(16)).join('');
  return {
    name: 'build',
    create: () => ({
      path: '/labwright/builds/v1/builds',
      body: { repository: 'ada/notebooks', ref: commit, username: 'ada' },
    }),
    path: (answer) => `/labwright/builds/v1/builds/${(JSON.parse(answer) as { id: string }).id}`,
    accepted: [200, 201],
    terminal: ['ready', 'failed', 'cancelled'],
  };
}

/** Begins one every so often until it is time to end. @returns when all of them have ended */
async function keepUp(everyMs: number, begin: () => Promise<void>): Promise<void> {
  const under: Promise<void>[] = [];
  while (performance.now() < endsAt()) {
    under.push(begin());
    await delay(everyMs * (0.5 + random()));
  }
  await Promise.all(under);
}

let isOver = false;
let injected = 0;

async function liveLab(fleet: Fleet): Promise<void> {
  const subject = new Subject(lab(), fleet.service, tally);
  labs.push(subject);
  if (!(await subject.create())) return;
  const polling = subject.poll(() => isOver);
  await subject.follow();
  const life = between(LIFE_MS);
  // The last ones stay, to be looked at.
  if (performance.now() + life < endsAt()) {
    await delay(life);
    await subject.remove();
    await polling;
  } else void polling;
}

async function liveBuild(fleet: Fleet): Promise<void> {
  const subject = new Subject(build(), fleet.service, tally);
  builds.push(subject);
  if (!(await subject.create())) return;
  void subject.poll(() => isOver);
  await subject.follow();
}

async function disturb(fleet: Fleet): Promise<Disturbance[]> {
  const seen: Disturbance[] = [];
  for (let index = 0; chosen.length > 0; index += 1) {
    await delay(between(CALM_MS));
    // Each of them at least once.
    if (index >= chosen.length && performance.now() > endsAt() - 30_000) break;
    const name = chosen[index % chosen.length]!;
    progress(name);
    seen.push(...(await DISTURBANCES[name](fleet)));
  }
  return seen;
}

async function trial(fleet: Fleet): Promise<boolean> {
  progress(`${fleet.running.length} replicas are ready; seed ${values.seed}`);
  const since = (ready = performance.now());
  const touched = await foreignObjects(fleet.client);
  const calm = values.storm ? unleash(fleet, random) : () => 0;
  const [seen] = await Promise.all([
    (values.storm ? killAgainAndAgain(fleet, random, () => performance.now() > endsAt()) : disturb(fleet)).then(
      (all) => {
        injected = calm();
        return all;
      },
    ),
    keepUp(SPAWN_MS, () => liveLab(fleet)),
    keepUp(BUILD_MS, () => liveBuild(fleet)),
  ]);
  progress('everything has ended; looking at what is left');
  let found = await violations(fleet, labs, builds);
  // Objects are removed a moment after readers are told.
  for (let round = 0; found.length > 0 && round < 20; round += 1) {
    await delay(1_000);
    found = await violations(fleet, labs, builds);
  }
  isOver = true;
  await delay(1_500);
  const faults = [
    ...tally.faults,
    ...found,
    ...(await touched()),
    ...takeFindings().map((each) => `a planted credential was seen: ${each}`),
  ];
  const writes = fleet.replicas.reduce((sum, replica) => sum + foreignWrites(fleet, replica, since), 0);
  process.stdout.write(
    `${table(`${values.replicas} replicas, ${values.minutes} minutes, seed ${values.seed}`, rows(fleet, seen, writes, since, faults.length), '')}\n`,
  );
  for (const fault of faults) process.stdout.write(`- ${fault}\n`);
  return faults.length === 0 && writes === 0;
}

function rows(fleet: Fleet, seen: readonly Disturbance[], writes: number, since: number, faults: number): Row[] {
  const holders = fleet.lease.history.filter(({ holder }) => holder !== '');
  const spawnCalls = fleet.replicas.flatMap(({ proxy }) =>
    proxy.requests.calls(
      since,
      ({ verb, resource, namespace }) => verb !== 'watch' && resource !== 'leases' && namespace !== BUILDS,
    ),
  );
  const spawns = tally.acceptedBy.get('lab') ?? 0;
  return [
    { what: 'accepted', seen: [...tally.acceptedBy].map(([name, count]) => `${count} ${name}s`).join(', ') },
    { what: 'streams ended', seen: [...tally.ends].map(([name, count]) => `${name} ${count}`).join(', ') },
    { what: 'labs removed', seen: String(tally.removed) },
    { what: 'polls, of which failed', seen: `${tally.polls}, ${tally.failedPolls}`, aim: '0 failed' },
    { what: 'requests without an answer, tried again', seen: String(tally.unanswered) },
    ...(values.storm
      ? [
          { what: 'faults injected', seen: String(injected) },
          { what: 'replicas killed', seen: String(seen.length) },
          { what: 'requests answered with 503, tried again', seen: String(tally.refused) },
        ]
      : []),
    { what: 'streams that broke and went on', seen: String(tally.resumed) },
    { what: 'longest pause in accepting', seen: milliseconds(Math.max(...tally.pauses)) },
    { what: 'accepting, median', seen: milliseconds(quantile(tally.pauses, 0.5)) },
    { what: 'leader changes', seen: String(Math.max(0, holders.length - 1)) },
    ...(values.storm ? [] : seen).map(({ what, leaderlessMs, writesAfterwards }) => ({
      what,
      seen: `${leaderlessMs === undefined ? '-' : milliseconds(leaderlessMs)} without a leader${writesAfterwards > 0 ? `, ${writesAfterwards} writes` : ''}`,
      aim: /SIGTERM of the leader/.test(what) ? '2 s' : /kill|stopped/.test(what) ? '15 s' : '',
    })),
    { what: 'writes of the leader’s by another', seen: String(writes), aim: '0' },
    { what: 'calls per spawn and delete', seen: (spawnCalls.length / Math.max(1, spawns)).toFixed(1) },
    { what: 'faults', seen: String(faults), aim: '0' },
  ];
}

process.stdout.write(`${cpus().length} cores, Node ${process.version}.\n`);
const fleet = await Fleet.start(Number(values.replicas), random);
let isFine = false;
try {
  isFine = await trial(fleet);
} finally {
  isOver = true;
  await fleet.close();
}
process.exit(isFine ? 0 : 1);
