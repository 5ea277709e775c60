import { accountScene } from './scenes-account.ts';
import { adminScene, groupScene, writeInScene } from './scenes-choices.ts';
import { databaseScene, homesScene } from './scenes-storage.ts';
import { nothingLeft, otherModeScene, reloadScene } from './scenes-change.ts';
import type { MovingScene } from './labs.ts';

/** What is tried, in this order; each part makes and removes labs of its own. */
export const movingScenes: Readonly<Record<string, (scene: MovingScene) => Promise<void>>> = {
  'a Role and nothing in the cluster': accountScene.rights,
  'two users on one claim': homesScene,
  'a profile with a database beside the lab': databaseScene,
  'an image that is written in': writeInScene,
  'a profile for one group': groupScene,
  'what administrators have beside it': adminScene,
  'a token of the service account': accountScene.token,
  'a changed ConfigMap': reloadScene,
  'nothing is left': nothingLeft,
  'to labs with namespaces of their own, and back': otherModeScene,
};
