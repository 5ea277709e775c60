import { createServer } from 'node:net';
import { it } from 'vitest';

/** Not part of the suite: `leaks.test.ts` runs it, and it leaves behind what LEAK asks for. */
it('leaves something behind', async () => {
  switch (process.env.LEAK) {
    case 'server':
      await new Promise<void>((resolve) => createServer().listen(0, '127.0.0.1', resolve));
      break;
    case 'timer':
      setInterval(() => undefined, 1_000);
      break;
    case 'rejection':
      void Promise.reject(new Error('nobody looks at this'));
      break;
    default:
  }
});
