import { createHash } from 'node:crypto';

/** What the configuration of a run says of where it runs. */
export interface SiteFacts {
  readonly labImage: string;
  /** Namespace of all labs. */
  readonly namespace: string;
  /** API of the hub, as pods reach it. */
  readonly hubApiUrl: string;
  /** Tokens by role, and those of users by name. */
  readonly tokens: { readonly hub: string; readonly users: Readonly<Record<string, string>> };
}

/** Whom the hub knows more of. */
export const HUB_USERS = { mia: { groups: ['researchers'] }, grace: { admin: true } } as const;
/** The claim of the site, which holds the homes of all users. */
export const HOMES_CLAIM = 'homes';
/** A service account of the site. */
export const ACCOUNT = 'scientist';
export const TOKEN_FILE = '/var/run/secrets/cloud/token';
export const AUDIENCE = 'sts.cloud.example.org';
export const WRITE_IN_MESSAGE = "An image of the cluster's own registry, with its tag or digest.";
const IDS = { uid: 1000, gid: 1000 };
const SMALL = { name: 'small', cpu: 1, memory: '1Gi', cpuRequest: '50m', memoryRequest: '128Mi' };
const LARGE = { ...SMALL, name: 'large', title: 'A large one', cpu: 2 };

/** A database that answers SQL over HTTP, and to nobody but the lab. */
const DATABASE = `
import sqlite3
from http.server import BaseHTTPRequestHandler, HTTPServer

database = sqlite3.connect("/data/rows.sqlite", isolation_level=None)

class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        statement = self.rfile.read(int(self.headers["content-length"])).decode()
        rows = repr(database.execute(statement).fetchall()).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(rows)))
        self.end_headers()
        self.wfile.write(rows)

HTTPServer(("127.0.0.1", 5432), Handler).serve_forever()
`;

/** The configuration of a hub that has moved in: labs in a namespace of the site, with what is there. */
export function sharedSite(facts: SiteFacts) {
  const { labImage, namespace } = facts;
  const homes = { name: 'homes', subPath: '{escaped_username}' };
  return {
    ...common(facts),
    lab: {
      ...{ namespaces: 'shared', namespace, podName: 'jupyter-{user_server}' },
      ...{ internalUrl: 'serviceIp', namespaceRetention: '0s' },
      sizes: [SMALL],
      home: { schema: 'image', prefix: '/home/jovyan' },
      // The class of the cluster makes a folder of root's.
      fsGroup: 'always',
      volumes: [{ name: 'homes', persistentVolumeClaim: { claimName: HOMES_CLAIM } }],
      volumeMounts: [{ ...homes, mountPath: '/home/jovyan' }],
      serviceAccount: { name: ACCOUNT, tokens: [{ audience: AUDIENCE, path: TOKEN_FILE }] },
      networkPolicy: { hubNamespaces: ['jupyterhub'] },
      profiles: [
        { name: 'plain', title: 'Plain', default: true },
        { name: 'database', title: 'With a database', size: 'small', lab: { sidecars: [databaseOf(labImage)] } },
        { name: 'own-image', title: 'An image of your own', size: 'small', options: { image: imagesOf(labImage) } },
        { name: 'research', title: 'For researchers', groups: ['researchers'], size: 'small' },
      ],
    },
    overlays: [
      {
        name: 'administrators',
        match: { admin: true },
        lab: {
          env: { CARE_OF: '/homes' },
          volumeMounts: [{ name: 'homes', mountPath: '/homes', readOnly: true }],
        },
      },
    ],
  };
}

/** The same site after it has got larger machines. */
export function grownSite(facts: SiteFacts) {
  const site = sharedSite(facts);
  return { ...site, lab: { ...site.lab, sizes: [SMALL, LARGE] } };
}

/** An installation whose labs have namespaces of their own, which begin with `prefix`. */
export function perLabSite(facts: SiteFacts, prefix: string) {
  const lab = { namespacePrefix: prefix, namespaceRetention: '0s', internalUrl: 'serviceIp', sizes: [SMALL] };
  return { ...common(facts), lab: { ...lab, profiles: [{ name: 'plain', title: 'Plain' }] } };
}

function common({ labImage, hubApiUrl, tokens }: SiteFacts) {
  return {
    baseUrl: 'https://hub.example.org',
    auth: {
      tokens: [
        { role: 'hub', sha256: sha256(tokens.hub) },
        ...Object.entries(tokens.users).map(([username, token]) => ({
          ...{ role: 'user', sha256: sha256(token) },
          user: { username, ...IDS },
        })),
      ],
      jupyterhub: { apiUrl: hubApiUrl, tokenFile: '/etc/labwright/service-token' },
    },
    users: { defaults: IDS },
    images: {
      list: [{ reference: labImage, name: 'JupyterLab', class: 'recommended' }],
      registries: [{ host: labImage.replace(/\/.*/, ''), insecure: true }],
    },
  };
}

function databaseOf(image: string) {
  return {
    ...{ name: 'database', image, command: ['python3', '-c', DATABASE] },
    volumeMounts: [{ name: 'homes', mountPath: '/data', subPath: 'databases/{escaped_username}' }],
    resources: { requests: { cpu: '20m', memory: '32Mi' }, limits: { cpu: '500m', memory: '128Mi' } },
  };
}

function imagesOf(labImage: string) {
  const registry = labImage.replace(/\/.*$/, '').replaceAll('.', '\\.');
  return {
    title: 'Image',
    choices: [{ name: 'lab', title: 'JupyterLab', image: labImage }],
    writeIn: {
      title: 'Another image',
      pattern: `${registry}/[a-z-]+(:[0-9]+|@sha256:[0-9a-f]{64})`,
      message: WRITE_IN_MESSAGE,
      image: '{value}',
    },
  };
}

function sha256(token: string): string {
  return createHash('sha256').update(token).digest('hex');
}
