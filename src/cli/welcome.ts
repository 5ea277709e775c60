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
  readonly size: string;
  /** Labs are processes of this machine. */
  readonly localLabs: boolean;
}

/** The first thing `npm start` prints: where it is, how to be let in, and three commands to see a lab come up. */
export function welcome(facts: WelcomeFacts): string {
  return facts.localLabs ? forLocalLabs(facts) : forTrying(facts);
}

function forTrying({ address, pathPrefix, username, userToken, hubToken, image, size }: WelcomeFacts): string {
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

The answer to the last one has the lab's internal_url, which answers too. All routes: ${address}/docs
`;
}

function forLocalLabs({ address, pathPrefix }: WelcomeFacts): string {
  return `
Labwright is running on its embedded sandbox cluster: ${address}${pathPrefix}

Labs are processes of the account that started it. Nothing isolates them: whoever may create a lab runs commands as this
account. Their homes and logs are beside the token below.

  token of a hub, for its configuration to read:  ${HUB_TOKEN_FILE}

Now start a hub, in a second terminal and in this folder:

  python3 -m venv .venv && .venv/bin/pip install './deploy/jupyterhub/spawner[laptop]'
  .venv/bin/jupyterhub -f deploy/jupyterhub/laptop/jupyterhub_config.py

All routes: ${address}/docs
`;
}
