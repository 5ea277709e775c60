import { BlockList, isIP } from 'node:net';
import type { V1IPBlock, V1NetworkPolicyPeer, V1NetworkPolicyPort } from '@kubernetes/client-node';
import { EXPECTED, isPort, isPortNumber } from '../names.ts';
import { oneOf, type ReportFault, type Rule, ruleFor } from './rule.ts';

const CIDR = 'expected an address block such as 10.0.0.0/8 or fd00::/8';

/** Who reaches whom: as in pkg/apis/networking/validation of Kubernetes. */
export const NETWORK: Readonly<Record<string, Rule>> = {
  NetworkPolicyPeer: ruleFor<V1NetworkPolicyPeer>(({ ipBlock, podSelector, namespaceSelector }, report) => {
    if ((ipBlock === undefined) === (podSelector === undefined && namespaceSelector === undefined)) {
      report([], 'expected either ipBlock or selectors of pods and namespaces');
    }
  }),
  IPBlock: ruleFor<V1IPBlock>(({ cidr, except = [] }, report) => {
    const block = parseBlock(cidr);
    if (block === undefined) report(['cidr'], CIDR);
    except.forEach((text, index) => {
      const part = parseBlock(text);
      if (part === undefined) report(['except', index], CIDR);
      else if (block !== undefined && !isPartOf(part, block)) {
        report(['except', index], 'expected an address block that is a part of cidr');
      }
    });
  }),
  NetworkPolicyPort: ruleFor<V1NetworkPolicyPort>(checkPort),
};

function checkPort({ protocol, port, endPort }: V1NetworkPolicyPort, report: ReportFault): void {
  oneOf(protocol, ['TCP', 'UDP', 'SCTP'], report, 'protocol');
  if (port !== undefined && !isPort(port)) report(['port'], EXPECTED.portName);
  if (endPort === undefined) return;
  if (typeof port !== 'number') report(['endPort'], 'expected a port, as a number, beside it');
  else if (!isPortNumber(endPort) || endPort < port) report(['endPort'], 'expected a port that is not below port');
}

interface Block {
  readonly address: string;
  readonly bits: number;
  readonly family: 'ipv4' | 'ipv6';
}

function parseBlock(text: string): Block | undefined {
  const [address = '', length = '', ...rest] = text.split('/');
  const version = isIP(address);
  const bits = /^\d{1,3}$/.test(length) ? Number(length) : Number.NaN;
  if (version === 0 || rest.length > 0 || !(bits <= (version === 4 ? 32 : 128))) return undefined;
  return { address, bits, family: version === 4 ? 'ipv4' : 'ipv6' };
}

function isPartOf(part: Block, whole: Block): boolean {
  if (part.family !== whole.family || part.bits <= whole.bits) return false;
  const list = new BlockList();
  list.addSubnet(whole.address, whole.bits, whole.family);
  return list.check(part.address, part.family);
}
