import { parentOf } from './path.ts';
import { quotas } from './quotas.ts';
import { refuse } from './refusal.ts';
import type { StoreNode, Tree, View } from './tree.ts';

interface Touched {
  /** The node when the transaction first looked at it. */
  readonly seen: StoreNode | undefined;
  now: StoreNode | undefined;
  changed: boolean;
  ring: 'no' | 'exact' | 'subtree';
}

export interface Change {
  readonly path: string;
  readonly exact: boolean;
  readonly before: StoreNode | undefined;
  readonly removed: boolean;
}

/**
 * A transaction: what it looked at, as it was then, and what it changed. C xenstored's rule: it conflicts when any node that
 * it looked at has been changed meanwhile, even to the same value, and every change looks at the node first and at the
 * parent whose children it changes.
 */
export class Overlay implements View {
  readonly #tree: Tree;
  readonly #limited: boolean;
  readonly #touched = new Map<string, Touched>();
  readonly #owned = new Map<number, number>();
  #spoiled = false;

  /** `limited`: the domain is held to the quota of nodes that a transaction may look at. */
  constructor(tree: Tree, limited: boolean) {
    this.#tree = tree;
    this.#limited = limited;
  }

  get(path: string): StoreNode | undefined {
    return this.#touch(path).now;
  }

  /** From the bottom up, as C xenstored does: what was looked at must not have changed in the end. */
  nearestAbove(path: string): string {
    let above = parentOf(path);
    while (!this.get(above)) above = parentOf(above);
    return above;
  }

  set(path: string, node: StoreNode | undefined): void {
    const touched = this.#touch(path);
    this.#count(touched.now, -1);
    this.#count(node, 1);
    touched.now = node;
    touched.changed = true;
  }

  /** C xenstored counts what a transaction makes only when it ends. */
  room(domid: number): number {
    return this.#tree.owned(domid) >= quotas.nodes ? 0 : Infinity;
  }

  spoil(): void {
    this.#spoiled = true;
  }

  /** A change was refused for its size. The transaction can no longer be committed, whatever follows. */
  get spoiled(): boolean {
    return this.#spoiled;
  }

  /** Whether committing would leave a domain, whose nodes this changes, at or above the quota. */
  exceedsQuota(domid: number): boolean {
    const change = this.#owned.get(domid);
    return change !== undefined && this.#tree.owned(domid) + change >= quotas.nodes;
  }

  stamp(): number {
    return this.#tree.stamp();
  }

  announce(path: string, exact: boolean): void {
    const touched = this.#touch(path);
    // A node that was removed and made again, or the reverse, rings as widely as the wider of the two.
    touched.ring = exact && touched.ring !== 'subtree' ? 'exact' : 'subtree';
  }

  get conflicts(): boolean {
    for (const [path, { seen }] of this.#touched) if (this.#tree.get(path) !== seen) return true;
    return false;
  }

  /** Puts the changes into the tree, which must not conflict; returns what to announce, in the order of the first looks. */
  apply(): Change[] {
    const changes: Change[] = [];
    for (const [path, { seen, now, changed, ring }] of this.#touched) {
      if (changed) this.#tree.set(path, now);
      if (ring !== 'no') changes.push({ path, exact: ring === 'exact', before: seen, removed: !now });
    }
    return changes;
  }

  #touch(path: string): Touched {
    let touched = this.#touched.get(path);
    if (!touched) {
      if (this.#limited && this.#touched.size >= quotas.transactionNodes) {
        this.spoil();
        refuse('ENOSPC');
      }
      const seen = this.#tree.get(path);
      touched = { seen, now: seen, changed: false, ring: 'no' };
      this.#touched.set(path, touched);
    }
    return touched;
  }

  #count(node: StoreNode | undefined, change: number): void {
    if (!node) return;
    const [{ domid }] = node.permissions;
    this.#owned.set(domid, (this.#owned.get(domid) ?? 0) + change);
  }
}
