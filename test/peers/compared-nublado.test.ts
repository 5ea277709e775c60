import { beforeAll, describe, expect, it } from 'vitest';
import { parseConfig } from '../../src/config/index.ts';
import { runImport } from '../cli/importing.ts';
import { compare, type Compared, unexplained, unused } from './compared/compare.ts';
import { writeComparison } from './compared/document.ts';
import { type Given, nubladoLab } from './compared/nublado-pod.ts';
import { RULES } from './compared/nublado-rules.ts';
import { observeSiteLab } from './compared/site-labs.ts';
import { areSitesThere, readSites, type Site } from './compared/sites.ts';

if (!areSitesThere) {
  process.stdout.write("\nNOT RUN: the comparison with Nublado's pods: the values of sites are not there.\n");
}

const PAGE = {
  head: [
    "# Labwright's pods beside Nublado's",
    '',
    'For the values of two production sites: the pod that the lab controller of Nublado 11 makes, beside the pod that Labwright makes with what',
    '`labwright import nublado` writes, for the same person and the same choices: somebody with each size, with the recommended and each pinned image,',
    "with debugging and a clean environment, and a bot with a quota and without a name. Nublado's controller is not published as a package, so its pod is",
    'a translation of what it was seen to make (test/peers/compared/nublado-pod.ts). Both are taken apart into facts as for',
    '[KubeSpawner](compared-with-kubespawner.md), and compared: also each file of a ConfigMap or Secret that is mounted, what claims ask for, quotas and',
    'who may reach the lab. `same` counts the facts that are equal; the numbers are the differences below. No site loses anything of what is',
    'compared.',
    '',
    'test/peers/compared-nublado.test.ts makes this page and keeps it true.',
  ],
  what: 'site',
  rules: RULES,
};

const base64 = (text: string) => Buffer.from(text).toString('base64');

function givenTo({ lab }: Site, baseUrl: string): Given {
  return {
    hubEnv: {
      JUPYTERHUB_API_TOKEN: 'a-placeholder',
      JUPYTERHUB_SERVICE_PREFIX: '/nb/user/somebody/',
      JUPYTERHUB_SERVICE_URL: 'http://0.0.0.0:8888/nb/user/somebody/',
    },
    token: 'token-placeholder',
    secrets: Object.fromEntries(lab.secrets.map(({ secretKey }) => [secretKey, base64(`${secretKey}-placeholder`)])),
    baseUrl,
    repertoireUrl: `${baseUrl}/repertoire`,
    discovery: { services: { ui: {} } },
  };
}

async function compareSite(site: Site): Promise<Compared> {
  const { stdout } = await runImport('nublado', site.text);
  const config = parseConfig(stdout);
  const given = givenTo(site, config.baseUrl);
  const pairs = site.cases.map((each) => ({
    theirs: nubladoLab(site, each, given),
    ours: observeSiteLab(config, site, each, given),
  }));
  return compare(site.name, pairs, RULES);
}

describe.skipIf(!areSitesThere)("Labwright's pods beside Nublado's for the same values", () => {
  let compared: Compared[];
  beforeAll(async () => {
    compared = await Promise.all(readSites().map(compareSite));
  });

  it('differ in nothing that is not explained', () => {
    expect(unexplained(compared)).toEqual([]);
  });

  it('lose nothing', () => {
    const lost = compared.flatMap(({ differences }) =>
      differences.flatMap(({ difference, rule }) => (rule?.kind === 'lost' ? [difference.fact] : [])),
    );
    expect(lost).toEqual([]);
  });

  it('are compared by rules that all explain something', () => {
    expect(unused(compared, RULES)).toEqual([]);
  });

  it('are told of in docs/compared-with-nublado.md', async () => {
    await expect(writeComparison(PAGE, compared)).toMatchFileSnapshot('../../docs/compared-with-nublado.md');
  });
});
