import type { FindWarmth, PrepullView } from '../../../src/domain/image/prepull/view.ts';

/** What is pulled ahead where only that is asked where an image is. */
export function aView(of: FindWarmth): PrepullView {
  return { isKnown: true, wanted: () => [], of, nodes: () => [] };
}
