import {
  type Config,
  describeHomes,
  findLines,
  type ImagesConfig,
  knownSources,
  mergeLab,
  repositoryOf,
  securityDemands,
  writeAmount,
} from '../config/index.ts';
import { DEFAULT_POD_NAME } from '../domain/lab/object-names.ts';
import { writePath } from '../util/json-path.ts';
import { formatCpu, showMemory } from '../util/quantities.ts';

type Path = readonly (string | number)[];

/** What a configuration means, in lines that a person can check against what was meant. */
export function summarize(config: Config, text: string): string {
  const lines: readonly (readonly [subject: string, ...said: readonly string[]])[] = [
    ['homes', sayHomes(config)],
    ['callers', ...sayCallers(config)],
    ['ids', sayIds(config)],
    ['namespaces', sayNamespaces(config)],
    ['images', sayImages(config)],
    ...(config.lab.profiles.length === 0 ? [] : [['profiles', sayList(config.lab.profiles.map(sayProfile))] as const]),
    ['sizes', sayList(config.lab.sizes.map((size) => saySize(config, size)))],
    ...(config.overlays.length === 0 ? [] : [['overlays', sayList(config.overlays.map(sayOverlay))] as const]),
    ['Pod Security', ...sayPodSecurity(config, text)],
  ];
  return lines
    .map(([subject, ...said]) =>
      said.map((each, index) => `  ${(index === 0 ? subject : '').padEnd(13)} ${each}\n`).join(''),
    )
    .join('');
}

const MOST = 8;

function sayList(entries: readonly string[]): string {
  const more = entries.length - MOST;
  return `${entries.slice(0, MOST).join('; ')}${more > 0 ? `; and ${String(more)} more` : ''}`;
}

function sayHomes({ lab }: Config): string {
  const { directory, on, isKept, key } = describeHomes(lab);
  return `${directory} on ${on}, ${isKept ? 'kept when the lab ends' : 'which ends with the lab'} (${key})`;
}

/** Who may call, role by role. */
function sayCallers({ auth }: Config): string[] {
  const { tokens, jwt, serviceAccounts, jupyterhub, proxyHeaders } = auth;
  return (['hub', 'admin', 'user'] as const).map((role) => {
    const count = tokens.filter((token) => token.role === role).length;
    const issuers = jwt.filter(({ roles }) =>
      roles.length === 0 ? role === 'user' : roles.some((each) => each.role === role),
    );
    const accounts = role === 'user' ? [] : (serviceAccounts?.[role] ?? []);
    const names = role === 'hub' ? proxyHeaders?.hubUsers : role === 'admin' ? proxyHeaders?.adminUsers : undefined;
    const addresses = proxyHeaders?.trustedAddresses.join(', ') ?? '';
    const found = [
      ...(count === 0 ? [] : [`${String(count)} static token(s) (auth.tokens)`]),
      ...issuers.map(({ issuer }) => `tokens of ${issuer} (auth.jwt)`),
      ...accounts.map((account) => `the service account ${account} (auth.serviceAccounts)`),
      ...(jupyterhub === undefined
        ? []
        : [`tokens of ${jupyterhub.apiUrl} with ${jupyterhub.scopes[role].join(' or ')} (auth.jupyterhub)`]),
      ...(names ?? []).map((name) => `${name}, behind the proxy (auth.proxyHeaders)`),
      ...(role === 'user' && proxyHeaders !== undefined
        ? [`whom the proxy at ${addresses} names (auth.proxyHeaders)`]
        : []),
    ];
    return `role ${role}: ${found.length === 0 ? 'nobody' : sayList(found)}`;
  });
}

const SOURCES: Readonly<Record<ReturnType<typeof knownSources>[number], string>> = {
  claims: 'the claims of tokens (auth.jwt)',
  hub: "the hub's user model (auth.jupyterhub)",
  gafaelfawr: 'Gafaelfawr (auth.proxyHeaders.userInfoUrl)',
  static: 'the configuration (users.byName, auth.tokens)',
  defaults: 'users.defaults',
};

function sayIds(config: Config): string {
  const { defaults } = config.users;
  const sources = knownSources(config).map((source) =>
    source === 'defaults' && defaults !== undefined
      ? `${SOURCES.defaults} (uid ${String(defaults.uid)}, gid ${String(defaults.gid)})`
      : SOURCES[source],
  );
  return sources.length === 0 ? 'nothing says them, and no lab starts without' : `from ${sources.join(', else ')}`;
}

function sayNamespaces({ lab, kubernetes }: Config): string {
  const { namespaces, namespace, podName, namespacePrefix, namespaceRetention } = lab;
  if (namespaces === 'shared') {
    const one = namespace ?? kubernetes.namespace ?? 'that of Labwright';
    return `one for all labs, ${one}, in which they are called ${podName ?? DEFAULT_POD_NAME} (lab.namespaces, lab.namespace, lab.podName)`;
  }
  const kept =
    namespaceRetention === 0
      ? 'removed with it'
      : `kept for ${String(writeAmount('duration', namespaceRetention))} after it`;
  return `one for each lab, ${namespacePrefix}-{slug}, ${kept} (lab.namespacePrefix, lab.namespaceRetention)`;
}

function sayProfile({ name, groups, options }: Config['lab']['profiles'][number]): string {
  const asks = Object.keys(options);
  return `${name}${asks.length === 0 ? '' : ` (asks for ${asks.join(', ')})`}${sayGroups(groups)}`;
}

function sayImages({ images, builds }: Config): string {
  const list = images.list.map(({ reference, groups }) => `${reference}${sayGroups(groups)}`);
  return [
    ...(list.length === 0 ? [] : [sayList(list)]),
    ...images.sources.map(
      (source) => `the tags of ${repositoryOf(source)}${sayGroups(source.groups)} (images.sources)`,
    ),
    ...sayOther(images.allowOther),
    ...(builds === undefined ? [] : ['those that are built from repositories (builds)']),
  ].join('; ');
}

function sayOther(allowOther: ImagesConfig['allowOther']): string[] {
  if (allowOther === false) return [];
  const { groups, pattern } = allowOther;
  const matching = pattern === undefined ? '' : ` that matches ${pattern}`;
  return [`any other${matching} that is written in${sayGroups(groups)} (images.allowOther)`];
}

function saySize(
  { lab }: Config,
  { name, cpu, memory, groups, extendedResources }: Config['lab']['sizes'][number],
): string {
  const devices = Object.entries(extendedResources).map(([key, count]) => `, ${count} ${key}`);
  const chosen = name === lab.defaultSize && lab.sizes.length > 1 ? ', the default' : '';
  return `${name} (${formatCpu(cpu)} CPU, ${showMemory(memory)}${devices.join('')}${chosen})${sayGroups(groups)}`;
}

function sayGroups(groups: readonly string[] | undefined): string {
  return groups === undefined ? '' : ` for ${groups.join(', ')}`;
}

function sayOverlay({ name, match }: Config['overlays'][number]): string {
  const whom = [
    ...(match.groups === undefined ? [] : [`groups ${match.groups.join(', ')}`]),
    ...(match.users === undefined ? [] : [`users ${match.users.join(', ')}`]),
    ...(match.admin === true ? ['administrators'] : []),
  ];
  return `${name} for ${whom.join(' and ')}`;
}

/** The level of namespaces, and which line asks for it. */
function sayPodSecurity({ lab, overlays, images }: Config, text: string): string[] {
  const lineOf = findLines(text);
  const place = (path: Path) => {
    const line = lineOf(path);
    return `${writePath(path)}${line === undefined ? '' : ` (line ${String(line)})`}`;
  };
  const demands = securityDemands(lab);
  const own = (['privileged', 'baseline'] as const).flatMap((level) => {
    const places = demands.filter((demand) => demand.level === level).map(({ path }) => place(['lab', ...path]));
    return places.length === 0 ? [] : [`${level} is asked for by ${places.join(', ')}`];
  });
  const written =
    lab.podSecurityLimit === undefined
      ? []
      : [`${lab.podSecurityLimit} is written at ${place(['lab', 'podSecurity'])}`];
  const over = [
    ...overlays.map((each, index) => ({ over: each.lab, path: ['overlays', index, 'lab'] as Path })),
    ...lab.sizes.map((each, index) => ({ over: each.lab, path: ['lab', 'sizes', index, 'lab'] as Path })),
    ...(['list', 'sources'] as const).flatMap((key) =>
      images[key].map((each, index) => ({ over: each.lab, path: ['images', key, index, 'lab'] as Path })),
    ),
  ].flatMap(({ over: settings, path }) => {
    if (settings === undefined) return [];
    const { podSecurity } = mergeLab(lab, settings);
    return podSecurity === lab.podSecurity ? [] : [`${podSecurity} is asked for by ${place(path)}, for whom it is`];
  });
  return [lab.podSecurity, ...[...written, ...own, ...over].map((each) => `- ${each}`)];
}
