import type { Config } from '../../../config/index.ts';
import type { PrepullSettings } from '../../../domain/image/prepull/assess.ts';

/** What one configuration says of pulling ahead; undefined where it is not done. */
export function prepullSettings({ images, lab }: Pick<Config, 'images' | 'lab'>): PrepullSettings | undefined {
  const { prepull } = images;
  if (prepull === undefined) return undefined;
  const required = lab.affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution;
  return {
    ...prepull,
    placement: {
      nodeSelector: lab.nodeSelector,
      tolerations: lab.tolerations,
      nodeSelectorTerms: required?.nodeSelectorTerms,
    },
  };
}
