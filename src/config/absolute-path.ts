import { z } from 'zod';

/** A place in the lab's file system. */
export const absolutePath = z
  .string()
  .regex(/^\/(?!.*(?:^|\/)\.\.?(?:\/|$))[^\0:]+$/, {
    error: 'expected an absolute path without . and .. and without a colon',
  })
  .transform((path) => path.replaceAll(/\/+/g, '/').replace(/(?<=.)\/$/, ''))
  .meta({ title: 'path' });
