import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { expect, it, onTestFinished } from 'vitest';
import { openLogs } from '../../src/app/builds.ts';

it.each(['is not there', 'is a file'])(
  'a directory for logs that %s ends nothing, and is used when it can be written',
  async (what) => {
    const folder = await mkdtemp(join(tmpdir(), 'labwright-open-logs-'));
    onTestFinished(() => rm(folder, { recursive: true }));
    const directory = join(folder, 'logs');
    if (what === 'is a file') await writeFile(directory, '');
    const lines: string[] = [];
    const logger = pino({}, { write: (line: string) => void lines.push(line) });
    const store = await openLogs({ directory, totalSize: 2 ** 20, retention: 60_000, logger });
    expect(lines.join('')).toContain('logs of builds are lost until their directory can be written');
    const id = 'a'.repeat(40);
    const spec = { id } as Parameters<typeof store.save>[0]['spec'];
    const result = { status: 'failed', reason: 'BuildFailed', message: 'No.', at: 1 } as const;
    const save = () => store.save({ spec, result, lines: [{ line: 1, phase: null, text: 'one\n' }] });
    await expect(save()).rejects.toThrow();
    await rm(directory, { force: true });
    await mkdir(directory);
    await save();
    const kept = [];
    for await (const { text } of store.lines(id)) kept.push(text);
    expect(kept).toEqual(['one\n']);
  },
);
