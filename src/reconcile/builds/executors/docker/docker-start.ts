import {
  buildContainer,
  containerName,
  type ContainerOptions,
  labelledSpec,
  secretEntries,
} from '../../../../builder/build/build-container.ts';
import { BUILD_LABEL } from '../../../../domain/build/build-intent.ts';
import { BuildProblem, type BuildSpec } from '../../../../domain/build/build.ts';
import type { ContainerFacts } from '../../../../storage/docker-engine/container-facts.ts';
import type { DockerEngine } from '../../../../storage/docker-engine/docker-engine.ts';
import { EngineError } from '../../../../storage/docker-engine/engine-error.ts';
import { registryAuth } from '../../../../storage/docker-engine/registry-auth.ts';
import { type BuildSecrets, ExecutorUnavailable } from '../executor.ts';

export interface StartOptions extends Omit<ContainerOptions, 'isPodman'> {
  readonly engine: DockerEngine;
  /** Name of the executor, for messages. */
  readonly name: string;
  readonly isOurs: (facts: ContainerFacts) => boolean;
}

const NOT_FOUND = 404;

/**
 * Makes the container of a build, gives it its secrets and starts it. The start is what counts: before it, a controller
 * that dies leaves something that whoever comes next removes.
 *
 * @returns the id of the container that runs, or has run
 * @throws {ExecutorUnavailable | BuildProblem}
 */
export async function startContainer(
  spec: BuildSpec,
  secrets: BuildSecrets,
  options: StartOptions,
  signal: AbortSignal,
): Promise<string> {
  const { name } = options;
  try {
    return (await findStarted(spec, options, signal)) ?? (await startNew(spec, secrets, options, signal));
  } catch (error) {
    signal.throwIfAborted();
    if (!(error instanceof EngineError)) throw error;
    const what = error.status === 0 ? 'cannot be reached' : 'does not start builds';
    throw new ExecutorUnavailable(`The engine "${name}" ${what}.`, { cause: error });
  }
}

/** The container of this very build, when it was started before. What is in its way is removed, if it is ours. */
async function findStarted(
  spec: BuildSpec,
  { engine, isOurs }: StartOptions,
  signal: AbortSignal,
): Promise<string | undefined> {
  const found = await engine.inspectContainer(containerName(spec.id), signal);
  if (found === undefined) return undefined;
  if (!isOurs(found) || found.labels[BUILD_LABEL] !== spec.id) {
    const message = 'The name for the container of the build is taken by something that is not a build.';
    throw new BuildProblem({ reason: 'NameTaken', message });
  }
  // One of an earlier attempt says nothing about this one.
  const isThis = labelledSpec(found.labels)?.createdAt === spec.createdAt;
  if (isThis && found.status !== 'created') return found.id;
  await engine.removeContainer(found.id, signal);
  return undefined;
}

async function startNew(
  spec: BuildSpec,
  secrets: BuildSecrets,
  options: StartOptions,
  signal: AbortSignal,
): Promise<string> {
  const { engine } = options;
  const id = await createContainer(spec, secrets, options, signal);
  try {
    await engine.putFiles(id, secretEntries(secrets), signal);
    signal.throwIfAborted();
    // Not to be interrupted: whether it has been started decides what whoever comes next finds.
    await engine.startContainer(id);
    return id;
  } catch (error) {
    // Its secrets are in there. Where that fails as well it is found later: it was not started.
    await engine.removeContainer(id).catch(() => undefined);
    throw error;
  }
}

async function createContainer(
  spec: BuildSpec,
  secrets: BuildSecrets,
  options: StartOptions,
  signal: AbortSignal,
): Promise<string> {
  const { engine, config } = options;
  const { isPodman } = await engine.version();
  const body = buildContainer(spec, { ...options, isPodman });
  const create = () => engine.createContainer(containerName(spec.id), body, signal);
  const { imagePullPolicy } = config.builder;
  if (imagePullPolicy === 'Always') await pullBuilder(secrets, options, signal);
  try {
    return await create();
  } catch (error) {
    const isMissing = error instanceof EngineError && error.status === NOT_FOUND;
    if (!isMissing || imagePullPolicy !== 'IfNotPresent') throw error;
  }
  await pullBuilder(secrets, options, signal);
  return create();
}

/** Fetches the image of the builder. */
async function pullBuilder(secrets: BuildSecrets, options: StartOptions, signal: AbortSignal): Promise<void> {
  const { engine, name, config } = options;
  const { image } = config.builder;
  const late = AbortSignal.timeout(config.deadlines.imagePull);
  try {
    const auth = registryAuth(secrets.dockerConfig, image);
    await engine.pullImage(image, { auth, signal: AbortSignal.any([signal, late]) });
  } catch (cause) {
    signal.throwIfAborted();
    throw new ExecutorUnavailable(`The engine "${name}" cannot fetch the image of the builder.`, {
      cause,
    });
  }
}
