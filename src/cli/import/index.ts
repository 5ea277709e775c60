import { isRecord } from '../../util/is-record.ts';
import { readFile, writeFile } from 'node:fs/promises';
import { parse, YAMLParseError } from 'yaml';
import type { ImportCommand } from '../arguments.ts';
import { refused, type CommandResult } from '../result.ts';
import { writeReport } from './findings.ts';
import { type Json, mergeValues } from './source.ts';
import { importZ2jh } from './z2jh.ts';

/** `labwright import z2jh`: the configuration on standard output, and what became of each value on standard error. */
export async function importValues({ files, homes, report: reportFile }: ImportCommand): Promise<CommandResult> {
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
  const { config, report, problems } = importZ2jh(values, { homes });
  if (reportFile !== undefined) await writeFile(reportFile, `${JSON.stringify(report, undefined, 2)}\n`);
  const left =
    problems.length === 0 ? '' : `\nThe configuration needs a hand:\n${problems.map((each) => `  ${each}\n`).join('')}`;
  return { exitCode: 0, stdout: config, stderr: `${writeReport(report)}${left}` };
}
