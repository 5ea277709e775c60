import type { Logger } from 'pino';
import { LabBuilder } from '../builder/lab/lab-builder.ts';
import { buildSharedNetworkPolicy } from '../builder/lab/network-policy.ts';
import type { Config } from '../config/config.ts';
import type { BuildService } from '../reconcile/builds/build-service.ts';
import type { Controller } from '../reconcile/controller.ts';
import type { Cache, Component } from '../reconcile/health.ts';
import { LabAdmission } from '../reconcile/labs/admission/lab-admission.ts';
import { LabAdoption } from '../reconcile/labs/adoption.ts';
import type { LabTimings } from '../reconcile/labs/decide.ts';
import { ImageBuilds, labImagesController } from '../reconcile/labs/image-builds.ts';
import { ImageFollowers } from '../reconcile/labs/image-followers.ts';
import { LabCache } from '../reconcile/labs/lab-cache.ts';
import { LabLookup } from '../reconcile/labs/lab-lookup.ts';
import { LabOrphans, labOrphansController } from '../reconcile/labs/lab-orphans.ts';
import { LabReconciler, labsController } from '../reconcile/labs/lab-reconciler.ts';
import type { LabService, LabTokens } from '../reconcile/labs/lab-service.ts';
import { LabTeardown } from '../reconcile/labs/lab-teardown.ts';
import { labEventsController, LabEventReporter } from '../reconcile/labs/lab-events.ts';
import { Labs } from '../reconcile/labs/labs.ts';
import { SourceSecrets } from '../reconcile/labs/objects/source-secrets.ts';
import { Operations } from '../reconcile/labs/operations.ts';
import { labTokensController, TokenRenewal } from '../reconcile/labs/token-renewal.ts';
import { NamespaceSetup } from '../reconcile/namespace-setup.ts';
import type { KubeClient } from '../storage/kubernetes/kube-client.ts';
import { type Clock, SKEW_TOLERANCE_MS } from '../util/clock.ts';

export interface LabPartsOptions {
  readonly client: KubeClient;
  /** What holds at the start. Where labs are looked for and how their tokens are made is not changed by a later one. */
  readonly config: Config;
  /** The controller's own namespace. */
  readonly controller: string;
  readonly logger: Logger;
  /** Signs the tokens of labs; to be given where `lab.token.source` is `signed`. */
  readonly tokens?: LabTokens | undefined;
  /** Where images are built from repositories. */
  readonly builds?: BuildService | undefined;
  readonly clock?: Clock;
  /** Tests shorten these. */
  readonly patience?: LabPatience;
}

/** How long what may pass is waited for, in milliseconds. */
export interface LabPatience {
  /** How long something with our labels and without an intent is left alone. */
  readonly leftoverGrace?: number;
  /** For how long the cluster may fail what a lab needs before readers are told. */
  readonly noteAfter?: number;
  /** How far the clocks of two replicas may be apart. */
  readonly clockSkew?: number;
  /** The longest that a refusal of the cluster which may pass is waited for. */
  readonly longestGrace?: number;
}

/** Everything about labs, for the Manager and for HTTP. */
export interface LabParts {
  /** By the configuration that holds now. */
  readonly labs: LabService;
  readonly caches: readonly Cache[];
  readonly components: readonly Component[];
  readonly controllers: readonly Controller[];
  /** What another configuration makes of labs. Nothing of it holds before it is given to `use`. */
  by(config: Config): ConfiguredLabs;
  /** From now on, what is begun is done by this. What is under way ends as it has begun. */
  use(configured: ConfiguredLabs): void;
}

/**
 * What is made of one configuration, which it never sees change. It remembers nothing that another one would miss: what is
 * observed and what is under way is in parts that outlive it.
 */
export interface ConfiguredLabs {
  readonly labs: LabService;
  readonly config: Config;
  readonly reconciler: LabReconciler;
  readonly teardown: LabTeardown;
  readonly admission: LabAdmission;
  readonly orphans: LabOrphans;
  readonly reporter: LabEventReporter;
}

/** Most questions a second about labs that may be gone, before their user is refused another. */
const ADMISSION_LOOKUPS = 20;
const NOTE_AFTER_MS = 5_000;
const LEFTOVER_GRACE_MS = 5 * 60_000;

export function createLabs(options: LabPartsOptions): LabParts {
  const { client, config, controller, logger, tokens, builds, clock, patience = {} } = options;
  if (config.lab.token.source === 'signed' && tokens === undefined) {
    throw new TypeError('the configuration asks for signed tokens, and there is nobody to sign them');
  }
  const sharedNamespace = config.lab.namespaces === 'shared' ? (config.lab.namespace ?? controller) : undefined;
  const cache = new LabCache({ client, controller, sharedNamespace, logger });
  const operations = new Operations();
  const lasting = {
    ...{ client, cache, operations, controller, logger, tokens },
    ...(clock === undefined ? {} : { clock }),
  };
  const adoption = new LabAdoption(lasting);
  const lookup = new LabLookup(lasting);
  const admissionLookup = new LabLookup({ ...lasting, perSecond: ADMISSION_LOOKUPS });
  const setup = sharedNamespace === undefined ? undefined : sharedSetup(options, () => current.config);
  const images =
    builds === undefined
      ? undefined
      : new ImageBuilds({
          ...lasting,
          builds,
          teardown: { fail: (intent, finding) => current.teardown.fail(intent, finding) },
        });
  const imagesController = images === undefined ? undefined : labImagesController(images, cache, logger);
  const followers =
    builds === undefined
      ? undefined
      : new ImageFollowers({ builds, logger, onEnd: (slug) => imagesController?.enqueue(slug) });

  function configure(now: Config, before?: ConfiguredLabs): ConfiguredLabs {
    const shared = { ...lasting, config: now.lab, timings: timingsOf(now, patience) };
    const builder = new LabBuilder(now, controller);
    const teardown = new LabTeardown(shared);
    const admission = new LabAdmission({
      ...shared,
      lookup: admissionLookup,
      labsPerUser: now.limits.labsPerUser,
      spawnTimeout: now.lab.spawnTimeout,
      before: before?.admission,
    });
    const reporter = new LabEventReporter({ ...shared, followers });
    return {
      config: now,
      ...{ teardown, admission, reporter },
      labs: new Labs({ ...shared, adoption, admission, builder, reporter, teardown, lookup }),
      orphans: new LabOrphans({ ...shared, teardown, adoption, before: before?.orphans }),
      reconciler: new LabReconciler({
        ...shared,
        admission,
        teardown,
        builder,
        sources: new SourceSecrets(client, now.lab, controller),
        prepare: async () => {
          if (setup?.isProvisioned === false) await setup.ensure();
        },
        buildsImages: images !== undefined,
        longestGrace: patience.longestGrace,
        noteAfter: patience.noteAfter ?? NOTE_AFTER_MS,
      }),
    };
  }

  let current = configure(config);
  return {
    get labs() {
      return current.labs;
    },
    by: (next) => configure(next, current),
    use(next) {
      current = next;
      // The policy of all labs that share a namespace may be another one now: no lab is started before it is there.
      setup?.applyAgain();
    },
    caches: [cache],
    components: followers === undefined ? [] : [followers],
    controllers: [
      ...(setup === undefined ? [] : [setup.controller]),
      labEventsController(() => current.reporter, cache, logger),
      labsController(() => current.reconciler, cache, { concurrency: config.kubernetes.concurrency, logger }),
      labOrphansController(() => current.orphans, cache, logger),
      ...(imagesController === undefined ? [] : [imagesController]),
      ...(tokens === undefined ? [] : [labTokensController(new TokenRenewal({ ...lasting, tokens }), cache, logger)]),
    ],
  };
}

function timingsOf({ lab }: Config, { leftoverGrace, clockSkew }: LabPatience): LabTimings {
  return {
    ...lab,
    patience: { machine: lab.schedulingTimeout, image: lab.pullTimeout, container: lab.containerTimeout },
    leftoverGrace: leftoverGrace ?? LEFTOVER_GRACE_MS,
    clockSkew: clockSkew ?? SKEW_TOLERANCE_MS,
  };
}

/** Of the namespace that labs share, the policy is Labwright's. */
function sharedSetup({ client, controller, logger }: LabPartsOptions, config: () => Config): NamespaceSetup {
  const objects = () => ({ networkPolicy: buildSharedNetworkPolicy(config().lab, controller) });
  return new NamespaceSetup({ name: 'lab-namespace', client, objects, logger });
}
