import { isRecord } from '../../util/is-record.ts';
import { readFile, writeFile } from 'node:fs/promises';
import { parse, YAMLParseError } from 'yaml';
import type { ImportCommand } from '../arguments.ts';
import { refused, type CommandResult } from '../result.ts';
import { writeReport } from './findings.ts';
import { type Json, mergeValues } from './source.ts';
import { importFrom } from './importer.ts';

/** `labwright import KIND`: the configuration on standard output, and what became of each value on standard error. */
export async function importValues({ kind, files, homes, ...outputs }: ImportCommand): Promise<CommandResult> {
  let values: Json = {};
  for (const file of files) {
    try {
      const read: Json = parse(await readFile(file, 'utf8')) ?? {};
      if (!isRecord(read)) return refused(`import: ${file} holds no values`);
      values = mergeValues(values, read);
    } catch (error) {
      const isTheirs = error instanceof YAMLParseError || (error instanceof Error && 'code' in error);
      if (!isTheirs) throw error;
      return refused(`import: ${file} cannot be read: ${error.message}`);
    }
  }
  const { config, hubValues, report, problems } = importFrom(kind, values, { homes });
  if (outputs.report !== undefined) await writeFile(outputs.report, `${JSON.stringify(report, undefined, 2)}\n`);
  // The values of a hub can hold its secrets.
  if (outputs.hubValues !== undefined) await writeFile(outputs.hubValues, hubValues, { mode: 0o600 });
  const left =
    problems.length === 0 ? '' : `\nThe configuration needs a hand:\n${problems.map((each) => `  ${each}\n`).join('')}`;
  return { exitCode: 0, stdout: config, stderr: `${writeReport(report)}${left}` };
}
