import { binderClient, binderStream } from './scenes-binder.ts';
import { abandoned, cancelled, controllerKilled, labSurvivesRestart, nothingLeft } from './scenes-continuity.ts';
import { attacks, submodules, withCredentials, withoutCredentials } from './scenes-credentials.ts';
import { cannotStart, failingStep, podDeleted, registryTroubles } from './scenes-failures.ts';
import { labFromRepository, movedBranch, publicRepository, sameAgain, subdirectory } from './scenes-life.ts';
import type { BuildScene } from './setting.ts';

/** What is tried, in this order. */
export const buildScenes: Readonly<Record<string, (scene: BuildScene) => Promise<void>>> = {
  'a public repository is built': publicRepository,
  'a lab from a repository': labFromRepository,
  'the same repository again': sameAgain,
  'a branch that moves': movedBranch,
  'a directory of a repository': subdirectory,
  'a repository with credentials': withCredentials,
  'a repository whose credentials nobody has': withoutCredentials,
  'submodules on other hosts': submodules,
  'steps that look for credentials': attacks,
  'a step that fails': failingStep,
  'the pod of a build is deleted': podDeleted,
  'builds that cannot start': cannotStart,
  'the registry loses an image, and does not answer': registryTroubles,
  'the controller is killed in the middle of a build': controllerKilled,
  'the controller is killed while a lab waits for its image': labSurvivesRestart,
  'a build is cancelled': cancelled,
  'a build that nobody waits for': abandoned,
  'the stream of a BinderHub': binderStream,
  "BinderHub's own client": binderClient,
  'nothing is left': nothingLeft,
};
