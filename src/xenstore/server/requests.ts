import { parsePermission } from '../permission.ts';
import { decodeStrings, decodeText, encodeStrings, maxPayload, MessageType, noTransaction } from '../wire.ts';
import type { AccessEntry, AccessList, Domain } from './domain.ts';
import { isPrivileged } from './domain.ts';
import { makeDirectory, readNode, removeNode, setPermissions, writeNode } from './nodes.ts';
import { absolute, homeOf, isNodePath, isSpecial, isWatchableSpecial } from './path.ts';
import { quotas } from './quotas.ts';
import { refuse } from './refusal.ts';
import type { Session } from './session.ts';
import type { StoreNode, View } from './tree.ts';

export interface Call {
  readonly session: Session;
  readonly domain: Domain;
  readonly view: View;
  /** 0 outside a transaction. */
  readonly transactionId: number;
  readonly payload: Uint8Array;
  /** What is to happen once the reply is queued. */
  readonly afterwards: (() => void)[];
}

interface RequestKind {
  /** Domain 0 only; EACCES for others. */
  readonly privileged?: true;
  readonly ignoresTransaction?: true;
  /** Returns the payload of the reply, or nothing for `OK`. */
  readonly run: (call: Call) => Uint8Array | void;
}

/** What each request does. The odd answers to malformed ones are C xenstored's. */
export const requests: ReadonlyMap<number, RequestKind> = new Map<number, RequestKind>([
  [MessageType.CONTROL, { privileged: true, run: control }],
  [MessageType.DIRECTORY, { run: directory }],
  [MessageType.READ, { run: (call) => readNode(call, onlyPath(call)).value }],
  [MessageType.GET_PERMS, { run: getPermissions }],
  [MessageType.WATCH, { ignoresTransaction: true, run: watch }],
  [MessageType.UNWATCH, { ignoresTransaction: true, run: unwatch }],
  [MessageType.TRANSACTION_START, { run: startTransaction }],
  [MessageType.TRANSACTION_END, { run: endTransaction }],
  [MessageType.INTRODUCE, { privileged: true, run: introduce }],
  [
    MessageType.RELEASE,
    { privileged: true, run: ({ session, payload }) => session.store.release(guest(payload)) },
  ],
  [MessageType.GET_DOMAIN_PATH, { run: ({ payload }) => encodeStrings(homeOf(number(only(payload)) >>> 0)) }],
  [MessageType.WRITE, { run: write }],
  [MessageType.MKDIR, { run: (call) => makeDirectory(call, onlyPath(call)) }],
  [MessageType.RM, { run: (call) => removeNode(call, onlyPath(call)) }],
  [MessageType.SET_PERMS, { run: setNodePermissions }],
  [MessageType.IS_DOMAIN_INTRODUCED, { privileged: true, run: isIntroduced }],
  [
    MessageType.RESUME,
    { privileged: true, run: ({ session, payload }) => session.store.resume(guest(payload)) },
  ],
  [MessageType.SET_TARGET, { privileged: true, run: setTarget }],
  [MessageType.RESET_WATCHES, { run: ({ session }) => session.reset() }],
  [MessageType.DIRECTORY_PART, { run: directoryPart }],
]);

/** DOMID_SELF of xen.h: whoever asks. */
const domidSelf = 0x7ff0;

function write(call: Call): void {
  const end = call.payload.indexOf(0);
  if (end < 0) refuse('EINVAL');
  const path = nodePath(call, decodeText(call.payload.subarray(0, end)));
  // The payload is a window into a network buffer; the value stays.
  writeNode(call, path, Uint8Array.from(call.payload.subarray(end + 1)));
}

function directory(call: Call): Uint8Array {
  const node = readNode(call, onlyPath(call));
  if (node.childBytes > maxPayload) refuse('E2BIG');
  return listing(node);
}

/** The generation of the node, then as many whole names from a byte offset on as fit, then at the end an empty name. */
function directoryPart(call: Call): Uint8Array {
  const [path, offsetText, ...rest] = decodeStrings(call.payload);
  if (path === undefined || offsetText === undefined || rest.length > 0) refuse('EINVAL');
  const node = readNode(call, nodePath(call, path));
  const offset = number(offsetText) >>> 0;
  const generation = encodeStrings(String(node.generation));
  if (offset >= node.childBytes) return Buffer.concat([generation, Buffer.alloc(1)]);

  const names = listing(node).subarray(offset);
  const room = maxPayload - generation.length - 1;
  let length = 0;
  for (let end = names.indexOf(0); end >= 0 && end < room; end = names.indexOf(0, length)) length = end + 1;
  const atEnd = length === names.length;
  return Buffer.concat([generation, names.subarray(0, length), Buffer.alloc(atEnd ? 1 : 0)]);
}

const listing = (node: StoreNode): Buffer => encodeStrings(...node.children);

function getPermissions(call: Call): Uint8Array {
  const { permissions } = readNode(call, onlyPath(call));
  return encodeStrings(...permissions.map(({ letter, domid }) => `${letter}${domid}`));
}

function setNodePermissions(call: Call): void {
  const [path = '', ...texts] = decodeStrings(call.payload);
  if (texts.length === 0) refuse('EINVAL');
  if (!isPrivileged(call.domain) && texts.length > quotas.permissions) refuse('ENOSPC');
  const { store } = call.session;
  const list = texts.map((text): AccessEntry => {
    const { letter, domid } = parsePermission(text) ?? refuse('EINVAL');
    // Makes the domain known if it exists, so that the entry is younger than the domain and counts for it.
    store.learnOf(domid);
    return { letter, domid, since: store.view.stamp() };
  });
  const [owner, ...others] = list;
  if (!owner || !store.learnOf(owner.domid)) refuse('ENOENT');
  const permissions: AccessList = [owner, ...others];
  if (isSpecial(path)) store.setSpecialPermissions(path, permissions, call.domain);
  else setPermissions(call, nodePath(call, path), permissions);
}

function watch({ session, payload, afterwards }: Call): void {
  const [given, token] = pair(payload);
  const path = absolute(given, session.home);
  if (!(isSpecial(path) ? isWatchableSpecial(path) : isNodePath(path))) refuse('EINVAL');
  const prefix = path === given ? '' : `${session.home}/`;
  const added = session.addWatch(path, token, prefix);
  afterwards.push(() => session.ring(added, path));
}

function unwatch({ session, payload }: Call): void {
  const [path, token] = pair(payload);
  session.removeWatch(absolute(path, session.home), token);
}

function startTransaction({ session, transactionId }: Call): Uint8Array {
  if (transactionId !== noTransaction) refuse('EBUSY');
  return encodeStrings(String(session.startTransaction()));
}

function endTransaction({ session, transactionId, payload }: Call): void {
  const how = oneString(payload);
  if (how !== 'T' && how !== 'F') refuse('EINVAL');
  session.endTransaction(transactionId, how === 'T');
}

function introduce({ session, payload }: Call): void {
  const [domid, gfn, port] = decodeStrings(payload);
  if (domid === undefined || gfn === undefined || port === undefined || number(port) <= 0) refuse('EINVAL');
  session.store.introduce(number(domid));
}

function isIntroduced({ session, payload }: Call): Uint8Array {
  const domid = number(only(payload));
  return encodeStrings(domid === domidSelf || session.store.isIntroduced(domid) ? 'T' : 'F');
}

function setTarget({ session, payload }: Call): void {
  const [domid, target] = decodeStrings(payload);
  if (domid === undefined || target === undefined) refuse('EINVAL');
  session.store.setTarget(number(domid), number(target));
}

const commands: Partial<Record<string, string>> = {
  check: 'OK\0',
  print: 'OK\0',
  help: 'check\nprint <string>\nstop\nhelp\n',
  stop: 'OK\0',
};

function control({ session, payload, afterwards }: Call): Uint8Array {
  const [command = ''] = decodeStrings(payload);
  if (command === 'stop') afterwards.push(() => session.store.stop());
  return Buffer.from((Object.hasOwn(commands, command) && commands[command]) || refuse('EINVAL'));
}

function nodePath({ session }: Call, given: string): string {
  const path = absolute(given, session.home);
  return isNodePath(path) ? path : refuse('EINVAL');
}

/**
 * A request that carries exactly a path. C xenstored answers a malformed one with whatever its last failure was (and dies
 * when that was none): these two are what it usually comes to.
 */
const onlyPath = (call: Call): string =>
  nodePath(call, oneString(call.payload) ?? refuse(call.payload.length === 0 ? 'EINVAL' : 'ENOENT'));

/** The one string that makes up the payload; undefined when it is something else. */
function oneString(payload: Uint8Array): string | undefined {
  const end = payload.indexOf(0);
  return end >= 0 && end === payload.length - 1 ? decodeText(payload.subarray(0, end)) : undefined;
}

const only = (payload: Uint8Array): string => oneString(payload) ?? refuse('EINVAL');

function pair(payload: Uint8Array): [string, string] {
  const [first, second, ...rest] = decodeStrings(payload);
  return first !== undefined && second !== undefined && rest.length === 0
    ? [first, second]
    : refuse('EINVAL');
}

/** A domain id that is not domain 0's. */
const guest = (payload: Uint8Array): number => number(only(payload)) || refuse('EINVAL');

/** A decimal number as atoi reads it: text that is none is 0. */
const number = (text: string): number => Number.parseInt(text, 10) | 0;
