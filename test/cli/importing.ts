import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parse } from 'yaml';
import { parseArguments, runCommand } from '../../src/cli/index.ts';
import type { ImportReport } from '../../src/cli/import/findings.ts';
import type { ImportKind } from '../../src/cli/import/kinds.ts';

/** Runs `labwright import` on values that are written to files first. */
export async function runImport(kind: ImportKind, values: string, ...more: string[]) {
  const folder = await mkdtemp(join(tmpdir(), 'labwright-import-'));
  try {
    const [file, report, hub] = ['values.yaml', 'report.json', 'hub.yaml'].map((name) => join(folder, name));
    await writeFile(file as string, values);
    const outputs = ['--report', report as string, '--hub-values', hub as string];
    const command = parseArguments(['import', kind, '-f', file as string, ...outputs, ...more]);
    if (command.command === 'serve') throw new Error('another command');
    const result = await runCommand(command);
    const hubText = await readFile(hub as string, 'utf8');
    return {
      ...result,
      report: JSON.parse(await readFile(report as string, 'utf8')) as ImportReport,
      hubText,
      hubValues: parse(hubText) as Record<string, unknown>,
    };
  } finally {
    await rm(folder, { recursive: true });
  }
}

/** The values of which a report says nothing. */
export function untold(values: string, report: ImportReport): string[] {
  const told = Object.values(report).flatMap((findings: ImportReport['lost']) => findings.map(({ path }) => path));
  return leaves(parse(values)).filter(
    (leaf) => !told.some((path) => leaf === path || leaf.startsWith(`${path}.`) || leaf.startsWith(`${path}[`)),
  );
}

function leaves(value: unknown, path = ''): string[] {
  if (typeof value !== 'object' || value === null) return value === null ? [] : [path];
  return Object.entries(value).flatMap(([key, entry]: [string, unknown]) => {
    if (Array.isArray(value)) return leaves(entry, `${path}[${key}]`);
    const written = /^[A-Za-z0-9_-]+$/.test(key) ? `${path === '' ? '' : '.'}${key}` : `[${JSON.stringify(key)}]`;
    return leaves(entry, `${path}${written}`);
  });
}
