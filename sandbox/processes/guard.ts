/**
 * A program of its own, `node guard.ts MARK`: waits until the program that started it is no more, however that ended, and
 * then kills the labs that it left behind. It holds the other end of its standard input, which the system closes.
 */
import { once } from 'node:events';
import { killMarked } from './marked-processes.ts';

const [mark] = process.argv.slice(2);
// Whoever ends everything at once must not end this first.
for (const signal of ['SIGHUP', 'SIGINT', 'SIGTERM'] as const) process.on(signal, () => undefined);
process.stdin.on('error', () => undefined).resume();
await once(process.stdin, 'close');
if (mark !== undefined && mark !== '') await killMarked(mark);
