import { HUB_NOTES, hubWithLabwright } from './hub-values.ts';
import { importBuilds } from './binderhub-builds.ts';
import { importRepositories } from './binderhub-repositories.ts';
import type { ImporterResult, ImportOptions } from './importer.ts';
import { compact } from './pod-pieces.ts';
import type { Json, Source } from './source.ts';
import { hubChart, importZ2jh } from './z2jh.ts';

const SERVICE = 'binderhub-service';
const NO_PAGE =
  'there is no page on which anybody launches a repository: users log in to the hub and name one in its form, and programs ask for images as ' +
  'at a BinderHub (docs/builds-api.md)';
const NO_QUOTA = 'labs are not counted by repository: quotas and limits.labsPerUser count them by user';
const OF_THE_API = 'the API of BinderHub is below pathPrefix, at …/build/PROVIDER/SPEC (docs/builds-api.md)';

const CHART = 'They are for the chart of Zero to JupyterHub itself: nothing is left for that of BinderHub.';

/** Traits of `BinderHub` that say nothing about how images are made. */
const TRAITS: Readonly<Record<string, string>> = {
  base_url: OF_THE_API,
  port: OF_THE_API,
  enable_api_only_mode: OF_THE_API,
  hub_url: OF_THE_API,
  hub_url_local: OF_THE_API,
  hub_api_token: 'Labwright starts labs for the hub, and asks it for none',
  auth_enabled: 'whoever asks for a build is known by a token of the hub, always (auth)',
  build_cleanup_interval: 'what has ended is cleaned up without a setting (builds.retention)',
  log_tail_lines: 'logs are followed from their beginning',
  executor_threads: 'there are no threads to count',
  build_class: 'builds run in pods of Labwright, in other clusters, or in an engine (builds.executors)',
  builder_required: 'images are built',
};
const LOST: Readonly<Record<string, string>> = {
  per_repo_quota: NO_QUOTA,
  per_repo_quota_higher: NO_QUOTA,
  pod_quota: NO_QUOTA,
  ban_networks: 'addresses are not banned: refuse them at the ingress',
  cors_allow_origin: 'no other origin may call from a browser: let its server do so',
};

/** The values of BinderHub or of binderhub-service, with those of the hub beside. */
export function importBinderHub(root: Source, options: ImportOptions): ImporterResult {
  const nested = root.at(SERVICE);
  const service = nested ?? root;
  const chart = nested === undefined ? root.within('jupyterhub') : hubChart(root);
  const builds = compact({ ...importBuilds(service), repositories: importRepositories(service.within('config')) });
  explainConfig(service.within('config'));
  explainPython(service);
  for (const [key, rest] of service.entries()) {
    if (key !== 'jupyterhub' && rest.unsettled().length > 0) {
      rest.remarked(undefined, 'about BinderHub itself, in whose place Labwright is');
    }
  }
  const config = { ...importZ2jh(chart, options), builds };
  for (const rest of root.unsettled()) rest.hub();
  return {
    config,
    hubValues: valuesOfHub(root, chart, nested),
    hubNotes: [...HUB_NOTES, ...(nested === undefined ? [CHART] : [])],
  };
}

/** Nothing of the chart BinderHub goes on: what is left is for Zero to JupyterHub itself. A part of another chart is switched off. */
function valuesOfHub(root: Source, chart: Source, nested: Source | undefined): Json {
  if (nested !== undefined) {
    return { ...(hubWithLabwright(root, chart) as Record<string, Json>), [SERVICE]: { enabled: false } };
  }
  return hubWithLabwright(chart, chart);
}

function explainConfig(config: Source): void {
  const binderhub = config.at('BinderHub');
  for (const [key, trait] of binderhub?.entries() ?? []) {
    if (trait.unsettled().length === 0) continue;
    const [why, lost] = [TRAITS[key], LOST[key]];
    if (why !== undefined) trait.remarked(undefined, why);
    else trait.lost(lost ?? NO_PAGE);
  }
  for (const name of ['LaunchQuota', 'KubernetesLaunchQuota']) config.at(name)?.lost(NO_QUOTA);
  config.at('RateLimiter')?.remarked('limits', 'requests are limited by user and by address (limits)');
  config.at('Launcher')?.lost(NO_PAGE);
  for (const rest of config.unsettled()) rest.lost('there is no setting for it');
}

/** The chart of binderhub-service brings these along. */
const SHIPPED = ['01-build-pods-docker-config', '02-set-docker-api'];

function explainPython(service: Source): void {
  for (const [key, script] of service.at('extraConfig')?.entries() ?? []) {
    const traits = [...new Set(script.text()?.match(/\bc\.[A-Za-z]\w*\.\w+|\bclass \w+/g))];
    const what = traits.length === 0 ? 'does something to BinderHub' : `sets ${traits.join(', ')}`;
    if (SHIPPED.includes(key))
      script.remarked('builds', 'of the chart itself: credentials are builds.registry.credentials');
    else script.lost(`Python that ${what}: see what of it builds has a setting for`);
  }
}
