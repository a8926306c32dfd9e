import type { Session } from './session.ts';
import { parentOf } from './path.ts';

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

  add(watch: Watch): void {
    const watches = this.#byPath.get(watch.path);
    if (watches) watches.add(watch);
    else this.#byPath.set(watch.path, new Set([watch]));
  }

  remove(watch: Watch): void {
    const watches = this.#byPath.get(watch.path);
    watches?.delete(watch);
    if (watches?.size === 0) this.#byPath.delete(watch.path);
  }

  /** The watches that an event at `path` rings: those of the path itself and, unless `exact`, of those above it. */
  ringing(path: string, exact: boolean): Watch[] {
    const found = [...(this.#byPath.get(path) ?? [])];
    if (!exact) {
      for (let at = path; at !== '/';) {
        at = parentOf(at);
        for (const watch of this.#byPath.get(at) ?? []) found.push(watch);
      }
    }
    return found.sort((one, other) => one.order - other.order);
  }
}
