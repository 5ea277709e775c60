import { isRecord } from '../../util/is-record.ts';
import { appendToPath } from '../../util/json-path.ts';
import type { Findings } from './findings.ts';

export type Json = unknown;
export type Table = Readonly<Record<string, Json>>;

/** A place in the values that are imported. Saying what became of it settles all that is in it. */
export class Source {
  readonly value: Json;
  readonly path: string;
  readonly #findings: Findings;
  /** By path, whether it stays in the values of the hub. */
  readonly #settled: Map<string, boolean>;

  constructor(value: Json, findings: Findings, path = '', settled = new Map<string, boolean>()) {
    this.value = value;
    this.path = path;
    this.#findings = findings;
    this.#settled = settled;
  }

  /** What is at a key; undefined where nothing is, or null. */
  at(...keys: string[]): Source | undefined {
    const [key, ...rest] = keys;
    if (key === undefined) return this;
    if (!isRecord(this.value) || !Object.hasOwn(this.value, key)) return undefined;
    const value = this.value[key];
    return value === null || value === undefined ? undefined : this.#inside(key, value).at(...rest);
  }

  /** As `at`, and nothing where nothing is. */
  within(key: string): Source {
    return this.at(key) ?? this.#inside(key, {});
  }

  /** Whether it has been said what became of it. */
  get isSettled(): boolean {
    return this.#settled.has(this.path);
  }

  /** The entries of a table whose value is null: it takes away what holds for all. */
  nulls(): (readonly [key: string, entry: Source])[] {
    if (!isRecord(this.value)) return [];
    return Object.entries(this.value).flatMap(([key, value]) =>
      value === null ? [[key, this.#inside(key, value)]] : [],
    );
  }

  /** The entries of a table or a list, in order, without those that are null. */
  entries(): (readonly [key: string, entry: Source])[] {
    const all = Array.isArray(this.value)
      ? this.value.map((value: Json, index) => [index, value] as const)
      : isRecord(this.value)
        ? Object.entries(this.value)
        : [];
    return all.flatMap(([key, value]) => (value === null ? [] : [[String(key), this.#inside(key, value)] as const]));
  }

  /** Its value, where that is text or a number. */
  text(): string | undefined {
    return typeof this.value === 'string' || typeof this.value === 'number' ? String(this.value) : undefined;
  }

  /** @param to key of the configuration; none where what it says holds anyway */
  mapped(to?: string): void {
    this.#settle('mapped', to === undefined ? {} : { to });
  }

  /** @param to key of the configuration, which gets the remark as a comment; none where there is no such key */
  remarked(to: string | undefined, why: string): void {
    this.#settle('remarked', { ...(to === undefined ? {} : { to }), why });
  }

  hub(): void {
    this.#settle('hub', {}, true);
  }

  /** @param stays it is left in the values of the hub, where it may do something else as well */
  lost(why: string, stays = false): void {
    this.#settle('lost', { why }, stays);
  }

  /** The values inside of which nothing has been said. */
  unsettled(): Source[] {
    if (this.isSettled) return [];
    // What is empty sets nothing.
    if (typeof this.value === 'object' || this.value === '')
      return this.entries().flatMap(([, entry]) => entry.unsettled());
    return [this];
  }

  /** What stays with the hub: the values without those of which something else was said. Undefined where nothing does. */
  remaining(): Json {
    const stays = this.#settled.get(this.path);
    if (stays !== undefined) return stays ? this.value : undefined;
    const isList = Array.isArray(this.value);
    if (!isList && !isRecord(this.value)) return this.value;
    // Null takes away a default of the chart.
    const left = [...this.entries(), ...this.nulls()].flatMap(([key, entry]) => {
      const value = entry.remaining();
      return value === undefined ? [] : [[key, value] as const];
    });
    const isEmptied = left.length === 0 && Object.keys(this.value).length > 0;
    if (isEmptied) return undefined;
    return isList ? left.map(([, value]) => value) : Object.fromEntries(left);
  }

  /** Whether what is at a path stays with the hub, though something else was said of it. */
  stays(path: string): boolean {
    return this.#settled.get(path) === true;
  }

  #settle(how: keyof Findings, said: { to?: string; why?: string }, stays = false): void {
    this.#settled.set(this.path, stays);
    (this.#findings[how] as object[]).push({ path: this.path, ...said });
  }

  #inside(key: string | number, value: Json): Source {
    return new Source(value, this.#findings, appendToPath(this.path, key), this.#settled);
  }
}

/** Several files of values as Helm reads them: tables are merged, anything else is replaced, and null removes. */
export function mergeValues(left: Json, right: Json): Json {
  if (!isRecord(left) || !isRecord(right)) return right;
  const merged = new Map(Object.entries(left));
  for (const [key, value] of Object.entries(right)) {
    if (value === null) merged.delete(key);
    else merged.set(key, mergeValues(merged.get(key), value));
  }
  return Object.fromEntries(merged);
}
