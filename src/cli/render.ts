import { listObjects, writeManifest } from '../builder/manifest.ts';
import { ConfigError, loadConfig, sandboxConfig, type Config } from '../config/index.ts';
import type { RenderCommand } from './arguments.ts';
import { buildExampleLab, PLACEHOLDER } from './example-lab.ts';
import { chooseExample } from './example-profile.ts';
import { printed, refused, type CommandResult } from './result.ts';

/** `labwright render`: the objects of a lab as YAML, with placeholders where secrets would be. It asks no cluster. */
export async function render(command: RenderCommand): Promise<CommandResult> {
  let config: Config;
  try {
    config = command.config === undefined ? forTrying() : await loadConfig(command.config);
  } catch (error) {
    if (error instanceof ConfigError) return refused(error.message);
    throw error;
  }
  const chosen = chooseExample(config, command);
  if (typeof chosen === 'string') return refused(chosen, 2);
  const { size, profile } = chosen;
  return printed(writeManifest(listObjects(buildExampleLab(config, { ...command, profile }, size))));
}

function forTrying(): Config {
  return sandboxConfig({
    host: '127.0.0.1',
    port: 8080,
    userToken: PLACEHOLDER,
    hubToken: `${PLACEHOLDER} of the hub`,
  });
}
