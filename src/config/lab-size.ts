import { z } from 'zod';
import { explainResourceName } from '../domain/kubernetes/rules/containers.ts';
import { crossCheck } from './cross-check.ts';
import { dnsLabel, qualifiedName } from './kubernetes.ts';
import { overlaySettings } from './lab-overlay.ts';
import { requestRules } from './requests.ts';
import { AMOUNT_OF_CPU, AMOUNT_OF_MEMORY, cpu, labMemory } from './units.ts';

const AMOUNTS = ['cpu', 'memory'] as const;

/** Who may choose something. */
export const groupNames = z.array(z.string().min(1)).min(1).exactOptional();

/** Devices by their name, as Kubernetes quantities. */
export const extendedResources = z.record(
  qualifiedName.refine((name) => name.includes('/') && explainResourceName(name) === undefined, {
    error: 'expected the name of an extended resource, such as nvidia.com/gpu',
  }),
  z.int().min(0).transform(String),
);

export const labSize = z
  .strictObject({
    name: dnsLabel().describe('Name in requests.'),
    title: z.string().min(1).exactOptional().describe('Title in the form; the name when absent.'),
    description: z.string().min(1).exactOptional().describe('What it is for, in the form.'),
    groups: groupNames.describe('Groups that may choose it; everybody when absent.'),
    cpu: cpu.optional().describe('Limit of CPU. Without it there has to be `cpuRequest`, and there is no limit.'),
    memory: labMemory
      .optional()
      .describe('Limit of memory. Without it there has to be `memoryRequest`, and there is no limit.'),
    cpuRequest: cpu.optional().describe('CPU kept free on the node; the limit when absent.'),
    memoryRequest: labMemory.optional().describe('Memory kept free on the node; the limit when absent.'),
    extendedResources: extendedResources
      .default({})
      .describe('GPUs and other devices, each both request and limit: `nvidia.com/gpu: 1`.'),
    lab: overlaySettings
      .exactOptional()
      .describe('Settings of labs of this size, laid over `lab` after those of `overlays`; as in `overlays[].lab`.'),
  })
  .check(
    crossCheck(['cpu', 'cpuRequest'], (size, report) => {
      if (size.cpu === undefined && size.cpuRequest === undefined)
        report(['cpu'], `missing: expected ${AMOUNT_OF_CPU.expected}`);
    }),
    crossCheck(['memory', 'memoryRequest'], (size, report) => {
      if (size.memory === undefined && size.memoryRequest === undefined)
        report(['memory'], `missing: expected ${AMOUNT_OF_MEMORY.expected}`);
    }),
    ...requestRules(),
  )
  .transform(({ cpu, memory, cpuRequest = cpu ?? 0, memoryRequest = memory ?? 0, lab, ...size }) => {
    const unlimited = AMOUNTS.filter((key) => (key === 'cpu' ? cpu : memory) === undefined);
    const own =
      unlimited.length === 0 ? lab : { ...lab, unlimited: [...new Set([...unlimited, ...(lab?.unlimited ?? [])])] };
    return {
      ...size,
      ...(own === undefined ? {} : { lab: own }),
      /** What counts for quotas; the limit where there is one. */
      cpu: cpu ?? cpuRequest,
      memory: memory ?? memoryRequest,
      ...{ cpuRequest, memoryRequest },
    };
  });
