import { LabBuilder } from '../../../src/builder/lab/lab-builder.ts';
import type { Config } from '../../../src/config/index.ts';
import { aLabInput } from '../../builder/cases.ts';
import { numberOf, type Observed } from './facts.ts';
import { whatIsMade } from './labs.ts';
import { reachedFacts, reachFacts } from './network.ts';
import type { Given } from './nublado-pod.ts';
import type { Site, SiteCase } from './sites.ts';

/** The lab that Labwright makes of the imported configuration of a site, with what is beside it. */
export function observeSiteLab(config: Config, { repository }: Site, each: SiteCase, given: Given): Observed {
  const { user, size, debug, reset, quota } = each;
  const image = `${repository}:${each.tag}`;
  const changes = {
    ...{ user, size, debug, reset, image },
    token: given.token,
    env: given.hubEnv,
    data: given.secrets,
  };
  const pullSecret = config.lab.pullSecret === undefined ? null : { type: 'kubernetes.io/dockerconfigjson', data: {} };
  const input = aLabInput(config, { ...changes, pullSecret });
  const objects = new LabBuilder(config, 'labwright').buildLab({ ...input, lab: { ...input.lab, quota } });
  const { namespace, networkPolicy, service, resourceQuota, volumeClaims } = objects;
  const own = namespace?.metadata?.name ?? '';
  const hard = Object.entries(resourceQuota?.spec?.hard ?? {});
  return {
    ...whatIsMade(objects),
    claims: volumeClaims,
    groups: 'everybody',
    beside: [
      ...reachFacts(networkPolicy?.spec?.egress, own, false),
      ...reachedFacts(networkPolicy?.spec?.ingress ?? [], own),
      ['namespace', own],
      ['pod security', namespace?.metadata?.labels?.['pod-security.kubernetes.io/enforce'] ?? 'none'],
      ['service', `port ${String(service.spec?.ports?.[0]?.port)}`],
      ...hard.map(([name, amount]) => [`quota ${name}`, String(numberOf(amount))] as const),
    ],
  };
}
