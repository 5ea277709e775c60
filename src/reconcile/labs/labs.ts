import type { V1ObjectMeta, V1Secret } from '@kubernetes/client-node';
import { randomUUID } from 'node:crypto';
import type { Logger } from 'pino';
import type { LabConfig } from '../../config/config.ts';
import { LabwrightError } from '../../domain/errors.ts';
import { buildIntent, deletingPatch, INTENT_TYPE, parseIntent } from '../../domain/lab/intent.ts';
import type { LabBuilder } from '../../builder/lab/lab-builder.ts';
import type { LabEvent, LabKey, LabSecrets, LabSpec, LabState } from '../../domain/lab/lab.ts';
import { LAB_INTENT_KIND } from '../../domain/lab/object-names.ts';
import type { Occupant } from '../../domain/lab/placeholders.ts';
import type { ObservedIntent } from '../../domain/lab/observed.ts';
import { KIND_LABEL, labSlug } from '../../domain/names.ts';
import { type KubeClient, METADATA_ONLY } from '../../storage/kubernetes/kube-client.ts';
import { isOutdated, KubeError } from '../../storage/kubernetes/kube-error.ts';
import { Secrets } from '../../storage/kubernetes/resources.ts';
import { withTimeout } from '../../util/abort.ts';
import { explainKubeError } from '../explain-kube-error.ts';
import type { LabAdmission } from './admission/lab-admission.ts';
import type { LabAdoption } from './adoption.ts';
import type { Staleness } from '../health.ts';
import type { LabCache } from './lab-cache.ts';
import { isDoubtful, type LabLookup } from './lab-lookup.ts';
import type { CreateLab, LabService, LabTokens } from './lab-service.ts';
import type { LabEventReporter } from './lab-events.ts';
import type { LabTeardown } from './lab-teardown.ts';
import { OperationLog, parseEventId, type Position } from './operation-log.ts';
import { type Operations, subjectOf } from './operations.ts';

export interface LabsOptions {
  readonly client: KubeClient;
  readonly cache: LabCache;
  readonly lookup: LabLookup;
  readonly adoption: LabAdoption;
  readonly admission: LabAdmission;
  readonly builder: LabBuilder;
  readonly reporter: LabEventReporter;
  readonly teardown: Pick<LabTeardown, 'deletePod'>;
  readonly operations: Operations;
  readonly config: LabConfig;
  /** Where the configuration asks for signed tokens. */
  readonly tokens?: LabTokens | undefined;
  /** The controller's own namespace. */
  readonly controller: string;
  readonly logger: Logger;
  /** How long a request waits until the cluster has been read, in milliseconds. */
  readonly readyTimeoutMs?: number;
}

const READY_TIMEOUT_MS = 30_000;
/** How often an intent is written again when nobody knows whether it arrived, or when others change it. */
const WRITE_ATTEMPTS = 3;
/** Most spawns that an intent names as those it took the place of. */
const EARLIER_SPAWNS = 8;

/** The labs, as the REST API sees them: reads from the cache, and writes of intents. The same on every replica. */
export class Labs implements LabService {
  readonly #options: LabsOptions;

  constructor(options: LabsOptions) {
    this.#options = options;
  }

  isReady(): boolean {
    return this.#options.cache.isSynced;
  }

  get staleness(): Staleness | undefined {
    return this.#options.cache.staleness;
  }

  async ready(key?: LabKey): Promise<void> {
    const { cache, lookup, adoption, readyTimeoutMs = READY_TIMEOUT_MS } = this.#options;
    if (!cache.isSynced) {
      const message = 'Labwright does not know the state of the cluster yet; try again in a moment';
      await withTimeout(
        cache.synced,
        readyTimeoutMs,
        () => new LabwrightError('not_ready', 503, message, { retryAfter: 5, cause: cache.lastError }),
      );
    }
    const slug = key === undefined ? undefined : labSlug(key);
    if (slug === undefined || !isDoubtful(cache, slug)) return;
    const look = lookup.refresh(slug).then(() => adoption.adopt(slug));
    await look.catch((error: unknown) => {
      // What is known is better than no answer; that nothing is known of a lab does not mean that there is none.
      if (cache.intentOf(slug) === undefined) explainKubeError(error);
    });
  }

  runningUsers(): string[] {
    const running = this.list().filter(({ status, spec }) => status === 'running' && spec.servername === '');
    return running.map(({ spec }) => spec.user.username).sort();
  }

  list(): LabState[] {
    const states = [...this.#options.cache.intents()].map(({ slug }) => this.#state(slug));
    return states.filter((state) => state !== undefined);
  }

  get(key: LabKey): LabState | undefined {
    return this.#state(labSlug(key));
  }

  async create(request: CreateLab): Promise<void> {
    const { admission, tokens } = this.#options;
    const existing = await this.#findReplaceable(request.key, labSlug(request.key));
    await tokens?.ready();
    await admission.admit(request, () => this.#accept(request, existing));
  }

  /** @param existing the intent of a lab that is over, which it replaces */
  async #accept(request: CreateLab, existing: ObservedIntent | undefined): Promise<void> {
    const { cache, operations, config } = this.#options;
    const slug = labSlug(request.key);
    const createdAt = Date.now();
    const { key, secrets: requested, ...rest } = request;
    // Of what the caller has, the lab gets no more than is configured.
    const secrets = config.token.source === 'caller' ? requested : { ...requested, token: null };
    const spec: LabSpec = {
      ...rest,
      spawnId: randomUUID(),
      servername: key.servername,
      ...this.#place(slug, { user: request.user, servername: key.servername }),
      ...(config.token.source === 'signed' ? { signedToken: true } : {}),
      createdAt,
      deadline: createdAt + config.spawnTimeout,
    };
    const promised = operations.keepSecrets(spec.spawnId, secrets, async () => {
      cache.observeIntent(await this.#write(spec, secrets, key, existing));
      // Unless the watch has told of its end before the answer to the write was here.
      if (cache.intentOf(slug)?.spec.spawnId !== spec.spawnId) return;
      operations.resume('spawn', { slug, username: key.username, spawnId: spec.spawnId });
    });
    await promised.catch(explainKubeError);
  }

  /** A lab that has a namespace from before goes there, if it is to have one of its own. */
  #place(slug: string, occupant: Occupant): Pick<LabSpec, 'namespace' | 'objectName'> {
    const place = this.#options.builder.placeOf(occupant);
    const before = place.objectName === undefined ? this.#options.cache.namespaceOf(slug) : undefined;
    return before === undefined ? place : { namespace: before };
  }

  async delete(key: LabKey, { force = false } = {}): Promise<void> {
    const { operations, cache, config, logger } = this.#options;
    const marked = await this.#markDeleting(key).catch(explainKubeError);
    const slug = labSlug(key);
    if (marked === undefined) throw unknownUser(key);
    if (marked.written !== undefined) cache.observeIntent(marked.written);
    // The watch may have told of its end before the answer to the write was here.
    if (cache.intentOf(slug)?.uid !== marked.intent.uid) return;
    const operation = operations.resume('delete', subjectOf(marked.intent));
    if (force) await this.#forcePod(key).catch(explainKubeError);
    const deadline = AbortSignal.timeout(config.deleteTimeout);
    for await (const event of operation.log.read(undefined, deadline)) {
      if (event.type === 'complete') return;
    }
    logger.warn({ lab: slug }, 'a delete takes too long; it goes on in the background');
    const message = withCause('Failed to delete lab: it takes too long, and goes on', this.get(key));
    throw new LabwrightError('delete_failed', 500, message);
  }

  /** Takes the pod of a lab that is to go out of the API server's records, whether its machine has ended it or not. */
  async #forcePod(key: LabKey): Promise<void> {
    const { cache, logger, teardown } = this.#options;
    const { pod } = cache.observe(labSlug(key));
    if (pod === undefined) return;
    const { slug: lab, namespace, node } = pod;
    logger.warn({ lab, namespace, node }, 'deleting a pod by force: it may still run');
    await teardown.deletePod(pod, { force: true });
  }

  events(key: LabKey, lastEventId: string | undefined, signal: AbortSignal): AsyncIterable<LabEvent> | undefined {
    const { reporter, operations } = this.#options;
    const slug = labSlug(key);
    const log = (reporter.report(slug) ?? operations.last(slug))?.log;
    const position = parseEventId(lastEventId);
    // Whoever follows one operation is told how that one ended, not how the next one goes.
    const isSame = position === undefined || (log?.kind === position.kind && log.spawnId === position.spawnId);
    return isSame ? log?.read(lastEventId, signal) : endedUnseen(key, position).read(undefined, signal);
  }

  #state(slug: string): LabState | undefined {
    const { cache, builder } = this.#options;
    const observed = cache.observe(slug);
    const podSeen = observed.intent !== undefined && cache.hasSeenPod(observed.intent);
    return builder.recreateLabState(observed, podSeen, Date.now());
  }

  /**
   * The intent of a lab that is over, which a new one can replace; undefined when there is none.
   *
   * @throws {LabwrightError} when there is a lab that is not over
   */
  async #findReplaceable(key: LabKey, slug: string): Promise<ObservedIntent | undefined> {
    const { cache, lookup, adoption } = this.#options;
    const isInTheWay = () => {
      const status = this.#state(slug)?.status;
      // What is reported as over can be replaced at once, also in the moment before that is written down.
      return status !== undefined && status !== 'failed' && status !== 'terminated';
    };
    // Another replica may have seen the end of it already.
    if (isInTheWay()) await lookup.refresh(slug).catch(explainKubeError);
    // A lab that runs is one, also when its intent is gone.
    await adoption.adopt(slug).catch(explainKubeError);
    if (isInTheWay()) throw this.#conflict(key);
    return cache.intentOf(slug);
  }

  /**
   * Writes the intent of a new lab: from here on it is a promise.
   *
   * @param over the intent of a lab that is over, which it replaces
   */
  async #write(lab: LabSpec, secrets: LabSecrets, key: LabKey, over: ObservedIntent | undefined): Promise<V1Secret> {
    const { client, cache, controller } = this.#options;
    let replaced = over;
    for (let attempt = 1; ; attempt += 1) {
      const spec = { ...lab, ...earlierSpawns(replaced) };
      const intent = buildIntent(spec, secrets, controller, replaced?.resourceVersion);
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
        const there = parseIntent(found?.metadata) ?? remainsOf(found);
        if (found !== undefined && there?.spec.spawnId === spec.spawnId) return found;
        if (found !== undefined) {
          cache.observeIntent(found);
          if (there === undefined) throw nameTaken(found.metadata);
          // A lab that is over may be noted as such or as cleaned up, or be forgotten, in this moment.
          if (!isReplaceable(there, over)) throw this.#conflict(key);
        }
        replaced = there;
        if (attempt === WRITE_ATTEMPTS) throw error;
      }
    }
  }

  /** @returns the intent as it is now, and what was written if anything had to be; undefined when there is no such lab */
  async #markDeleting(
    key: LabKey,
  ): Promise<{ readonly intent: ObservedIntent; readonly written?: V1Secret } | undefined> {
    const { client, controller, cache, lookup } = this.#options;
    const slug = labSlug(key);
    for (let attempt = 1; ; attempt += 1) {
      const intent = cache.intentOf(slug);
      if (intent === undefined || intent.deleting) return intent === undefined ? undefined : { intent };
      try {
        const ref = { namespace: controller, name: intent.name };
        const written = await client.patch(Secrets, ref, deletingPatch(intent.uid, Date.now()), METADATA_ONLY);
        // A new lab may have taken the place of a failed one in this moment: then it is that which goes.
        return { intent: parseIntent(written.metadata) ?? intent, written };
      } catch (error) {
        if (!isOutdated(error) || attempt === WRITE_ATTEMPTS) throw error;
        // Gone, or another one of its name that another replica has accepted.
        await lookup.refresh(slug);
        if (cache.intentOf(slug)?.uid === intent.uid) cache.forgetIntent(intent);
      }
    }
  }

  #conflict(key: LabKey): LabwrightError {
    const state = this.get(key);
    const status = state?.status;
    if (status === 'running') return new LabwrightError('lab_exists', 409, `Lab already exists for ${key.username}`);
    const kind = status === 'terminating' ? 'delete' : 'spawn';
    const message = withCause(`An operation for ${key.username} is in progress: ${kind}`, state);
    return new LabwrightError('operation_in_progress', 409, message);
  }
}

/** The intent of which only the type is left that nobody can change. */
function remainsOf(found: V1Secret | undefined): ObservedIntent | undefined {
  if (found?.type !== INTENT_TYPE) return undefined;
  const labels = { [KIND_LABEL]: LAB_INTENT_KIND };
  return parseIntent({ ...found.metadata, labels });
}

/** Somebody else's Secret with the name of the intent: no lab, and no create until it is gone. */
function nameTaken({ namespace = '', name = '' }: V1ObjectMeta = {}): LabwrightError {
  const message =
    `There can be no such lab while there is the Secret ${namespace}/${name}, which is not of Labwright: ` +
    'an administrator has to remove it';
  return new LabwrightError('name_taken', 409, message);
}

/** @param over the intent of a lab whose pod was seen to have ended, though that may not be written down */
function isReplaceable(there: ObservedIntent, over: ObservedIntent | undefined): boolean {
  if (there.deleting) return false;
  return there.failure !== null || there.damaged || there.spec.spawnId === over?.spec.spawnId;
}

/** The spawns whose pod or secrets may still be there when another one takes the place of this one. */
function earlierSpawns(replaced: ObservedIntent | undefined): Pick<LabSpec, 'earlierSpawns'> {
  if (replaced === undefined || replaced.cleaned) return { earlierSpawns: [] };
  const { earlierSpawns: before, spawnId } = replaced.spec;
  // What was made before secrets were labelled is found by the lab alone.
  return before === undefined ? {} : { earlierSpawns: [...before, spawnId].slice(-EARLIER_SPAWNS) };
}

/** A sentence, and after it what the lab waits for, if that is known. */
function withCause(sentence: string, state: LabState | undefined): string {
  return state?.message === undefined || state.message === null ? sentence : `${sentence}. ${state.message}`;
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
