import { describe, expect, it } from 'vitest';
import { itNeedsControllers } from '../support/cluster-needs.ts';
import { aPod, eventually, useApi } from './api.ts';

const api = useApi();

describe('a service', () => {
  it('gets an address of its own and the usual defaults', async () => {
    const { path } = await api.namespace();
    const spec = { selector: { a: 'b' }, ports: [{ port: 8888, targetPort: 'http' }] };
    const { status, body } = await api.post(`${path}/services`, { metadata: { name: 'a' }, spec });
    expect(status).toBe(201);
    expect(body.spec.clusterIP).toMatch(/^\d+\.\d+\.\d+\.\d+$/);
    expect(body.spec).toEqual({
      ...{ clusterIP: body.spec.clusterIP, clusterIPs: [body.spec.clusterIP], type: 'ClusterIP' },
      ...{
        sessionAffinity: 'None',
        ipFamilies: ['IPv4'],
        ipFamilyPolicy: 'SingleStack',
        internalTrafficPolicy: 'Cluster',
      },
      selector: { a: 'b' },
      ports: [{ protocol: 'TCP', port: 8888, targetPort: 'http' }],
    });
    expect(body.status).toEqual({ loadBalancer: {} });
    const other = await api.post(`${path}/services`, { metadata: { name: 'b' }, spec });
    expect(other.body.spec.clusterIP).not.toBe(body.spec.clusterIP);
  });

  it('without an address has none', async () => {
    const { path } = await api.namespace();
    const { body } = await api.post(`${path}/services`, {
      metadata: { name: 'a' },
      spec: { clusterIP: 'None', ports: [{ port: 1 }] },
    });
    expect(body.spec).toMatchObject({ clusterIP: 'None', clusterIPs: ['None'], ports: [{ targetPort: 1 }] });
  });

  it('keeps its address when it is replaced without one, and cannot get another', async () => {
    const { path } = await api.namespace();
    const spec = { selector: { a: 'b' }, ports: [{ port: 8888 }] };
    const made = (await api.post(`${path}/services`, { metadata: { name: 'a' }, spec })).body;
    const changed = await api.put(`${path}/services/a`, {
      metadata: { name: 'a' },
      spec: { ...spec, selector: { a: 'c' } },
    });
    expect(changed).toMatchObject({
      status: 200,
      body: { spec: { clusterIP: made.spec.clusterIP, selector: { a: 'c' } } },
    });
    // the server chose the address at random: any fixed one would be its own now and then
    const address: string = made.spec.clusterIP;
    const another = address.replace(/\d+$/, address.endsWith('.250') ? '249' : '250');
    const { status, body } = await api.merge(`${path}/services/a`, { spec: { clusterIP: another } });
    expect(status).toBe(422);
    expect(body.message).toBe(
      `Service "a" is invalid: spec.clusterIPs[0]: Invalid value: ["${another}"]: may not change once set`,
    );
  });

  it('is the same again when it is applied again', async () => {
    const { path } = await api.namespace();
    const wanted = {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name: 'a' },
      spec: { selector: { a: 'b' }, ports: [{ port: 8888, name: 'http' }] },
    };
    const first = await api.apply(`${path}/services/a`, wanted);
    expect(first.status).toBe(201);
    const second = await api.apply(`${path}/services/a`, wanted);
    expect(second.body.metadata.resourceVersion).toBe(first.body.metadata.resourceVersion);
  });
});

describe('the defaults of other kinds', () => {
  it('a network policy', async () => {
    const { name } = await api.namespace();
    const path = `/apis/networking.k8s.io/v1/namespaces/${name}/networkpolicies`;
    const ingress = { podSelector: {}, ingress: [{ ports: [{ port: 8888 }] }] };
    const { body } = await api.post(path, { metadata: { name: 'a' }, spec: ingress });
    expect(body.spec).toEqual({
      podSelector: {},
      ingress: [{ ports: [{ protocol: 'TCP', port: 8888 }] }],
      policyTypes: ['Ingress'],
    });
    const both = {
      podSelector: {},
      egress: [{ to: [{ ipBlock: { cidr: '0.0.0.0/0', except: ['169.254.169.254/32'] } }] }],
    };
    expect((await api.post(path, { metadata: { name: 'b' }, spec: both })).body.spec.policyTypes).toEqual([
      'Ingress',
      'Egress',
    ]);
  });

  it('a secret, whose texts become data', async () => {
    const { path } = await api.namespace();
    const { body } = await api.post(`${path}/secrets`, {
      metadata: { name: 'a' },
      stringData: { k: 'v' },
      data: { l: 'dw==' },
    });
    expect(body).toMatchObject({ type: 'Opaque', data: { k: 'dg==', l: 'dw==' } });
    expect(body.stringData).toBeUndefined();
  });

  it('an event', async () => {
    const { name, path } = await api.namespace();
    const involvedObject = { kind: 'Pod', name: 'lab', namespace: name };
    const { body } = await api.post(`${path}/events`, {
      metadata: { name: 'a' },
      involvedObject,
      reason: 'R',
      message: 'M',
      type: 'Normal',
    });
    expect(body).toMatchObject({ firstTimestamp: null, lastTimestamp: null, eventTime: null, reportingComponent: '' });
  });

  itNeedsControllers('a claim that is deleted stays until no pod mounts it', async () => {
    const { path } = await api.namespace();
    const spec = { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '1Gi' } } };
    await api.post(`${path}/persistentvolumeclaims`, { metadata: { name: 'home' }, spec });
    const volumes = [{ name: 'home', persistentVolumeClaim: { claimName: 'home' } }];
    await api.post(`${path}/pods`, aPod('lab', { nodeName: 'node-1', volumes }));
    const deleted = await api.delete(`${path}/persistentvolumeclaims/home`);
    expect(deleted.body.metadata.deletionTimestamp).toBeDefined();
    expect(await api.get(`${path}/persistentvolumeclaims/home`)).toMatchObject({ status: 200 });
    await api.delete(`${path}/pods/lab`, { gracePeriodSeconds: 0 });
    await eventually(
      () => api.get(`${path}/persistentvolumeclaims/home`),
      ({ status }) => status === 404,
    );
  });
});
