import { readFile } from 'node:fs/promises';
import { printed, type CommandResult } from './result.ts';

/** `labwright schema`: the JSON Schema of the configuration, as it is in docs. */
export async function printSchema(): Promise<CommandResult> {
  return printed(await readFile(new URL('../../docs/configuration.schema.json', import.meta.url), 'utf8'));
}
