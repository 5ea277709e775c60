import { describe, expect, it } from 'vitest';
import { parseConfig } from '../../src/config/index.ts';

function hubNamespaces(auth: string, networkPolicy = '{}'): readonly string[] | undefined {
  return parseConfig(`
baseUrl: https://hub.example.org
auth: ${auth}
images: { list: [{ reference: "example.org/lab:1" }] }
lab: { sizes: [{ name: small, cpu: 1, memory: 3Gi }], networkPolicy: ${networkPolicy} }
`).lab.networkPolicy.hubNamespaces;
}

const hubAt = (url: string) => `{ jupyterhub: { apiUrl: "${url}" } }`;

describe('the namespaces in which the hub is expected', () => {
  it.each([
    [hubAt('http://hub.jupyterhub:8081/hub/api'), ['jupyterhub']],
    [hubAt('http://hub.jupyterhub.svc:8081/hub/api'), ['jupyterhub']],
    [hubAt('http://hub.jupyterhub.svc.cluster.local:8081/hub/api'), ['jupyterhub']],
    [hubAt('http://hub:8081/hub/api'), undefined],
    [hubAt('https://example.org/hub/api'), undefined],
    [hubAt('http://hub.example.org/hub/api'), undefined],
    [hubAt('http://10.0.0.7:8081/hub/api'), undefined],
    ['{ serviceAccounts: { hub: [a/hub, b/hub, a/other] } }', ['a', 'b']],
    [`{ tokens: [{ role: hub, sha256: "${'0'.repeat(64)}" }] }`, undefined],
  ])('are those that it names: %s', (auth, namespaces) => {
    expect(hubNamespaces(auth)).toEqual(namespaces);
  });

  it('are those that are set, whatever else it names', () => {
    expect(hubNamespaces(hubAt('http://hub.jupyterhub:8081/hub/api'), '{ hubNamespaces: [other] }')).toEqual(['other']);
  });
});
