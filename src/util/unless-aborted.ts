export { raceAbort as unlessAborted } from './abort.ts';
