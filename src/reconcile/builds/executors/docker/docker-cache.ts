import { LRUCache } from 'lru-cache';
import { BUILD_LABEL, buildSelector } from '../../../../domain/build/build-intent.ts';
import type { ContainerFacts, ListedContainer } from '../../../../storage/docker-engine/container-facts.ts';
import type { DockerEngine } from '../../../../storage/docker-engine/docker-engine.ts';
import { observeContainer, vanishedRun } from './docker-run.ts';
import type { Attempt, ObservedRun } from '../executor.ts';

export interface DockerCacheOptions {
  readonly engine: DockerEngine;
  /** Name of the executor. */
  readonly name: string;
  readonly controller: string;
  /** How long a build may take. */
  readonly totalMs: number;
  readonly onChange: (id: string) => void;
}

interface Kept {
  readonly container: string;
  readonly run: ObservedRun;
}

/** What is remembered of containers that are gone. */
const GONE = 1000;
/** Containers looked at in the same moment, when all are. */
const AT_ONCE = 8;
/** A container that was made and not started for so long was left behind by a controller that died in between. */
const LEFTOVER_MS = 10 * 60_000;

/**
 * The containers of builds on one engine, as last seen. A container that was not started is not in it: its build is to be
 * started again. Level-triggered: that something has happened to a container is a reason to look at it, no more.
 */
export class DockerCache {
  readonly labels: readonly string[];
  readonly #options: DockerCacheOptions;
  readonly #kept = new Map<string, Kept>();
  /** Builds whose containers somebody else has removed, until they are stopped. */
  readonly #vanished = new LRUCache<string, ObservedRun>({ max: GONE });
  /** Containers that are gone: an answer that comes late must not bring one back. */
  readonly #gone = new LRUCache<string, true>({ max: GONE });
  /** Containers that are looked at in this moment, and whether they are to be looked at once more. */
  readonly #looking = new Map<string, { again: boolean; done: Promise<void> }>();

  constructor(options: DockerCacheOptions) {
    this.#options = options;
    this.labels = buildSelector(options.controller).split(',');
  }

  *runs(): Iterable<ObservedRun> {
    for (const { run } of this.#kept.values()) yield run;
    for (const [id, run] of this.#vanished.entries()) if (!this.#kept.has(id)) yield run;
  }

  observe(id: string): ObservedRun | undefined {
    return this.#kept.get(id)?.run ?? this.#vanished.get(id);
  }

  /** The engine's id of the container of an attempt. */
  containerOf({ id, createdAt }: Attempt): string | undefined {
    const known = this.#kept.get(id);
    return known?.run.createdAt === createdAt ? known.container : undefined;
  }

  isOurs({ labels }: Pick<ContainerFacts, 'labels'>): boolean {
    return this.labels.every((pair) => {
      const [name = '', value] = pair.split('=');
      return labels[name] === value;
    });
  }

  /**
   * Looks at everything, and compares.
   *
   * @returns the engine's time before that, and containers that were left behind
   */
  async refresh(signal: AbortSignal): Promise<{ at: number; leftovers: ListedContainer[] }> {
    const { engine } = this.#options;
    // What is started meanwhile is not in the list, and not gone.
    const before = [...this.#kept.values()];
    const { containers, at } = await engine.listContainers(this.labels, signal);
    const listed = new Set(containers.map(({ id }) => id));
    for (const { container } of before) if (!listed.has(container)) this.#lose(container);
    const news = containers.filter((container) => container.status !== 'created' && !this.#isOver(container));
    for (let next = 0; next < news.length; next += AT_ONCE) {
      await Promise.all(news.slice(next, next + AT_ONCE).map(({ id }) => this.look(id, signal)));
    }
    const leftovers = containers.filter(
      ({ status, createdAt }) => status === 'created' && at - createdAt > LEFTOVER_MS,
    );
    return { at, leftovers };
  }

  /** Looks at one container; never twice in the same moment, so that an older answer cannot come last. */
  look(container: string, signal: AbortSignal): Promise<void> {
    const under = this.#looking.get(container);
    if (under !== undefined) {
      under.again = true;
      return under.done;
    }
    const look = { again: true, done: Promise.resolve() };
    this.#looking.set(container, look);
    look.done = this.#look(container, look, signal).finally(() => this.#looking.delete(container));
    return look.done;
  }

  async #look(container: string, look: { again: boolean }, signal: AbortSignal): Promise<void> {
    while (look.again) {
      look.again = false;
      const facts = await this.#options.engine.inspectContainer(container, signal);
      if (facts === undefined) this.#lose(container);
      else this.take(facts);
    }
  }

  /** What a container is seen to be. */
  take(facts: ContainerFacts): void {
    const { name, totalMs, onChange } = this.#options;
    const id = facts.labels[BUILD_LABEL];
    if (id === undefined || facts.status === 'created' || this.#gone.has(facts.id) || !this.isOurs(facts)) return;
    const before = this.#kept.get(id);
    const run = observeContainer(id, facts, name, totalMs);
    if (before?.container === facts.id && (before.run.stage === 'ended' || before.run.stage === run.stage)) return;
    this.#kept.set(id, { container: facts.id, run });
    this.#vanished.delete(id);
    onChange(id);
  }

  /** The container of an attempt was removed by us, if there was one. */
  forget({ id, createdAt }: Attempt, container: string | undefined): void {
    if (container !== undefined) this.#gone.set(container, true);
    if (this.#kept.get(id)?.run.createdAt === createdAt) this.#kept.delete(id);
    if (this.#vanished.get(id)?.createdAt === createdAt) this.#vanished.delete(id);
    this.#options.onChange(id);
  }

  #lose(container: string): void {
    const found = [...this.#kept].find(([, kept]) => kept.container === container);
    if (found === undefined) return;
    const [id, { run }] = found;
    this.#gone.set(container, true);
    this.#kept.delete(id);
    this.#vanished.set(id, vanishedRun(run));
    this.#options.onChange(id);
  }

  #isOver({ id, labels }: ListedContainer): boolean {
    const kept = this.#kept.get(labels[BUILD_LABEL] ?? '');
    return kept?.container === id && kept.run.stage === 'ended';
  }
}
