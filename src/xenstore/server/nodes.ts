import { type AccessEntry, type AccessList, type Domain, isPrivileged, Right, rightsOf } from './domain.ts';
import { nameOf, parentOf } from './path.ts';
import { quotas, sizeOf } from './quotas.ts';
import { refuse } from './refusal.ts';
import { removeSubtree, type StoreNode, type View, withChild } from './tree.ts';

/** Who asks, and what they see. */
export interface Caller {
  readonly domain: Domain;
  readonly view: View;
}

/**
 * The node, if the caller has the rights; undefined when it does not exist and the caller may know that. Without rights
 * the answer is EACCES whether or not it exists, unless the nearest node above grants them: names cannot be probed.
 */
export function findNode(caller: Caller, path: string, need: number): StoreNode | undefined {
  const { domain, view } = caller;
  const node = view.get(path);
  if (node && (rightsOf(domain, node.permissions) & need) === need) return node;
  const above = view.get(view.nearestAbove(path));
  if (node || !above || (rightsOf(domain, above.permissions) & need) === 0) refuse('EACCES');
  return undefined;
}

export const readNode = (caller: Caller, path: string): StoreNode =>
  findNode(caller, path, Right.read) ?? refuse('ENOENT');

export function writeNode(caller: Caller, path: string, value: Uint8Array): void {
  const { view } = caller;
  const node = findNode(caller, path, Right.write);
  if (!node) {
    createNode(caller, path, value);
    return;
  }
  const next = { ...node, value, generation: view.stamp() };
  checkSize(caller, next);
  view.set(path, next);
  view.announce(path, false, node);
}

export function makeDirectory(caller: Caller, path: string): void {
  if (!findNode(caller, path, Right.write)) createNode(caller, path, new Uint8Array());
}

export function removeNode(caller: Caller, path: string): void {
  if (!findNode(caller, path, Right.write)) {
    if (!caller.view.get(parentOf(path))) refuse('ENOENT');
    return;
  }
  if (path === '/') refuse('EINVAL');
  removeSubtree(caller.view, path);
}

export function setPermissions(caller: Caller, path: string, list: AccessList): void {
  const { domain, view } = caller;
  const node = findNode(caller, path, Right.write | Right.own) ?? refuse('ENOENT');
  if (node.permissions[0].domid !== list[0].domid && !isPrivileged(domain)) refuse('EPERM');
  const next = { ...node, permissions: list, generation: view.stamp() };
  checkSize(caller, next);
  view.set(path, next);
  view.announce(path, false, node);
}

/** Makes a node and what is missing above it; all of it or, when a quota is reached, nothing. */
function createNode(caller: Caller, path: string, value: Uint8Array): void {
  const { domain, view } = caller;
  const top = view.nearestAbove(path);
  const parent = view.get(top) ?? refuse('ENOENT');
  const levels = path.split('/').length - (top === '/' ? 1 : top.split('/').length);
  if (!isPrivileged(domain) && levels > view.room(domain.domid)) refuse('ENOSPC');
  const missing = [path];
  for (let at = parentOf(path); at !== top; at = parentOf(at)) missing.push(at);

  const stamp = view.stamp();
  const permissions = inherited(domain, parent.permissions, stamp);
  const made: [string, StoreNode][] = [];
  let node: StoreNode = { generation: stamp, permissions, value, children: [], childBytes: 0 };
  const empty = { ...node, value: new Uint8Array() };
  for (const at of missing) {
    made.push([at, node]);
    node = withChild(parentOf(at) === top ? parent : empty, nameOf(at), stamp);
  }
  made.push([top, node]);
  for (const [, each] of made) checkSize(caller, each);
  for (const [at, each] of made) view.set(at, each);
  view.announce(path, false, undefined);
}

/** A new node has the permissions of its parent; a guest owns what it makes, what domain 0 makes belongs to the parent's owner. */
function inherited(domain: Domain, [owner, ...others]: AccessList, since: number): AccessList {
  const own: AccessEntry = isPrivileged(domain)
    ? owner
    : { letter: owner.letter, domid: domain.domid, since };
  return [own, ...others];
}

function checkSize(caller: Caller, node: StoreNode): void {
  if (isPrivileged(caller.domain) || sizeOf(node) < quotas.nodeSize) return;
  caller.view.spoil();
  refuse('ENOSPC');
}
