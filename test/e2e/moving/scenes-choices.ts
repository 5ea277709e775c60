import { Registry } from '../builds/registry.ts';
import { findPod, inLab, type MovingScene, podOf, spawn, stop } from './labs.ts';
import { WRITE_IN_MESSAGE } from './site.ts';

/** What the pattern refuses is answered in the words of the site; what it takes is what runs. */
export async function writeInScene(scene: MovingScene): Promise<void> {
  const { transcript, facts } = scene;
  const profile = 'own-image';
  for (const image of ['quay.io/elsewhere/lab:1', `${facts.labImage}; rm -rf /`]) {
    const { status, text } = await scene.apiOf('ada').ask('ada', { profile, profile_options: { image } });
    const isRefused = status === 422 && text.includes('invalid_profile_option') && text.includes(WRITE_IN_MESSAGE);
    transcript.hold(`${image} is refused with the sentence of the site`, isRefused, `${status} ${text}`);
  }
  transcript.hold('and nothing is made for it', (await findPod(scene, 'ada')) === undefined);

  const registry = new Registry(`http://${facts.labImage.replace(/\/.*$/, '')}`);
  const written = `${facts.labImage.replace(/:\w+$/, '')}@${(await registry.digestOf(facts.labImage)) ?? ''}`;
  await spawn(scene, 'ada', { profile, profile_options: { image: written } });
  const { pod } = await podOf(scene, 'ada');
  const image = pod.spec?.containers[0]?.image;
  // It is the image of the list, by its digest; the list says its tag.
  const isSame = image !== undefined && image.split('@')[1] === written.split('@')[1];
  transcript.hold('an image that the pattern takes is what runs', isSame, image);
  await stop(scene, 'ada');
}

/** It is hidden from others, and refused when they ask for it all the same. */
export async function groupScene(scene: MovingScene): Promise<void> {
  const { transcript } = scene;
  const [ada, mia] = await Promise.all([scene.api().form('ada'), scene.api().form('mia')]);
  const titles = ['Plain', 'With a database', 'An image of your own'];
  transcript.hold(
    'the form of others has the other profiles',
    titles.every((title) => ada.includes(title)),
  );
  transcript.hold('and not this one', !ada.includes('For researchers'));
  transcript.hold('the form of a member has it', mia.includes('For researchers'));
  for (const [who, api] of Object.entries({ 'the hub': scene.api(), 'the user': scene.apiOf('ada') })) {
    const { status, text } = await api.ask('ada', { profile: 'research' });
    const isRefused = status === 403 && text.includes('permission_denied');
    transcript.hold(`${who} gets 403 for somebody else`, isRefused, `${status} ${text}`);
  }
  transcript.hold('and nothing is made for it', (await findPod(scene, 'ada')) === undefined);
  await spawn(scene, 'mia', { profile: 'research' });
  await stop(scene, 'mia');
}

/** An administrator of the hub sees all homes, read-only; others see no trace of it. */
export async function adminScene(scene: MovingScene): Promise<void> {
  const { transcript } = scene;
  await Promise.all(['grace', 'ada'].map((username) => spawn(scene, username, { profile: 'plain' })));
  const [see, homes] = await Promise.all(
    ['echo "$CARE_OF"', 'ls -A /homes; cat /homes/bob-2eb/of-bob.b.txt'].map((script) => inLab(scene, 'grace', script)),
  );
  transcript.hold('the administrator has the variable', see === '/homes', see);
  const isComplete = ['ada', 'bob-2eb', 'what bob.b wrote'].every((word) => homes?.split('\n').includes(word));
  transcript.hold('and all homes, by the names that users have', isComplete, homes?.replaceAll('\n', ' '));
  const written = await inLab(scene, 'grace', 'touch /homes/ada/x || true');
  transcript.hold('to read only', written.includes('Read-only file system'), written);
  const others = await inLab(scene, 'ada', 'echo "[$CARE_OF]"; ls /homes || true');
  transcript.hold('others have neither', /^\[\]\n.*No such file/.test(others), others.replaceAll('\n', ' '));
  await Promise.all(['grace', 'ada'].map((username) => stop(scene, username)));
}
