import { Observable } from 'rxjs';
import type { GuestStore, StoreAccess } from '../../src/xpci/index.ts';

/** A xenstore without permissions or conflicts: a map, and watches that fire on the next turn of the event loop. */
export class FakeStore implements GuestStore {
  readonly nodes = new Map<string, string>();
  /** Every write, in order, as `path=value`; the writes of one transaction stand in one entry. */
  readonly writes: string[][] = [];
  readonly #watches = new Set<{ readonly path: string; readonly fire: () => void }>();

  read(path: string): Promise<string | undefined> {
    return Promise.resolve(this.nodes.get(path));
  }

  write(path: string, value: string): Promise<void> {
    this.writes.push([`${path}=${value}`]);
    this.set({ [path]: value });
    return Promise.resolve();
  }

  rm(path: string): Promise<void> {
    this.writes.push([`rm ${path}`]);
    this.remove(path);
    return Promise.resolve();
  }

  async transaction(body: (access: StoreAccess) => Promise<void>): Promise<void> {
    const written: Record<string, string> = {};
    await body({
      read: (path) => this.read(path),
      write: (path, value) => {
        written[path] = value;
        return Promise.resolve();
      },
      rm: () => Promise.reject(new Error('not used in transactions')),
    });
    this.writes.push(Object.entries(written).map(([path, value]) => `${path}=${value}`));
    this.set(written);
  }

  watch(path: string): Observable<string> {
    return new Observable((subscriber) => {
      const watch = { path, fire: () => setImmediate(() => subscriber.next(path)) };
      this.#watches.add(watch);
      watch.fire();
      return () => this.#watches.delete(watch);
    });
  }

  /** What the other end writes, all at once. */
  set(values: Readonly<Record<string, string>>): void {
    for (const [path, value] of Object.entries(values)) this.nodes.set(path, value);
    this.#fire(Object.keys(values));
  }

  /** Removes a node and what is below it. */
  remove(path: string): void {
    for (const node of this.nodes.keys())
      if (node === path || node.startsWith(`${path}/`)) this.nodes.delete(node);
    this.#fire([path]);
  }

  #fire(changed: readonly string[]): void {
    const isRelated = (watched: string, path: string): boolean =>
      path === watched || path.startsWith(`${watched}/`) || watched.startsWith(`${path}/`);
    for (const watch of this.#watches) if (changed.some((path) => isRelated(watch.path, path))) watch.fire();
  }
}
