import { describe, expect, it } from 'vitest';
import { parseKubeRequest } from './cluster-requests.ts';

describe('a request to a Kubernetes API', () => {
  it.each([
    ['GET', '/api/v1/namespaces', { verb: 'list', resource: 'namespaces', namespace: '', name: '' }],
    ['GET', '/api/v1/namespaces?watch=true', { verb: 'watch', resource: 'namespaces' }],
    ['GET', '/api/v1/namespaces/a', { verb: 'get', resource: 'namespaces', namespace: '', name: 'a' }],
    [
      'PATCH',
      '/api/v1/namespaces/a/status',
      { verb: 'patch', resource: 'namespaces', name: 'a', subresource: 'status' },
    ],
    ['POST', '/api/v1/namespaces/a/pods', { verb: 'create', resource: 'pods', namespace: 'a', name: '' }],
    [
      'POST',
      '/api/v1/namespaces/a/pods/b/binding',
      { verb: 'create', resource: 'pods', name: 'b', subresource: 'binding' },
    ],
    ['DELETE', '/api/v1/namespaces/a/secrets', { verb: 'deletecollection', resource: 'secrets', namespace: 'a' }],
    ['DELETE', '/api/v1/namespaces/a/secrets/b', { verb: 'delete', resource: 'secrets', namespace: 'a', name: 'b' }],
    [
      'PUT',
      '/apis/networking.k8s.io/v1/namespaces/a/networkpolicies/b',
      { verb: 'update', resource: 'networkpolicies' },
    ],
    ['GET', '/api/v1/pods?limit=500', { verb: 'list', resource: 'pods', namespace: '' }],
    ['GET', '/version', { verb: 'get', resource: '' }],
  ])('%s %s is understood', (method, url, expected) => {
    expect(parseKubeRequest(1, method, url)).toMatchObject(expected);
  });
});
