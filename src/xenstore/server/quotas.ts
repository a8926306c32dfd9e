import type { StoreNode } from './tree.ts';

/** What an unprivileged domain may use; the defaults of C xenstored 4.17. Domain 0 is held to none of them. */
export const quotas = {
  /** Nodes that a domain owns. */
  nodes: 1000,
  /** Bytes of one node must stay below this: see `sizeOf`. */
  nodeSize: 2048,
  /** C xenstored compares before it adds, so one more watch, and one more transaction, is let through. */
  watches: 128,
  transactions: 10,
  /** Nodes that one transaction looks at. */
  transactionNodes: 1024,
  /** Entries of a node's permission list. */
  permissions: 5,
  /** Replies that were not read yet; then the domain's requests wait. */
  outstandingReplies: 20,
} as const;

/** The size of a node as C xenstored stores it: a 24-byte header, 8 bytes a permission, the value, the children's names. */
export const sizeOf = (node: Pick<StoreNode, 'permissions' | 'value' | 'childBytes'>): number =>
  24 + 8 * node.permissions.length + node.value.length + node.childBytes;
