import { readBuild, type Question } from './reader.ts';

/** Many readers of one build as a process of their own, so that their work is not in the way of what is measured. */
process.once('message', (message) => {
  const { question, readers, deadlineMs } = message as { question: Question; readers: number; deadlineMs: number };
  const signal = AbortSignal.timeout(deadlineMs);
  void Promise.all(Array.from({ length: readers }, () => readBuild(question, signal))).then((readings) => {
    process.send?.(readings, () => process.disconnect());
  });
});
process.once('disconnect', () => process.exit());
