export { withTimeout as unlessLate } from './abort.ts';
