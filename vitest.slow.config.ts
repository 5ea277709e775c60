import { defineConfig } from 'vitest/config';
import { SHARED, SLOW, WORKERS } from './vitest.suites.ts';

/** `npm run test:slow`: crashes at every call, storms of faults, attacks, several replicas, and whole programs. */
export default defineConfig({ test: { ...SHARED, include: SLOW, maxWorkers: WORKERS } });
