import { z } from 'zod';
import { uniqueBy } from './cross-check.ts';
import { cidr, dnsLabel, egressRule, networkPeer, networkPort, objectName } from './kubernetes.ts';
import { pieces } from './lab-overlay.ts';
import { absolutePath } from './absolute-path.ts';
import { copiedSecret } from './lab-pieces.ts';
import { personal } from './personal.ts';
import { requestRules } from './requests.ts';
import { labSize } from './lab-size.ts';
import { profiles } from './profiles.ts';
import { cpu, duration, memory, positiveDuration } from './units.ts';

const MINUTE = 60_000;

const token = z.strictObject({
  source: z
    .enum(['caller', 'signed', 'none'])
    .default('caller')
    .describe(
      '`caller`: the token of the user who asks for the lab. `signed`: a short-lived one that Labwright signs and renews. ' +
        '`none`: none.',
    ),
  lifetime: duration
    .refine((ms) => ms >= 5 * MINUTE && ms <= 30 * 24 * 60 * MINUTE, { error: 'expected a duration from 5m to 30d' })
    .default(60 * MINUTE)
    .describe('How long a signed token is valid, from 5m to 30d; it is renewed at half of that.'),
  audience: z
    .array(z.string().min(1))
    .min(1)
    .optional()
    .describe('Who accepts a signed token (`aud`); the `baseUrl` when absent.'),
});

const homeSettings = z.strictObject({
  prefix: absolutePath
    .optional()
    .describe(
      'Directory that holds the home directories, or with schema `image` is one; `/home` when absent, and `/home/jovyan` with that schema.',
    ),
  schema: z
    .enum(['username', 'initialThenUsername', 'image'])
    .optional()
    .describe(
      '`username`: /home/ada. `initialThenUsername`: /home/a/ada. `image`: `prefix` itself is the home directory that the ' +
        'image brings along (such as /home/jovyan), which stays as it is. When absent, `image` where a volume is mounted at or below ' +
        '/home/jovyan, the home directory in images of the Jupyter project, and `username` elsewhere.',
    ),
  suffix: z
    .string()
    .regex(/^(?:[A-Za-z0-9._-]+(?:\/[A-Za-z0-9._-]+)*)?$/, { error: 'expected a relative path' })
    .refine((path) => !path.split('/').some((part) => part === '.' || part === '..'), {
      error: 'expected a path without . and ..',
    })
    .default('')
    .describe('Directory below the home directory of the user to use instead.'),
  volume: z
    .string()
    .optional()
    .describe(
      'One of `lab.volumes` to mount at the home directory. When absent, and no entry of `volumeMounts` covers the home ' +
        'directory, it is an empty directory that ends with the lab.',
    ),
});

const networkRules = z.strictObject({
  enabled: z.boolean().default(true).describe('Make a NetworkPolicy for each lab.'),
  hub: z
    .array(networkPeer)
    .min(1)
    .optional()
    .describe(
      'Where the hub is: it may reach the lab, and the lab always may reach it. Pods labelled `app: jupyterhub` and `component: hub` in ' +
        '`hubNamespaces` when absent.',
    ),
  proxy: z
    .array(networkPeer)
    .optional()
    .describe(
      'Where the proxy is: it may reach the lab. Pods labelled `app: jupyterhub` and `component: proxy` in `hubNamespaces` when absent.',
    ),
  hubNamespaces: z
    .array(dnsLabel())
    .min(1)
    .optional()
    .describe(
      'Namespaces of hub and proxy. When absent, those that `auth.serviceAccounts.hub` and `auth.jupyterhub.apiUrl` name ' +
        '(`http://hub.NAMESPACE:8081/…`), and where they name none, the namespace of Labwright.',
    ),
  ingress: z
    .array(
      z.strictObject({
        from: z.array(networkPeer).exactOptional().describe('From where; anywhere when absent.'),
        ports: z.array(networkPort).exactOptional().describe('To which ports; any when absent.'),
      }),
    )
    .default([])
    .describe('Further rules of who may reach the lab, as in a NetworkPolicy.'),
  egress: z.array(egressRule).default([]).describe('Further rules of what the lab may reach, as in a NetworkPolicy.'),
  internet: z
    .boolean()
    .default(true)
    .describe(
      'Let the lab reach every address but the blocked ones. Without it: hub, DNS (port 53 of any address) and the `egress` rules.',
    ),
  blocked: z
    .array(cidr)
    .default([])
    .describe(
      'Address blocks taken out of `internet`, besides 169.254.169.254/32 and fd00:ec2::254/128, which always are. Their port 53 stays open.',
    ),
});

/** The keys of `lab`, one by one; the rules between them are in lab.ts. */
export const labSettings = z.strictObject({
  sizes: z
    .array(labSize)
    .min(1, { error: 'expected at least one size' })
    .check(uniqueBy('name'))
    .describe('Lab sizes, in the order of the form.'),
  defaultSize: z.string().optional().describe('Size chosen beforehand; the first when absent.'),
  namespaces: z
    .enum(['perLab', 'shared'])
    .default('perLab')
    .describe(
      '`perLab`: each lab has a namespace of its own, which Labwright makes. `shared`: all labs are in one namespace that is there, as with ' +
        'KubeSpawner; Labwright then needs rights in that namespace only. Labs that run when this is changed stay where they are.',
    ),
  namespace: dnsLabel()
    .optional()
    .describe('Namespace of all labs with `namespaces: shared`; the namespace of Labwright when absent.'),
  podName: personal(dnsLabel())
    .optional()
    .describe(
      'With `namespaces: shared`, name of the pod and the Service of a lab, and beginning of the names of its Secrets and claims; ' +
        '`lab-{slug}` when absent. `jupyter-{user_server}` is the name that KubeSpawner gives. A name that comes out longer than 63 ' +
        'characters gives way to `lab-{slug}`.',
    ),
  profiles: profiles.describe(
    'Named combinations of settings that users choose from, in the order of the form (docs/profiles.md). Without any, users choose an ' +
      'image and a size.',
  ),
  namespacePrefix: dnsLabel(22).default('lab').describe('Namespaces of labs are called `<prefix>-<slug of the user>`.'),
  namespaceRetention: duration
    .default(15 * 60_000)
    .describe('How long an empty namespace is kept for the next spawn; 0 removes it with the lab.'),
  failedRetention: duration.default(60 * 60_000).describe('How long the reason of a failed lab is kept.'),
  port: z.int().min(1024).max(65_535).default(8888).describe('Port the lab listens on.'),
  spawnTimeout: positiveDuration.default(10 * 60_000).describe('A lab that does not listen by then has failed.'),
  schedulingTimeout: positiveDuration
    .optional()
    .describe('A lab that finds no node by then has failed; `spawnTimeout` when absent.'),
  pullTimeout: positiveDuration
    .optional()
    .describe(
      'A lab whose image cannot be fetched for so long, because its registry or the way there fails, has failed; `spawnTimeout` ' +
        'when absent. What no later attempt can mend, such as an image that does not exist, fails it at once.',
    ),
  containerTimeout: positiveDuration
    .optional()
    .describe(
      'A lab whose machine cannot make its container for so long, for reasons that may pass, has failed; `spawnTimeout` when absent.',
    ),
  deleteTimeout: positiveDuration.default(60_000).describe('How long a delete may take.'),
  terminationGracePeriod: duration.default(5000).describe('Time for the lab to end by itself.'),
  activityInterval: positiveDuration
    .default(5 * 60_000)
    .describe('How often the lab tells the hub that it is in use (JUPYTERHUB_ACTIVITY_INTERVAL).'),
  passwd: z
    .string()
    .default('root:x:0:0:root:/root:/bin/bash\n')
    .describe('Beginning of /etc/passwd; the line of the user follows.'),
  group: z.string().default('root:x:0:\n').describe('Beginning of /etc/group; the groups of the user follow.'),
  token: token.prefault({}).describe('The token in ACCESS_TOKEN, with which the lab can call other services.'),
  secrets: z
    .array(copiedSecret)
    .check(uniqueBy('secretKey'))
    .default([])
    .describe('Keys of Secrets of the controller, copied for each lab.'),
  pullSecret: objectName
    .optional()
    .describe('Secret of the controller with registry credentials, copied for each lab.'),
  home: homeSettings.prefault({}).describe('The home directory.'),
  runtimeMountsDir: absolutePath
    .optional()
    .describe('Directory with environment, secrets and resource limits as files; Nublado images expect /etc/nublado.'),
  podSecurity: z
    .enum(['restricted', 'baseline', 'privileged'])
    .optional()
    .describe(
      'Pod Security level of the namespace; the strictest that volumes, init containers, sidecars and `podPatch` allow when absent.',
    ),
  containerDefaults: z
    .strictObject({
      cpu: cpu.default(0.5).describe('Limit of CPU.'),
      memory: memory.default(512 * 2 ** 20).describe('Limit of memory.'),
      cpuRequest: cpu.default(0.1).describe('Request of CPU.'),
      memoryRequest: memory.default(128 * 2 ** 20).describe('Request of memory.'),
    })
    .check(...requestRules())
    .prefault({})
    .describe('LimitRange: what a container in the namespace gets that says nothing. The lab itself always says.'),
  networkPolicy: networkRules.prefault({}).describe('Who may reach the lab and what it may reach.'),
  internalUrl: z
    .enum(['serviceDns', 'serviceIp', 'podIp'])
    .default('serviceDns')
    .describe('What hub and proxy are told: the name of the Service, its address, or the address of the pod.'),
  clusterDomain: objectName
    .default('cluster.local')
    .describe('Domain of the DNS of the cluster: what Service names end with.'),
  ...pieces,
});
