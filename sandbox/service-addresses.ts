import { specOf, textAt } from './kinds/common.ts';
import { services } from './kinds/services.ts';
import type { KubeObject } from './objects.ts';
import { cause, invalid } from './status.ts';

const FIRST = 1;
const LAST = 65_000;

/** Hands out the cluster addresses of Services from one loopback /16, so that a simulated lab can listen on them. */
export class ServiceAddresses {
  readonly #prefix: string;
  readonly #taken = new Set<string>();
  #next = FIRST;

  /** @param prefix the first two numbers of the range */
  constructor(prefix: string) {
    this.#prefix = prefix;
  }

  /** The Service with its cluster address. @throws ApiError 422 for an address outside of the range or in use */
  allocate(service: KubeObject): KubeObject {
    const spec = specOf(service);
    const asked = textAt(spec, 'clusterIP');
    if (asked === 'None' || !['ClusterIP', 'NodePort', 'LoadBalancer'].includes(textAt(spec, 'type'))) return service;
    const address = asked === '' ? this.#free() : this.#check(service, asked);
    this.#taken.add(address);
    return { ...service, spec: { ...spec, clusterIP: address, clusterIPs: [address] } };
  }

  release(service: KubeObject): void {
    this.#taken.delete(textAt(specOf(service), 'clusterIP'));
  }

  #free(): string {
    for (let tried = FIRST; tried <= LAST; tried += 1) {
      const number = this.#next;
      this.#next = number === LAST ? FIRST : number + 1;
      const address = `${this.#prefix}.${String(number >> 8)}.${String(number & 255)}`;
      if (!this.#taken.has(address)) return address;
    }
    throw new Error('Every cluster address of the sandbox is in use');
  }

  #check(service: KubeObject, address: string): string {
    const refuse = (why: string) =>
      invalid(services, service.metadata.name, [
        cause.invalid('spec.clusterIPs', [address], `failed to allocate IP ${address}: ${why}`),
      ]);
    if (!address.startsWith(`${this.#prefix}.`)) throw refuse('the provided network does not match the current range');
    if (this.#taken.has(address)) throw refuse('provided IP is already allocated');
    return address;
  }
}
