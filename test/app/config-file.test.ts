import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pino } from 'pino';
import { afterEach, expect, it } from 'vitest';
import { ConfigFile } from '../../src/app/config-file.ts';
import { type Config, parseConfig } from '../../src/config/index.ts';
import { aFolder, closeAll } from '../sandbox/processes/support.ts';

afterEach(closeAll);

const HALF = `baseUrl: https://hub.example.org
auth: { proxyHeaders: { trustedAddresses: [10.0.0.0/8] } }
images: { list: [{ reference: "example.org/lab:1" }] }
lab:
  sizes:
    - { name: large, cpu: 2, memory: 2Gi }
`;
const WHOLE = `${HALF}    - { name: small, cpu: 1, memory: 1Gi }\n`;
const STARTED = HALF.replace('large', 'medium');

/** A file that is looked at when the test says so. */
async function aFile() {
  const path = join(await aFolder(), 'config.yaml');
  await writeFile(path, STARTED);
  const sizes: string[][] = [];
  const lines: { level: number }[] = [];
  const logger = pino({}, { write: (line: string) => void lines.push(JSON.parse(line) as { level: number }) });
  const state = { fails: false };
  const use = ({ lab }: Config) => {
    if (state.fails) throw new TypeError('a fault of ours');
    sizes.push(lab.sizes.map(({ name }) => name));
  };
  const file = new ConfigFile({ source: { path, text: STARTED }, config: parseConfig(STARTED), use, logger });
  return { file, sizes, lines, state, write: (text: string) => writeFile(path, text) };
}

it('a file that is found half written is used when it is whole', async () => {
  const { file, sizes, lines, write } = await aFile();
  await write(HALF);
  await file.look();
  await write(WHOLE);
  await file.look();
  expect(sizes).toEqual([]);
  await file.look();
  await file.look();
  expect(sizes).toEqual([['large', 'small']]);
  expect(lines).toHaveLength(1);
});

it('a file that changes and changes back between two looks is not used', async () => {
  const { file, sizes, lines, write } = await aFile();
  await write(HALF);
  await file.look();
  await write(STARTED);
  await file.look();
  await file.look();
  expect([sizes, lines]).toEqual([[], []]);
});

it('what the program itself cannot make use of leaves the configuration before in use, and the next change is tried', async () => {
  const { file, sizes, lines, state, write } = await aFile();
  state.fails = true;
  await write(HALF);
  await file.look();
  await file.look();
  expect(file.health().ready).toBe(false);
  expect(lines).toMatchObject([{ level: 50, err: { message: 'a fault of ours' } }]);
  state.fails = false;
  await write(WHOLE);
  await file.look();
  await file.look();
  expect(sizes).toEqual([['large', 'small']]);
  expect(file.health()).toEqual({ component: 'configuration', ready: true });
});
