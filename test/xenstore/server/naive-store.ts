/**
 * xenstored as one would write it to be read, not run: every transaction is a copy of the whole store, every event asks
 * every watch. No quotas, no death of domains.
 */
export interface NaiveNode {
  value: string;
  permissions: string[];
  children: string[];
  /** Another number after every change. */
  version: number;
}

interface NaiveWatch {
  readonly client: number;
  readonly path: string;
  readonly token: string;
}

interface NaiveTransaction {
  readonly nodes: Map<string, NaiveNode>;
  /** The version of each node when it was first looked at; 0 = there was none. */
  readonly looked: Map<string, number>;
  readonly rung: Map<string, { exact: boolean; readonly before: NaiveNode | undefined }>;
}

export interface NaiveRequest {
  readonly client: number;
  readonly kind:
    | 'read'
    | 'write'
    | 'mkdir'
    | 'rm'
    | 'list'
    | 'perms'
    | 'chmod'
    | 'watch'
    | 'unwatch'
    | 'begin'
    | 'commit'
    | 'abort';
  readonly path: string;
  readonly value: string;
  readonly permissions: readonly string[];
  readonly inTransaction: boolean;
}

export interface NaiveEvent {
  readonly client: number;
  readonly path: string;
  readonly token: string;
}

type View = Pick<NaiveTransaction, 'nodes'> & Partial<NaiveTransaction>;

const above = (path: string): string => path.slice(0, path.lastIndexOf('/')) || '/';

export class NaiveStore {
  readonly #domids: readonly number[];
  readonly #nodes = new Map<string, NaiveNode>();
  readonly #watches: NaiveWatch[] = [];
  readonly #transactions = new Map<number, NaiveTransaction>();
  #version = 1;
  #events: NaiveEvent[] = [];

  /** The domain of each client. */
  constructor(domids: readonly number[]) {
    this.#domids = domids;
    this.#nodes.set('/', { value: '', permissions: ['n0'], children: ['tool'], version: 1 });
    this.#nodes.set('/tool', { value: '', permissions: ['n0'], children: ['xenstored'], version: 1 });
    this.#nodes.set('/tool/xenstored', { value: '', permissions: ['n0'], children: [], version: 1 });
  }

  /** The reply (an errno name, `OK`, or what was asked for) and the events, those of one client in their order. */
  request(request: NaiveRequest): { reply: string; events: NaiveEvent[] } {
    this.#events = [];
    const open = this.#transactions.get(request.client);
    const view: View = (request.inTransaction && open) || { nodes: this.#nodes };
    const reply = this.#answer(request, view);
    return { reply, events: this.#events };
  }

  #answer({ client, kind, path, value, permissions }: NaiveRequest, view: View): string {
    switch (kind) {
      case 'read':
        return this.#lookFor(view, client, path, 'r', (node) => `=${node.value}`);
      case 'list':
        return this.#lookFor(view, client, path, 'r', (node) => node.children.join(' '));
      case 'perms':
        return this.#lookFor(view, client, path, 'r', (node) => node.permissions.join(' '));
      case 'write':
      case 'mkdir':
        return this.#put(view, client, path, kind === 'write' ? value : undefined);
      case 'rm':
        return this.#remove(view, client, path);
      case 'chmod':
        return this.#lookFor(view, client, path, 'o', (node) => {
          if (this.#domids[client] !== 0 && permissions[0]?.slice(1) !== node.permissions[0]?.slice(1))
            return 'EPERM';
          const before = { ...node };
          Object.assign(node, { permissions: [...permissions], version: ++this.#version });
          this.#ring(view, path, false, before);
          return 'OK';
        });
      case 'watch': {
        const same = (watch: NaiveWatch): boolean =>
          watch.client === client && watch.path === path && watch.token === value;
        if (this.#watches.some(same)) return 'EEXIST';
        this.#watches.push({ client, path, token: value });
        this.#events.push({ client, path, token: value });
        return 'OK';
      }
      case 'unwatch': {
        const index = this.#watches.findIndex(
          (each) => each.client === client && each.path === path && each.token === value,
        );
        if (index < 0) return 'ENOENT';
        this.#watches.splice(index, 1);
        return 'OK';
      }
      case 'begin': {
        const nodes = new Map([...this.#nodes].map(([at, node]) => [at, structuredClone(node)]));
        this.#transactions.set(client, { nodes, looked: new Map(), rung: new Map() });
        return 'OK';
      }
      case 'commit':
      case 'abort':
        return this.#end(client, kind === 'commit');
    }
  }

  #end(client: number, commit: boolean): string {
    const transaction = this.#transactions.get(client);
    if (!transaction) return 'ENOENT';
    this.#transactions.delete(client);
    if (!commit) return 'OK';
    for (const [path, version] of transaction.looked) {
      if ((this.#nodes.get(path)?.version ?? 0) !== version) return 'EAGAIN';
    }
    for (const path of transaction.looked.keys()) {
      const node = transaction.nodes.get(path);
      if (node) this.#nodes.set(path, node);
      else this.#nodes.delete(path);
    }
    for (const path of transaction.looked.keys()) {
      const rung = transaction.rung.get(path);
      if (rung) this.#announce(path, rung.exact, rung.before, !transaction.nodes.has(path));
    }
    return 'OK';
  }

  #look(view: View, path: string): NaiveNode | undefined {
    if (view.looked && !view.looked.has(path)) {
      // What a transaction sees of a node is what was there when it first looked.
      const now = this.#nodes.get(path);
      view.looked.set(path, now?.version ?? 0);
      if (now) view.nodes.set(path, structuredClone(now));
      else view.nodes.delete(path);
    }
    return view.nodes.get(path);
  }

  #may(client: number, node: NaiveNode, need: 'r' | 'w' | 'o'): boolean {
    const domid = String(this.#domids[client]);
    const [owner = '', ...others] = node.permissions;
    if (domid === '0' || owner.slice(1) === domid) return true;
    const letter = (others.find((entry) => entry.slice(1) === domid) ?? owner)[0] ?? 'n';
    return need !== 'o' && (letter === need || letter === 'b');
  }

  /** ENOENT only for those who might look at the nearest node that exists. */
  #lookFor(
    view: View,
    client: number,
    path: string,
    need: 'r' | 'w' | 'o',
    found: (node: NaiveNode) => string,
  ): string {
    const node = this.#look(view, path);
    if (node && this.#may(client, node, need)) return found(node);
    let nearest: NaiveNode | undefined;
    for (let at = path; !nearest;) {
      at = above(at);
      nearest = this.#look(view, at);
    }
    // Changing permissions takes both writing and owning, knowing of a missing node either.
    if (node || !this.#may(client, nearest, need === 'o' ? 'w' : need)) return 'EACCES';
    return 'ENOENT';
  }

  #put(view: View, client: number, path: string, value: string | undefined): string {
    const reply = this.#lookFor(view, client, path, 'w', (node) => {
      if (value === undefined) return 'OK';
      const before = { ...node };
      Object.assign(node, { value, version: ++this.#version });
      this.#ring(view, path, false, before);
      return 'OK';
    });
    if (reply === 'ENOENT') {
      this.#create(view, client, path, value ?? '');
      this.#ring(view, path, false, undefined);
    }
    return reply === 'ENOENT' ? 'OK' : reply;
  }

  #create(view: View, client: number, path: string, value: string): NaiveNode {
    const parent = this.#look(view, above(path)) ?? this.#create(view, client, above(path), '');
    const [owner = '', ...others] = parent.permissions;
    const domid = this.#domids[client];
    const permissions = [domid === 0 ? owner : `${owner[0]}${domid}`, ...others];
    const node = { value, permissions, children: [], version: ++this.#version };
    parent.children.push(path.slice(path.lastIndexOf('/') + 1));
    parent.version = ++this.#version;
    view.nodes.set(path, node);
    return node;
  }

  #remove(view: View, client: number, path: string): string {
    const reply = this.#lookFor(view, client, path, 'w', () => {
      if (path === '/') return 'EINVAL';
      const parent = this.#look(view, above(path));
      this.#lookBelow(view, path);
      this.#removeBelow(view, path, path);
      if (parent) {
        parent.children = parent.children.filter(
          (name) => `${above(path)}/${name}`.replace('//', '/') !== path,
        );
        parent.version = ++this.#version;
      }
      return 'OK';
    });
    return reply === 'ENOENT' && this.#look(view, above(path)) ? 'OK' : reply;
  }

  #lookBelow(view: View, path: string): void {
    for (const name of this.#look(view, path)?.children ?? []) this.#lookBelow(view, `${path}/${name}`);
  }

  #removeBelow(view: View, path: string, top: string): void {
    const node = view.nodes.get(path);
    if (!node) return;
    for (const name of node.children) this.#removeBelow(view, `${path}/${name}`, top);
    view.nodes.delete(path);
    this.#ring(view, path, path !== top, node);
  }

  #ring({ rung }: View, path: string, exact: boolean, before: NaiveNode | undefined): void {
    if (!rung) this.#announce(path, exact, before, false);
    else if (!rung.has(path)) {
      const seen = this.#nodes.get(path);
      rung.set(path, { exact, before: seen && structuredClone(seen) });
    } else if (!exact) {
      const entry = rung.get(path);
      if (entry) entry.exact = false;
    }
  }

  #announce(path: string, exact: boolean, before: NaiveNode | undefined, removedByCommit: boolean): void {
    const shown = removedByCommit ? [before] : [before, this.#nodes.get(path), this.#nodes.get(above(path))];
    for (const { client, path: watched, token } of this.#watches) {
      const below = watched === '/' || path.startsWith(`${watched}/`);
      if (path !== watched && (exact || !below)) continue;
      if (shown.some((node) => node && this.#may(client, node, 'r')))
        this.#events.push({ client, path, token });
    }
  }
}
