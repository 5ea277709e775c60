import { CONTAINERS } from './containers.ts';
import { NETWORK } from './network.ts';
import { PODS } from './pods.ts';
import type { Rule } from './rule.ts';
import { SCHEDULING } from './scheduling.ts';

/** By name of the type. */
export const RULES: Readonly<Record<string, Rule>> = { ...SCHEDULING, ...NETWORK, ...CONTAINERS, ...PODS };
