import {
  type AccessList,
  type Domain,
  type DomainState,
  isPrivileged,
  newDomain,
  Right,
  rightsOf,
} from './domain.ts';
import { writeNode } from './nodes.ts';
import { Overlay } from './overlay.ts';
import { parentOf } from './path.ts';
import { quotas } from './quotas.ts';
import { refuse } from './refusal.ts';
import { Session } from './session.ts';
import { removeSubtree, type StoreNode, Tree, type View } from './tree.ts';
import { WatchIndex } from './watch-index.ts';

/** What the store asks of its surroundings, and tells them. */
export interface StoreHost {
  /** The state of a domain now; undefined when it does not exist. */
  domainState(domid: number): DomainState | undefined;
  /** A guest may connect from now on. */
  introduced(domid: number): void;
  /** The guest is gone; its sessions are closed. */
  released(domid: number): void;
  /** Domain 0 asks the daemon to end; the answer to that is still to go out. */
  stopRequested(): void;
}

const introduceDomain = '@introduceDomain';
const releaseDomain = '@releaseDomain';

/**
 * A xenstored without its sockets: connections are `Session`s that take messages in and give messages out. Behaves as C
 * xenstored 4.17 does, also where oxenstored differs.
 */
export class Store {
  readonly watches = new WatchIndex();
  readonly view: View;
  readonly #host: StoreHost;
  readonly #tree = new Tree();
  readonly #domains = new Map<number, Domain>();
  readonly #special = new Map<string, AccessList>();
  /** Released by a toolstack while they still exist: nothing but INTRODUCE brings them back. */
  readonly #dismissed = new Set<number>();

  constructor(host: StoreHost) {
    this.#host = host;
    const tree = this.#tree;
    this.view = {
      get: (path) => tree.get(path),
      nearestAbove: (path) => tree.nearestAbove(path),
      set: (path, node) => tree.set(path, node),
      room: (domid) => quotas.nodes - tree.owned(domid),
      spoil: () => {},
      stamp: () => tree.stamp(),
      announce: (path, exact, before) => this.#announce(path, exact, [before, ...this.#nodesAt(path)]),
    };
    const domain0 = newDomain(0, 0);
    domain0.introduced = true;
    this.#domains.set(0, domain0);
    for (const name of [introduceDomain, releaseDomain]) {
      this.#special.set(name, [{ letter: 'n', domid: 0, since: 0 }]);
    }
    writeNode({ domain: domain0, view: this.view }, '/tool/xenstored', new Uint8Array());
  }

  stop(): void {
    this.#host.stopRequested();
  }

  /** A new connection of a domain that is introduced. */
  connect(domid: number): Session {
    const domain = this.#domains.get(domid);
    if (!domain?.introduced) throw new Error(`domain ${domid} is not introduced`);
    return new Session(this, domain);
  }

  isIntroduced(domid: number): boolean {
    return this.#domains.get(domid)?.introduced ?? false;
  }

  get introducedDomains(): number[] {
    return [...this.#domains.values()].filter(({ introduced }) => introduced).map(({ domid }) => domid);
  }

  /**
   * Looks at a domain anew. One that has appeared is introduced, a shutdown is announced once, and one that is dying or
   * gone is released.
   */
  lookAt(domid: number): void {
    if (domid === 0) return;
    const state = this.#host.domainState(domid);
    if (state === undefined) this.#dismissed.delete(domid);
    if (state === undefined || state === 'dying') {
      this.#forget(domid);
      return;
    }
    if (!this.isIntroduced(domid) && !this.#dismissed.has(domid)) this.introduce(domid);
    const domain = this.#domains.get(domid);
    if (!domain?.introduced) return;
    const announce = state === 'shutdown' && !domain.shutdown;
    domain.shutdown = state === 'shutdown';
    if (announce) this.#announceSpecial(releaseDomain);
  }

  /** A domain has gone, and another one has its id: nothing of the one is the other's. */
  replace(domid: number): void {
    if (domid === 0) return;
    this.#dismissed.delete(domid);
    this.#forget(domid);
  }

  introduce(domid: number): void {
    const domain = this.learnOf(domid) ?? refuse('EINVAL');
    if (domain.introduced) return;
    this.#dismissed.delete(domid);
    domain.introduced = true;
    this.#host.introduced(domid);
    this.#announceSpecial(introduceDomain);
  }

  release(domid: number): void {
    if (!this.isIntroduced(domid)) refuse('ENOENT');
    this.#dismissed.add(domid);
    this.#forget(domid);
  }

  resume(domid: number): void {
    (this.#introduced(domid) ?? refuse('ENOENT')).shutdown = false;
  }

  setTarget(domid: number, target: number): void {
    const domain = this.#introduced(domid) ?? refuse('ENOENT');
    domain.target = this.#introduced(target) ?? refuse('ENOENT');
  }

  /** The record of a domain if it exists, introduced or not. */
  learnOf(domid: number): Domain | undefined {
    const known = this.#domains.get(domid);
    if (known) return known;
    const state = this.#host.domainState(domid);
    if (state === undefined || state === 'dying') return undefined;
    const domain = newDomain(domid, this.#tree.stamp());
    this.#domains.set(domid, domain);
    return domain;
  }

  setSpecialPermissions(name: string, list: AccessList, domain: Domain): void {
    const present = this.#special.get(name) ?? refuse('EINVAL');
    const need = Right.write | Right.own;
    if ((rightsOf(domain, present) & need) !== need) refuse('EACCES');
    this.#special.set(name, list);
  }

  beginTransaction(domain: Domain): Overlay {
    return new Overlay(this.#tree, !isPrivileged(domain));
  }

  commit(overlay: Overlay, domain: Domain): void {
    if (overlay.spoiled) refuse('ENOMEM');
    if (!isPrivileged(domain) && overlay.exceedsQuota(domain.domid)) refuse('ENOSPC');
    if (overlay.conflicts) refuse('EAGAIN');
    for (const { path, exact, before, removed } of overlay.apply()) {
      this.#announce(path, exact, removed ? [before] : [before, ...this.#nodesAt(path)]);
    }
  }

  #introduced(domid: number): Domain | undefined {
    const domain = this.#domains.get(domid);
    return domain?.introduced ? domain : undefined;
  }

  #forget(domid: number): void {
    const domain = this.#domains.get(domid);
    if (!domain) return;
    this.#domains.delete(domid);
    for (const session of domain.sessions) session.close();
    for (const other of this.#domains.values()) if (other.target === domain) other.target = undefined;
    if (this.#tree.owned(domid) > 0) this.#removeOwned('/', domid);
    if (!domain.introduced) return;
    this.#host.released(domid);
    this.#announceSpecial(releaseDomain);
  }

  #removeOwned(path: string, domid: number): void {
    const node = this.#tree.get(path);
    if (!node) return;
    if (node.permissions[0].domid === domid) removeSubtree(this.view, path);
    else
      for (const name of node.children)
        this.#removeOwned(path === '/' ? `/${name}` : `${path}/${name}`, domid);
  }

  #nodesAt(path: string): (StoreNode | undefined)[] {
    return [this.#tree.get(path), this.#tree.get(parentOf(path))];
  }

  /** Rings the watches of those who may read one of the nodes. */
  #announce(path: string, exact: boolean, nodes: (StoreNode | undefined)[]): void {
    for (const watch of this.watches.ringing(path, exact)) {
      const { session } = watch;
      const mayKnow = nodes.some((node) => node && rightsOf(session.domain, node.permissions) & Right.read);
      if (mayKnow) session.ring(watch, path);
    }
  }

  #announceSpecial(name: string): void {
    const list = this.#special.get(name);
    for (const watch of this.watches.ringing(name, true)) {
      if (list && rightsOf(watch.session.domain, list) & Right.read) watch.session.ring(watch, name);
    }
  }
}
