import { LabBuilder } from '../../../src/builder/lab/lab-builder.ts';
import type { Config } from '../../../src/config/index.ts';
import { aLabInput } from '../../builder/cases.ts';
import { numberOf, type Observed } from './facts.ts';
import { whatIsMade } from './labs.ts';
import { reachedFacts, reachFacts } from './network.ts';
import type { LabImage } from '../../../src/domain/lab/lab.ts';
import { offerImages } from '../../../src/reconcile/images/offered-images.ts';
import { DIGEST, type Given } from './nublado-pod.ts';
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
  const found = imageOf(config, each.tag);
  const lab = { ...input.lab, quota, image: found, options: { ...input.lab.options, image: found.reference } };
  const objects = new LabBuilder(config, 'labwright').buildLab({ ...input, lab, image: found });
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
      ['newest images', newestOf(config)],
      ['pod security', namespace?.metadata?.labels?.['pod-security.kubernetes.io/enforce'] ?? 'none'],
      ['service', `port ${String(service.spec?.ports?.[0]?.port)}`],
      ...hard.map(([name, amount]) => [`quota ${name}`, String(numberOf(amount))] as const),
    ],
  };
}

/** The image of a tag as a lab runs it, once the registry has been read. */
function imageOf(config: Config, tag: string): LabImage {
  const image = { digest: DIGEST, size: null, architectures: null, former: [] };
  const found = { origin: '', readAt: 0, tags: [tag], images: { [tag]: image }, problem: null };
  const [offered] = offerImages(config, () => found, 0);
  if (offered === undefined) throw new Error(`${tag} is not offered`);
  const { reference, name = reference, origin } = offered;
  return { reference: `${reference}@${DIGEST}`, name, digest: DIGEST, origin };
}

function newestOf({ images }: Config): string {
  const { release, weekly, daily } = images.sources[0]?.tags.kinds ?? {};
  return `${release?.wanted ?? 0} releases, ${weekly?.wanted ?? 0} weeklies, ${daily?.wanted ?? 0} dailies`;
}
