import type { CoreV1Event, V1Secret } from '@kubernetes/client-node';
import { randomUUID } from 'node:crypto';
import type { Logger } from 'pino';
import { buildIntent, deletingPatch, parseIntent } from '../../domain/lab/intent.ts';
import type { LabAddressing } from '../../domain/lab/internal-url.ts';
import { recreateLabState } from '../../domain/lab/lab-state.ts';
import { buildObjectNames } from '../../domain/lab/object-names.ts';
import type { LabConfig } from '../../config/config.ts';
import { LabwrightError } from '../../domain/errors.ts';
import type { LabEvent, LabKey, LabSecrets, LabSpec, LabState } from '../../domain/lab/lab.ts';
import { labSlug } from '../../domain/names.ts';
import type { ObservedIntent } from '../../domain/lab/observed.ts';
import { eventText, findEventTrouble } from '../../domain/lab/reasons.ts';
import { unlessLate } from '../../util/unless-late.ts';
import { type KubeClient, METADATA_ONLY } from '../../storage/kubernetes/kube-client.ts';
import { isOutdated, KubeError } from '../../storage/kubernetes/kube-error.ts';
import { Secrets } from '../../storage/kubernetes/resources.ts';
import type { CreateLab, LabService, LabTokens } from './lab-service.ts';
import { explainKubeError } from '../kube-answers.ts';
import type { LabWatches } from './lab-watches.ts';
import { OperationLog, parseEventId, type Position } from './operation-log.ts';
import { type Operations, subjectOf, troubleFor } from './operations.ts';
import type { WorkQueue } from '../work-queue.ts';

export interface LabsOptions {
  readonly client: KubeClient;
  readonly watches: LabWatches;
  readonly operations: Operations;
  readonly queue: WorkQueue;
  readonly config: LabConfig;
  /** Where the configuration asks for signed tokens. */
  readonly tokens?: LabTokens | undefined;
  /** The controller's own namespace. */
  readonly controller: string;
  readonly logger: Logger;
  /** How long a request waits for the first complete picture, in milliseconds. */
  readonly readyTimeoutMs?: number;
}

const READY_TIMEOUT_MS = 30_000;
/** How often an intent is written again when nobody knows whether it arrived. */
const WRITE_ATTEMPTS = 3;
/** The events of the pod may take the progress so far; the rest is the hub's, which waits for the server. */
const POD_EVENTS_PROGRESS = 75;

/** The labs, as the REST API sees them: reads from the picture, and writes of intents. */
export class Labs implements LabService {
  readonly #options: LabsOptions;
  readonly #addressing: LabAddressing;

  constructor(options: LabsOptions) {
    this.#options = options;
    const { internalUrl, port, clusterDomain } = options.config;
    this.#addressing = { mode: internalUrl, port, clusterDomain };
  }

  isReady(): boolean {
    return this.#options.watches.isReady;
  }

  async ready(): Promise<void> {
    const { watches, readyTimeoutMs = READY_TIMEOUT_MS } = this.#options;
    if (watches.isReady) return;
    const message = 'Labwright does not know the state of the cluster yet; try again in a moment';
    await unlessLate(
      watches.ready,
      readyTimeoutMs,
      () => new LabwrightError('not_ready', 503, message, { retryAfter: 5, cause: watches.lastError }),
    );
  }

  runningUsers(): string[] {
    const running = this.list().filter(({ status, spec }) => status === 'running' && spec.servername === '');
    return running.map(({ spec }) => spec.user.username).sort();
  }

  list(): LabState[] {
    const states = [...this.#options.watches.intents()].map(({ slug }) => this.#state(slug));
    return states.filter((state) => state !== undefined);
  }

  get(key: LabKey): LabState | undefined {
    return this.#state(labSlug(key));
  }

  async create(request: CreateLab): Promise<void> {
    const { watches, operations, queue, config, tokens } = this.#options;
    const slug = labSlug(request.key);
    const existing = watches.observe(slug).intent;
    const status = this.#state(slug)?.status;
    // What is reported as over can be replaced at once, also in the moment before that is written down.
    const isOver = status === 'failed' || status === 'terminated';
    if (existing !== undefined && !isOver) throw this.#conflict(request.key);
    await tokens?.ready();
    const createdAt = Date.now();
    const { key, secrets: requested, ...rest } = request;
    // Of what the caller has, the lab gets no more than is configured.
    const secrets = config.token.source === 'caller' ? requested : { ...requested, token: null };
    const spec: LabSpec = {
      ...rest,
      spawnId: randomUUID(),
      servername: key.servername,
      namespace: watches.namespaceOf(slug) ?? buildObjectNames(key, config.namespacePrefix).namespace,
      ...(config.token.source === 'signed' ? { signedToken: true } : {}),
      createdAt,
      deadline: createdAt + config.spawnTimeout,
    };
    const promised = operations.keepSecrets(spec.spawnId, secrets, async () => {
      const written = await this.#write(spec, secrets, key, existing?.resourceVersion);
      // Before the picture changes: whoever looks next finds the operation under way.
      operations.resume('spawn', { slug, username: key.username, spawnId: spec.spawnId });
      watches.observeIntent(written);
    });
    await promised.catch(explainKubeError);
    queue.add(slug);
  }

  async delete(key: LabKey): Promise<void> {
    const { watches, operations, queue, config, logger } = this.#options;
    const slug = labSlug(key);
    const intent = watches.observe(slug).intent;
    if (intent === undefined) throw unknownUser(key);
    const marked = intent.deleting ? intent : await this.#markDeleting(intent).catch(explainKubeError);
    if (marked === undefined) throw unknownUser(key);
    const { log } = operations.resume('delete', subjectOf(marked));
    queue.add(slug);
    const deadline = AbortSignal.timeout(config.deleteTimeout);
    for await (const event of log.read(undefined, deadline)) {
      if (event.type === 'complete') return;
    }
    logger.warn({ lab: slug }, 'a delete takes too long; it goes on in the background');
    throw new LabwrightError('delete_failed', 500, 'Failed to delete lab: it takes too long, and goes on');
  }

  events(key: LabKey, lastEventId: string | undefined, signal: AbortSignal): AsyncIterable<LabEvent> | undefined {
    const log = this.#log(key);
    const position = parseEventId(lastEventId);
    // Whoever follows one operation is told how that one ended, not how the next one goes.
    const isSame = position === undefined || (log?.kind === position.kind && log.spawnId === position.spawnId);
    return isSame ? log?.read(lastEventId, signal) : endedUnseen(key, position).read(undefined, signal);
  }

  /** Tells the readers of a spawn what Kubernetes says about its pod. */
  onPodEvent(slug: string, { type, reason = '', message = '' }: CoreV1Event): void {
    const operation = this.#options.operations.get(slug);
    if (operation === undefined || operation.log.kind !== 'spawn' || operation.log.ended) return;
    const trouble = type === 'Normal' ? undefined : findEventTrouble(reason, message);
    operation.eventTrouble = troubleFor(trouble, operation.eventTrouble, Date.now());
    operation.log.step(eventText(reason, message), POD_EVENTS_PROGRESS);
    if (trouble !== undefined) this.#options.queue.add(slug);
  }

  #state(slug: string): LabState | undefined {
    const { watches, operations } = this.#options;
    const podSeen = (operations.get(slug)?.podUid ?? null) !== null;
    return recreateLabState(watches.observe(slug), this.#addressing, podSeen);
  }

  /** The log of the lab's current or last operation; begun anew when this process does not know it. */
  #log(key: LabKey): OperationLog | undefined {
    const { watches, operations, queue } = this.#options;
    const slug = labSlug(key);
    const { intent } = watches.observe(slug);
    if (intent === undefined) return operations.last(slug)?.log;
    const { log } = operations.resume(intent.deleting ? 'delete' : 'spawn', subjectOf(intent));
    // After a restart a lab may be long done: its next run ends the log.
    if (!log.ended) queue.add(slug);
    return log;
  }

  /**
   * Writes the intent of a new lab: from here on it is a promise.
   *
   * @param version of the intent of a lab that is over, which it replaces
   */
  async #write(spec: LabSpec, secrets: LabSecrets, key: LabKey, version: string | undefined): Promise<V1Secret> {
    const { client, controller } = this.#options;
    let replaced = version;
    for (let attempt = 1; ; attempt += 1) {
      const intent = buildIntent(spec, secrets, controller, replaced);
      try {
        return await (replaced === undefined
          ? client.create(Secrets, intent, METADATA_ONLY)
          : client.replace(Secrets, intent, METADATA_ONLY));
      } catch (error) {
        if (!(error instanceof KubeError)) throw error;
        const changed = error.status === 409 || (error.status === 404 && replaced !== undefined);
        if (!changed && !error.isTransient) throw error;
        // It may have arrived although no answer did, at this attempt or the one before.
        const found = await client.get(Secrets, { namespace: controller, name: intent.metadata.name ?? '' });
        const there = parseIntent(found?.metadata);
        if (found !== undefined && there?.spec.spawnId === spec.spawnId) return found;
        const isFree = found === undefined || (there !== undefined && there.failure !== null && !there.deleting);
        if (!isFree) throw this.#conflict(key);
        // A lab that is over was noted as cleaned up, or was forgotten, in this moment.
        replaced = there?.resourceVersion;
        if (attempt === WRITE_ATTEMPTS) throw error;
      }
    }
  }

  /** @returns the intent as it is now; undefined when the lab is gone already */
  async #markDeleting(intent: ObservedIntent): Promise<ObservedIntent | undefined> {
    const { client, controller, watches, operations } = this.#options;
    try {
      const ref = { namespace: controller, name: intent.name };
      const patched = await client.patch(Secrets, ref, deletingPatch(intent.uid, Date.now()), METADATA_ONLY);
      // A new lab may have taken the place of a failed one in this moment: then it is that which goes.
      const marked = parseIntent(patched.metadata) ?? intent;
      operations.resume('delete', subjectOf(marked));
      watches.observeIntent(patched);
      return marked;
    } catch (error) {
      if (isOutdated(error)) return undefined;
      throw error;
    }
  }

  #conflict(key: LabKey): LabwrightError {
    const status = this.get(key)?.status;
    if (status === 'running') return new LabwrightError('lab_exists', 409, `Lab already exists for ${key.username}`);
    const kind = status === 'terminating' ? 'delete' : 'spawn';
    const message = `An operation for ${key.username} is in progress: ${kind}`;
    return new LabwrightError('operation_in_progress', 409, message);
  }
}

function unknownUser({ username }: LabKey): LabwrightError {
  return new LabwrightError('unknown_user', 404, `Unknown user ${username}`, { loc: ['path', 'username'] });
}

/** For a reader that comes back when its operation is over and another one has followed: how it must have ended. */
function endedUnseen({ username }: LabKey, { kind, spawnId }: Position): OperationLog {
  const log = new OperationLog(kind, spawnId);
  if (kind === 'delete') log.end('complete', `Lab for ${username} deleted`);
  else log.end('failed', 'Operation cancelled');
  return log;
}
