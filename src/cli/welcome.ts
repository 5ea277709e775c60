/** Where the token of a hub is kept when labs are local, below the working directory; with it go their homes and logs. */
export const HUB_TOKEN_FILE = '.labwright/hub-token';

/** What a person needs to try a controller that was started without a configuration. */
export interface WelcomeFacts {
  /** Address of the REST API, `http://127.0.0.1:8080`. */
  readonly address: string;
  readonly pathPrefix: string;
  readonly username: string;
  readonly userToken: string;
  readonly hubToken: string;
  readonly image: string;
  /** URL of a repository that can be built; undefined where nothing is built. */
  readonly repository?: string | undefined;
  readonly size: string;
  /** Labs are processes of this machine. */
  readonly localLabs: boolean;
}

/** The first thing `npm start` prints: where it is, how to be let in, and commands to see a lab come up. */
export function welcome(facts: WelcomeFacts): string {
  return facts.localLabs ? forLocalLabs(facts) : forTrying(facts);
}

function forTrying(facts: WelcomeFacts): string {
  const { address, pathPrefix, username, userToken, hubToken, image, size } = facts;
  const labs = `${address}${pathPrefix}/spawner/v1/labs`;
  const body = JSON.stringify({
    options: { size, image_list: image },
    env: { JUPYTERHUB_SERVICE_PREFIX: `/user/${username}/` },
  });
  return `
Labwright is running on its embedded sandbox cluster: ${address}

  token of the user ${username}:  ${userToken}
  token of a hub:       ${hubToken}

Try it:

  export TOKEN=${userToken}
  curl -i -H "Authorization: Bearer $TOKEN" -H 'Content-Type: application/json' ${labs}/${username}/create -d '${body}'
  curl -N -H "Authorization: Bearer $TOKEN" ${labs}/${username}/events
  curl -H "Authorization: Bearer $TOKEN" ${labs}/${username}

The answer to the last one has the lab's internal_url, which answers too.
${facts.repository === undefined ? '' : forBuilding(facts, facts.repository)}
All routes: ${address}/docs
`;
}

/** Two ways to an image from a repository: asked for by itself, and by a lab that is to run in it. */
function forBuilding({ address, pathPrefix, username, size }: WelcomeFacts, repository: string): string {
  const builds = `${address}${pathPrefix}/builds/v1/builds`;
  const lab = `${address}${pathPrefix}/spawner/v1/labs/${username}/servers/built`;
  const wanted = JSON.stringify({ repository, ref: 'main' });
  const body = JSON.stringify({
    options: { size, image_repo: repository, image_ref: 'develop' },
    env: { JUPYTERHUB_SERVICE_PREFIX: `/user/${username}/built/` },
  });
  return `
Build an image from a repository and follow it, then start a lab from another branch. The sandbox plays the builds:

  BUILD=$(curl -s -H "Authorization: Bearer $TOKEN" -H 'Content-Type: application/json' ${builds} -d '${wanted}' | sed 's/.*"id":"\\([0-9a-f]*\\)".*/\\1/')
  curl -N -H "Authorization: Bearer $TOKEN" ${builds}/$BUILD/events
  curl -i -H "Authorization: Bearer $TOKEN" -H 'Content-Type: application/json' ${lab}/create -d '${body}'
  curl -N -H "Authorization: Bearer $TOKEN" ${lab}/events
`;
}

function forLocalLabs({ address, pathPrefix }: WelcomeFacts): string {
  return `
Labwright is running on its embedded sandbox cluster: ${address}${pathPrefix}

Labs are processes of the account that started it. Nothing isolates them: whoever may create a lab runs commands as this
account. Their homes and logs are beside the token below. No images are built from repositories: none could be run.

  token of a hub, for its configuration to read:  ${HUB_TOKEN_FILE}

Now start a hub, in a second terminal and in this folder:

  python3 -m venv .venv && .venv/bin/pip install './deploy/jupyterhub/spawner[laptop]'
  .venv/bin/jupyterhub -f deploy/jupyterhub/laptop/jupyterhub_config.py

All routes: ${address}/docs
`;
}
