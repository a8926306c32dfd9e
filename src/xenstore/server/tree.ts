import type { AccessList } from './domain.ts';
import { nameOf, parentOf } from './path.ts';

/** A node never changes: a change puts another in its place. So a transaction keeps what it saw by keeping the node. */
export interface StoreNode {
  /** Different after every change of the value, the permissions or the children. */
  readonly generation: number;
  readonly permissions: AccessList;
  readonly value: Uint8Array;
  /** Names in the order in which they were made. */
  readonly children: readonly string[];
  /** Bytes of all names, each with a NUL: the size of a listing. */
  readonly childBytes: number;
}

/** The store as one request sees and changes it: the tree itself, or a transaction over it. */
export interface View {
  get(path: string): StoreNode | undefined;
  /** The path of the nearest node above a path. */
  nearestAbove(path: string): string;
  /** Puts a node in place, or with undefined removes it. Does not touch the parent. */
  set(path: string, node: StoreNode | undefined): void;
  /** How many nodes a guest may still make here. */
  room(domid: number): number;
  /** Called when a change was refused for its size. */
  spoil(): void;
  /** A number that no earlier stamp reached. */
  stamp(): number;
  /**
   * Rings the watches of `path`, and unless `exact` those above it. `before` is the node as it was: who could read it
   * then may learn that it changed.
   */
  announce(path: string, exact: boolean, before: StoreNode | undefined): void;
}

/** All nodes by path. */
export class Tree {
  readonly #nodes = new Map<string, StoreNode>();
  readonly #owned = new Map<number, number>();
  #stamp = 0;

  constructor() {
    const permissions: AccessList = [{ letter: 'n', domid: 0, since: 0 }];
    const node = {
      generation: this.stamp(),
      permissions,
      value: new Uint8Array(),
      children: [],
      childBytes: 0,
    };
    this.set('/', node);
  }

  get(path: string): StoreNode | undefined {
    return this.#nodes.get(path);
  }

  /** From the top down: a guest may ask for paths of a thousand levels, of which few are there. */
  nearestAbove(path: string): string {
    let nearest = '/';
    for (let end = path.indexOf('/', 1); end > 0; end = path.indexOf('/', end + 1)) {
      const above = path.slice(0, end);
      if (!this.#nodes.has(above)) break;
      nearest = above;
    }
    return nearest;
  }

  set(path: string, node: StoreNode | undefined): void {
    this.#count(this.#nodes.get(path), -1);
    this.#count(node, 1);
    if (node) this.#nodes.set(path, node);
    else this.#nodes.delete(path);
  }

  owned(domid: number): number {
    return this.#owned.get(domid) ?? 0;
  }

  stamp(): number {
    return ++this.#stamp;
  }

  #count(node: StoreNode | undefined, change: number): void {
    if (!node) return;
    const [{ domid }] = node.permissions;
    const count = this.owned(domid) + change;
    if (count === 0) this.#owned.delete(domid);
    else this.#owned.set(domid, count);
  }
}

export function withChild(parent: StoreNode, name: string, generation: number): StoreNode {
  return {
    ...parent,
    generation,
    children: [...parent.children, name],
    childBytes: parent.childBytes + name.length + 1,
  };
}

function withoutChild(parent: StoreNode, name: string, generation: number): StoreNode {
  return {
    ...parent,
    generation,
    children: parent.children.filter((child) => child !== name),
    childBytes: parent.childBytes - name.length - 1,
  };
}

/** Removes a node with all below it. The deepest go first, each ringing its own watches; the top rings those above. */
export function removeSubtree(view: View, path: string): void {
  const parent = view.get(parentOf(path));
  const below: { readonly path: string; readonly node: StoreNode }[] = [];
  collect(view, path, below);
  for (const { path: found, node } of below) {
    view.set(found, undefined);
    view.announce(found, found !== path, node);
  }
  if (parent) view.set(parentOf(path), withoutChild(parent, nameOf(path), view.stamp()));
}

/** Children before parents. The depth is bounded by the length of a path. */
function collect(view: View, path: string, into: { path: string; node: StoreNode }[]): void {
  const node = view.get(path);
  if (!node) return;
  for (const name of node.children) collect(view, `${path}/${name}`, into);
  into.push({ path, node });
}
