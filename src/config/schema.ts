import { z } from 'zod';
import { findHubNamespaces } from './hub-namespaces.ts';
import { builds } from './builds/index.ts';
import { auth, users } from './identity.ts';
import { lab } from './lab.ts';
import { images } from './images/index.ts';
import { leadership } from './leadership.ts';
import { limits } from './limits.ts';
import { dnsLabel } from './kubernetes.ts';
import { checkImageSizes, checkOverlays, overlays } from './overlays.ts';
import { checkProfiles } from './profile-rules.ts';
import { quotas } from './quotas.ts';
import { positiveDuration } from './units.ts';

const baseUrl = z
  .url({
    protocol: /^https?$/,
    error: ({ input }) => `${input === undefined ? 'missing: ' : ''}expected an http or https URL`,
  })
  .refine((url) => !/[?#]/.test(url), { error: 'expected a URL without ? and #' })
  .transform((url) => url.replace(/\/+$/, ''))
  .describe('Where users find the hub, and Labwright below it; labs get it as EXTERNAL_INSTANCE_URL.');

const pathPrefix = z
  .string()
  .regex(/^(?:\/[A-Za-z0-9._~-]+)*\/?$/, { error: 'expected a path such as /labwright' })
  .transform((path) => path.replace(/\/$/, ''))
  .default('/labwright')
  .describe('Beginning of the paths of the API.');

/** The whole configuration file. */
export const configSchema = z
  .strictObject({
    listen: z
      .strictObject({
        host: z.string().min(1).default('0.0.0.0').describe('Address to listen on.'),
        port: z.int().min(0).max(65_535).default(8080).describe('Port to listen on; 0 for any that is free.'),
      })
      .prefault({})
      .describe('Where the API listens.'),
    baseUrl,
    pathPrefix,
    logLevel: z
      .enum(['trace', 'debug', 'info', 'warn', 'error', 'fatal'])
      .default('info')
      .describe('Least level that is logged.'),
    kubernetes: z
      .strictObject({
        namespace: dnsLabel()
          .optional()
          .describe('Namespace of the controller; that of its pod, or `labwright`, when absent.'),
        kubeconfig: z.string().min(1).optional().describe('Kubeconfig file; the credentials of the pod when absent.'),
        context: z.string().min(1).optional().describe('Context of the kubeconfig; its current one when absent.'),
        requestTimeout: positiveDuration.default(10_000).describe('Most one call may take.'),
        requestsPerSecond: z.number().min(1).default(1000).describe('Calls per second, on average.'),
        burst: z.int().min(1).default(1000).describe('Calls at once after a quiet time.'),
        concurrency: z.int().min(1).max(1000).default(16).describe('Labs worked on at once.'),
      })
      .prefault({})
      .describe('The cluster.'),
    leadership: leadership.describe('Which of several replicas reconciles.'),
    auth: auth.describe('Who may call: at least one of these.'),
    users: users.prefault({}).describe('What is known of the users.'),
    images: images.describe('What labs can run.'),
    quotas: quotas.prefault({}).describe('What users may have at once.'),
    lab: lab.describe('How labs are made.'),
    overlays: overlays.describe('Other settings of labs for some users, laid over `lab` in this order.'),
    builds: builds.optional().describe('Building images from repositories; none are built when absent.'),
    limits: limits.prefault({}).describe('What callers may take, and what requests may weigh.'),
  })
  .check(checkOverlays, checkImageSizes, checkProfiles)
  .transform((config) => {
    const { networkPolicy } = config.lab;
    const hubNamespaces = networkPolicy.hubNamespaces ?? findHubNamespaces(config.auth);
    return { ...config, lab: { ...config.lab, networkPolicy: { ...networkPolicy, hubNamespaces } } };
  });
