import { resolve } from 'node:path';
import type { TestProject } from 'vitest/node';
import { type ApiServerAddress, missingAssets, startApiServer } from './api-server.ts';

declare module 'vitest' {
  interface ProvidedContext {
    /** The API server of this run; absent when tests run on the sandbox. */
    apiServer: ApiServerAddress;
  }
}

/**
 * vitest's global setup of `npm run test:apiserver`: one set of servers for the whole run.
 * Without the binaries the run ends here, with one sentence.
 */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const assets = process.env.KUBEBUILDER_ASSETS;
  const missing = missingAssets(assets);
  if (missing !== undefined || assets === undefined) {
    process.stderr.write(`${missing}\n`);
    process.exit(1);
  }
  const apiServer = await startApiServer({ assets: resolve(assets) });
  const { server, token, ca, controllers } = apiServer;
  project.provide('apiServer', { server, token, ca, controllers });
  return () => apiServer.close();
}
