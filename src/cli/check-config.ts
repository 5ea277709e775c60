import { ConfigError, loadConfig } from '../config/index.ts';
import { printed, refused, type CommandResult } from './result.ts';

/** `labwright check-config FILE`: says what is wrong with a configuration, all of it, or that nothing is. */
export async function checkConfig(file: string): Promise<CommandResult> {
  try {
    const { lab, images } = await loadConfig(file);
    const sizes = lab.sizes.map(({ name }) => name).join(', ');
    return printed(
      `${file} can be used: sizes ${sizes}; ${images.list.length} image(s); Pod Security ${lab.podSecurity}.\n`,
    );
  } catch (error) {
    if (error instanceof ConfigError) return refused(error.message);
    throw error;
  }
}
