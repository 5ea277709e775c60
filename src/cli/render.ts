import { listObjects, writeManifest } from '../builder/manifest.ts';
import { ConfigError, loadConfig, sandboxConfig, type Config } from '../config/index.ts';
import type { RenderCommand } from './arguments.ts';
import { buildExampleLab, PLACEHOLDER } from './example-lab.ts';
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
  const size = config.lab.sizes.find(({ name }) => name === (command.size ?? config.lab.defaultSize));
  if (size === undefined) {
    return refused(`--size: expected one of ${config.lab.sizes.map(({ name }) => name).join(', ')}`, 2);
  }
  return printed(writeManifest(listObjects(buildExampleLab(config, command, size))));
}

function forTrying(): Config {
  return sandboxConfig({
    host: '127.0.0.1',
    port: 8080,
    userToken: PLACEHOLDER,
    hubToken: `${PLACEHOLDER} of the hub`,
  });
}
