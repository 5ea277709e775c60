/** The package has no types of its own. */
declare module '@jupyterhub/binderhub-client/client.js' {
  export class BinderRepository {
    constructor(
      providerSpec: string,
      buildEndpointUrl: URL,
      options?: { readonly apiToken?: string; readonly buildToken?: string; readonly buildOnly?: boolean },
    );
    fetch(): AsyncIterable<Readonly<Record<string, unknown>>>;
    close(): void;
  }
}
