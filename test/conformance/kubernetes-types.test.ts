import { describe, expect, it } from 'vitest';
import { extractTypes, type OpenApiDocument } from '../domain/kubernetes/extract-types.ts';
import { useApi } from './api.ts';

const TYPES = new URL('../../src/domain/kubernetes/types.json', import.meta.url).pathname;
const DOCUMENTS = ['/openapi/v3/api/v1', '/openapi/v3/apis/networking.k8s.io/v1'];

const api = useApi();

describe('the types of Kubernetes that configurations are checked by', () => {
  /** `npm run test:apiserver -- test/conformance/kubernetes-types.test.ts --update` writes them anew. */
  it('are those of the API server', async (test) => {
    test.skip(api.cluster.kind === 'sandbox', 'the sandbox serves no OpenAPI documents');
    const version = (await api.get('/version')).body;
    const documents = await Promise.all(
      DOCUMENTS.map(async (path) => (await api.get(path)).body as unknown as OpenApiDocument),
    );
    const types = extractTypes(documents, `Kubernetes ${version.gitVersion}: ${DOCUMENTS.join(', ')}`);
    await expect(types).toMatchFileSnapshot(TYPES);
  });
});
