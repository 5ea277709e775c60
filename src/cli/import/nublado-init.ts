import { compact } from './pod-pieces.ts';
import type { Json, Source, Table } from './source.ts';

/** Where the start-up of Nublado's images leaves what it has done. */
const STARTUP = { name: 'lab-startup', directory: '/etc/nublado/startup', bytes: 655_360 };

/** Where labs of Nublado find what there is beside them, as its controller asks service discovery when it makes a lab. */
const DISCOVERY = { name: 'lab-discovery', directory: '/etc/nublado/discovery' };
/** A lab starts without the file where service discovery does not answer. */
const ASK_DISCOVERY = `import asyncio, json, sys
import httpx
from rubin.repertoire import DiscoveryClient

async def main(path):
    async with httpx.AsyncClient(timeout=10) as client:
        found = await DiscoveryClient(client).build_nublado_dict()
    with open(path, "w") as file:
        json.dump(found, file, indent=2, sort_keys=True)

try:
    asyncio.run(main(sys.argv[1]))
except Exception as error:
    print("no service discovery:", error, file=sys.stderr)
`;
/** The command nublado is beside the Python that has its libraries. */
const BESIDE_NUBLADO = 'found=`command -v nublado`; exec "${found%/*}/python" -c "$@"';

interface Context {
  /** Image of Nublado's own init containers. */
  readonly image: string;
  readonly importMounts: (mounts: Source | undefined, to: string) => Table[];
  /** Where labs see the volume of the homes. */
  readonly home: readonly Table[];
}

/** What runs before a lab: what is configured, and what Nublado runs or does by itself. */
export function nubladoInitContainers(lab: Source, { image, importMounts, home }: Context) {
  const inithome = lab.at('standardInithome');
  const isOn = inithome?.value === true;
  if (isOn)
    inithome.remarked('lab.initContainers', `it runs the image of Nublado's controller: see that ${image} is yours`);
  else inithome?.mapped('lab.initContainers');
  const own = { image, volumeMounts: [{ name: STARTUP.name, mountPath: STARTUP.directory }] };
  const isScience = lab.at('env', 'RSP_SITE_TYPE')?.value === 'science';
  return {
    volumes: [
      { name: STARTUP.name, emptyDir: { medium: 'Memory', sizeLimit: STARTUP.bytes } },
      { name: DISCOVERY.name, emptyDir: {} },
    ],
    mounts: [STARTUP, DISCOVERY].map(({ name, directory }) => ({ name, mountPath: directory, readOnly: true })),
    containers: [
      {
        name: DISCOVERY.name,
        image,
        command: ['sh', '-c', BESIDE_NUBLADO, 'sh', ASK_DISCOVERY, `${DISCOVERY.directory}/v1.json`],
        volumeMounts: [{ name: DISCOVERY.name, mountPath: DISCOVERY.directory }],
      },
      ...(isOn
        ? [
            {
              name: 'nublado-std-inithome',
              image,
              command: ['nublado', 'inithome'],
              privileged: true,
              volumeMounts: home,
            },
          ]
        : []),
      ...(lab.at('initContainers')?.entries() ?? []).map(([, container]) => importContainer(container, importMounts)),
      ...(isScience
        ? [{ name: 'nublado-std-landingpage', command: ['nublado', 'landingpage'], sees: 'lab', ...own }]
        : []),
      { name: 'nublado-std-startup', command: ['nublado', 'startup'], sees: 'lab', ...own },
    ],
  };
}

function importContainer(container: Source, importMounts: Context['importMounts']): Json {
  const text = (...keys: string[]) => container.at(...keys)?.text();
  const made = compact({
    name: text('name'),
    image: `${text('image', 'repository') ?? ''}:${text('image', 'tag') ?? 'latest'}`,
    imagePullPolicy: text('image', 'pullPolicy'),
    command: container.at('command')?.value,
    privileged: container.at('privileged')?.value === true ? true : undefined,
    volumeMounts: importMounts(container.at('volumeMounts'), 'lab.initContainers[].volumeMounts'),
  });
  container.mapped('lab.initContainers');
  return made;
}
