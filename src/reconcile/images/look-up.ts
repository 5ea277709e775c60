import PQueue from 'p-queue';
import { foundAgain, type FoundImage, type FoundImages } from '../../domain/image/found-images.ts';
import type { ImageReference } from '../../domain/image/image-reference.ts';
import { Problem } from '../../domain/problem.ts';
import type { ImageRegistry } from '../../storage/registry/image-registry.ts';

export interface LookUpOptions {
  /** What was known before. */
  readonly before: FoundImages | undefined;
  readonly registries: { readonly of: (host: string) => ImageRegistry };
  readonly signal: AbortSignal;
}

/** What registries have said of some images, by the names that these have here. */
export interface LookedUp {
  /** Those that are there. What could not be asked for is as before, if it was known. */
  readonly images: Readonly<Record<string, FoundImage>>;
  /** Those of which a registry says that they are not there. */
  readonly missing: ReadonlySet<string>;
  /** Why some could not be asked for; absent where all were. */
  readonly failure?: unknown;
}

/** Images that registries are asked for at once. */
const AT_ONCE = 4;

/**
 * Asks registries for images, by digest where there is one, else by tag. A registry that does not answer is not asked for the rest: each
 * question has its retries already.
 */
export async function lookUp(
  wanted: readonly { readonly name: string; readonly reference: ImageReference }[],
  { before, registries, signal }: LookUpOptions,
): Promise<LookedUp> {
  const queue = new PQueue({ concurrency: AT_ONCE });
  const images = new Map<string, FoundImage>();
  const missing = new Set<string>();
  const silent = new Set<string>();
  let failure: unknown;
  const ask = async (name: string, { registry, repository, tag, digest }: ImageReference) => {
    const last = known(before, name);
    try {
      if (!silent.has(registry)) {
        const options = { known: last, signal };
        const found = await registries.of(registry).findImage(repository, digest ?? tag ?? 'latest', options);
        if (found === null) missing.add(name);
        else images.set(name, foundAgain(found, last));
        return;
      }
    } catch (error) {
      signal.throwIfAborted();
      failure ??= error;
      if (error instanceof Problem && error.transient) silent.add(registry);
    }
    if (last !== undefined) images.set(name, last);
  };
  await queue.addAll(
    wanted.map(
      ({ name, reference }) =>
        () =>
          ask(name, reference),
    ),
  );
  return { images: Object.fromEntries(images), missing, ...(failure === undefined ? {} : { failure }) };
}

/** What is known of one image by the name that it has there. */
export function known(found: FoundImages | undefined, name: string): FoundImage | undefined {
  return found !== undefined && Object.hasOwn(found.images, name) ? found.images[name] : undefined;
}
