import type { Session } from './session.ts';

export interface Watch {
  readonly session: Session;
  /** Absolute, or special. */
  readonly path: string;
  readonly token: string;
  /** What is left out at the front of reported paths: a watch that was set with a relative path reports relative ones. */
  readonly prefix: string;
  /** Watches of one connection ring in the order in which they were set. */
  readonly order: number;
}

/** All watches by path: an event looks at the paths above the changed one, not at every watch there is. */
export class WatchIndex {
  readonly #byPath = new Map<string, Set<Watch>>();
  /** How many paths of each length are watched: of a thousand paths above a node few are, and only those are looked up. */
  readonly #lengths = new Map<number, number>();

  add(watch: Watch): void {
    const watches = this.#byPath.get(watch.path);
    if (watches) watches.add(watch);
    else {
      this.#byPath.set(watch.path, new Set([watch]));
      this.#count(watch.path.length, 1);
    }
  }

  remove(watch: Watch): void {
    const watches = this.#byPath.get(watch.path);
    watches?.delete(watch);
    if (watches?.size !== 0) return;
    this.#byPath.delete(watch.path);
    this.#count(watch.path.length, -1);
  }

  /** The watches that an event at `path` rings: those of the path itself and, unless `exact`, of those above it. */
  ringing(path: string, exact: boolean): Watch[] {
    const found = [...(this.#byPath.get(path) ?? [])];
    let end = exact || path === '/' ? -1 : path.lastIndexOf('/');
    while (end >= 0) {
      if (this.#lengths.has(end || 1))
        for (const watch of this.#byPath.get(path.slice(0, end) || '/') ?? []) found.push(watch);
      end = end === 0 ? -1 : path.lastIndexOf('/', end - 1);
    }
    return found.sort((one, other) => one.order - other.order);
  }

  #count(length: number, change: number): void {
    const count = (this.#lengths.get(length) ?? 0) + change;
    if (count === 0) this.#lengths.delete(length);
    else this.#lengths.set(length, count);
  }
}
