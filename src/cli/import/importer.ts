import { ConfigError, parseConfig } from '../../config/index.ts';
import { importBinderHub } from './binderhub.ts';
import { Findings, type ImportReport } from './findings.ts';
import { HUB_NOTES, hubWithLabwright, writeHubValues } from './hub-values.ts';
import type { ImportKind } from './kinds.ts';
import { importNublado } from './nublado.ts';
import { type Json, Source } from './source.ts';
import { writeConfig } from './write-config.ts';
import { hubChart, importZ2jh } from './z2jh.ts';

export interface ImportOptions {
  /** Where homes are: the export that the claim of the hub stands for. */
  readonly homes: { readonly server: string; readonly path: string } | undefined;
}

export interface Imported {
  /** Labwright's configuration as YAML. */
  readonly config: string;
  /** The values that stay with the hub's chart as YAML, with what the hub needs to use Labwright. */
  readonly hubValues: string;
  readonly report: ImportReport;
  /** What `check-config` would say of it; empty when it can be used. */
  readonly problems: readonly string[];
}

/** Makes a configuration of the values of one system, tells them what became of each, and says what is left for the hub. */
type Importer = (root: Source, options: ImportOptions) => ImporterResult;

export interface ImporterResult {
  readonly config: Json;
  /** What stays with the chart of the hub, and what its hub needs. */
  readonly hubValues: Json;
  /** What to know of them, in lines. */
  readonly hubNotes: readonly string[];
}

const IMPORTERS: Readonly<Record<ImportKind, Importer>> = {
  z2jh: (root, options) => {
    const chart = hubChart(root);
    const config = importZ2jh(chart, options);
    for (const rest of root.unsettled()) rest.hub();
    return { config, hubValues: hubWithLabwright(root, chart), hubNotes: HUB_NOTES };
  },
  nublado: importNublado,
  binderhub: importBinderHub,
};

/** The values of another system as a configuration of Labwright. */
export function importFrom(kind: ImportKind, values: Json, options: ImportOptions): Imported {
  const findings = new Findings();
  const root = new Source(values, findings);
  const made = IMPORTERS[kind](root, options);
  const config = writeConfig(made.config, findings);
  return {
    config,
    hubValues: writeHubValues(made, root, findings),
    report: findings,
    problems: problemsOf(config),
  };
}

function problemsOf(text: string): string[] {
  try {
    parseConfig(text);
    return [];
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return error.problems.map(({ path, message }) => `${path}: ${message}`);
  }
}
