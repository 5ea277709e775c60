import { createHash } from 'node:crypto';

/**
 * Nodes in the order in which a key prefers them (rendezvous hashing): every caller comes to the same order, and a node
 * that goes or comes moves only the keys that are, or will be, on it.
 */
export function rankNodes(key: string, nodes: readonly string[]): string[] {
  return nodes
    .map((node) => ({ node, score: createHash('sha256').update(`${key}\0${node}`).digest('hex') }))
    .sort((left, right) => (left.score < right.score ? 1 : -1))
    .map(({ node }) => node);
}
