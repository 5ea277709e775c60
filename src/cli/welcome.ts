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
}

/** The first thing `npm start` prints: where it is, how to be let in, and three commands to see a lab come up. */
export function welcome({ address, pathPrefix, username, userToken, hubToken, image, size }: WelcomeFacts): string {
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
