import { z } from 'zod';
import { explainResourceName } from '../domain/kubernetes/rules/containers.ts';
import { crossCheck } from './cross-check.ts';
import { dnsLabel, qualifiedName } from './kubernetes.ts';
import { overlaySettings } from './lab-overlay.ts';
import { cpu, labMemory } from './units.ts';

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
    cpu: cpu.describe('Limit of CPU.'),
    memory: labMemory.describe('Limit of memory.'),
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
      if ((size.cpuRequest ?? 0) > size.cpu) report(['cpuRequest'], 'expected no more than cpu, the limit');
    }),
    crossCheck(['memory', 'memoryRequest'], (size, report) => {
      if ((size.memoryRequest ?? 0) > size.memory) report(['memoryRequest'], 'expected no more than memory, the limit');
    }),
  )
  .transform((size) => ({
    ...size,
    cpuRequest: size.cpuRequest ?? size.cpu,
    memoryRequest: size.memoryRequest ?? size.memory,
  }));
