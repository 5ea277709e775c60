import { binderClient, binderStream } from './scenes-binder.ts';
import { controllerAway, controllerKilled, labSurvivesRestart } from './scenes-continuity.ts';
import { attacks, submodules, withCredentials, withoutCredentials } from './scenes-credentials.ts';
import { abandoned, cancelled, deadlineWithoutController, nothingLeft } from './scenes-endings.ts';
import { cannotStart, failingStep, podDeleted, registryTroubles } from './scenes-failures.ts';
import {
  labFromRepository,
  manyAtOnce,
  movedBranch,
  publicRepository,
  sameAgain,
  subdirectory,
} from './scenes-life.ts';
import { filesInLfs, pullRequest } from './scenes-repositories.ts';
import type { BuildScene } from './setting.ts';

/** What is tried, in this order. */
export const buildScenes: Readonly<Record<string, (scene: BuildScene) => Promise<void>>> = {
  'a public repository is built': publicRepository,
  'a lab from a repository': labFromRepository,
  'the same repository again': sameAgain,
  'a branch that moves': movedBranch,
  'many ask at once': manyAtOnce,
  'a directory of a repository': subdirectory,
  'a repository with credentials': withCredentials,
  'a repository whose credentials nobody has': withoutCredentials,
  'submodules on other hosts': submodules,
  'files in Git LFS': filesInLfs,
  'a pull request': pullRequest,
  'steps that look for credentials': attacks,
  'a step that fails': failingStep,
  'the pod of a build is deleted': podDeleted,
  'builds that cannot start': cannotStart,
  'the registry loses an image, and does not answer': registryTroubles,
  'the controller is killed in the middle of a build': controllerKilled,
  'the controller is away when a build begins and ends': controllerAway,
  'a build that takes too long while no controller runs': deadlineWithoutController,
  'the controller is killed while a lab waits for its image': labSurvivesRestart,
  'a build is cancelled': cancelled,
  'builds that nobody waits for': abandoned,
  'the stream of a BinderHub': binderStream,
  "BinderHub's own client": binderClient,
  'nothing is left': nothingLeft,
};
