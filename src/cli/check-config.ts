import { ConfigError, loadConfig } from '../config/index.ts';
import { remarksOnBuilds } from './build-remarks.ts';
import { printed, refused, type CommandResult } from './result.ts';

/** `labwright check-config FILE`: says what is wrong with a configuration, all of it, or that nothing is. */
export async function checkConfig(file: string): Promise<CommandResult> {
  try {
    const { lab, images, builds } = await loadConfig(file);
    const remarks = builds === undefined ? [] : await remarksOnBuilds(builds);
    const sizes = lab.sizes.map(({ name }) => name).join(', ');
    return printed(
      `${file} can be used: sizes ${sizes}; ${images.list.length} image(s); Pod Security ${lab.podSecurity}.\n` +
        remarks.map((remark) => `note: ${remark}\n`).join(''),
    );
  } catch (error) {
    if (error instanceof ConfigError) return refused(error.message);
    throw error;
  }
}
