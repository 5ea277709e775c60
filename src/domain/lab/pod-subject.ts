import { LAB_CONTAINER, type ObservedContainer } from './pod.ts';

/** What a pod is for: what its sentences are about, whose end counts, and who has chosen the image. */
export interface PodSubject {
  readonly noun: 'lab' | 'build';
  readonly container: string;
  /** Whether the image of that container was chosen by the reader of the sentences, or is part of the configuration. */
  readonly image: 'chosen' | 'configured';
  /** What to do about too little memory. */
  readonly moreMemory: string;
}

/** A lab as the subject of a sentence. */
export const LAB_SUBJECT: PodSubject = {
  noun: 'lab',
  container: LAB_CONTAINER,
  image: 'chosen',
  moreMemory: ' Choose a larger size.',
};

/** What a container is in a pod: the one that the pod is for, a step before it, or one that runs beside it. */
export function roleOf({ name, init }: ObservedContainer, { container }: PodSubject): 'main' | 'step' | 'sidecar' {
  if (init) return 'step';
  return name === container ? 'main' : 'sidecar';
}

/** The container as the subject of a sentence. */
export function describeContainer(container: ObservedContainer, subject: PodSubject): string {
  const { noun } = subject;
  return {
    main: `the container of the ${noun}`,
    step: `the preparation step "${container.name}" of the ${noun}`,
    sidecar: `the helper container "${container.name}" of the ${noun}`,
  }[roleOf(container, subject)];
}
