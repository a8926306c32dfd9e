/**
 * The native addon, loaded and typed. Nothing here decides anything: the neighbours of this file give
 * these raw operations the shapes that the rest of pciback uses.
 */
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { PcibackError } from '../errors.ts';

/** An error of the addon that the operating system caused. */
export interface NativeError extends Error {
  /** `ENOENT` and the like. */
  readonly code: string;
  /** The negative errno. */
  readonly errno: number;
  /** What was being done: a system call, or `map_grant`, `bind_interdomain`. */
  readonly syscall: string;
  /** What it was done to, or what was missing: `libxencall.so.1: cannot open shared object file: ...`. */
  readonly subject: string;
}

export const isNativeError = (error: unknown): error is NativeError =>
  error instanceof Error && 'code' in error && 'syscall' in error;

/** What `look` returns, by position. */
export const looks = ['idle', 'request', 'vanished', 'busy'] as const;
/** What `answer` returns, by position. */
export const answers = ['published', 'abandoned', 'vanished'] as const;
/** What `domainState` returns, by position. */
export const domainStates = ['absent', 'running', 'shutdown', 'dying'] as const;

export interface NativeRing {
  readonly op: Int32Array;
  readonly localPort: number;
  /** What was answered, what was abandoned, and what was spent of batches, without JavaScript; modulo 2^32. */
  readonly tally: Uint32Array;
  look(turns: number, mostTurns: number, batch: number, hurry: number): number;
  /** Keeps the memory of the tables, and reads it with every request. */
  answerReads(functions: readonly NativeReadable[]): void;
  answer(err: number, value: number, vectors: number): number;
  rearm(): void;
  notify(): void;
  close(): void;
}

/** A function whose registers a ring answers reads of. */
export interface NativeReadable {
  readonly address: number;
  /** Bytes of configuration space; `live` and `shown` have an element for each four. */
  readonly length: number;
  readonly live: Uint32Array;
  readonly shown: Uint32Array;
  /** One element each. */
  readonly resetting: Uint32Array;
  readonly reads: Float64Array;
  /** Live registers are read here, if it is a NativeConfigFile; otherwise they are left to JavaScript. */
  readonly hardware: unknown;
}

export interface NativeResponder {
  stop(): number;
}

/** What returns a number returns a negative errno when it fails; 0 where the platform has nothing to do. */
export interface NativeHypervisor {
  openRing(domid: number, ref: number, port: number, wake: () => void): NativeRing;
  startResponder(domid: number, ref: number, port: number, config: Uint8Array): NativeResponder;
  discardPort(port: number): void;
  mapMsi(domid: number, sbdf: number, entry: number, tableBase: bigint): number;
  unmapPirq(domid: number, pirq: number): number;
  claimPirq(domid: number, pirq: number): number;
  releasePirqs(domid: number): void;
  raisePirq(domid: number, pirq: number): boolean;
  mapGsi(domid: number, gsi: number): number;
  prepareMsix(sbdf: number): number;
  releaseMsix(sbdf: number): number;
  restoreMsi(sbdf: number): number;
  assignDevice(domid: number, sbdf: number): number;
  deassignDevice(domid: number, sbdf: number): number;
  memoryPermission(domid: number, start: bigint, size: bigint, allow: boolean): number;
  portPermission(domid: number, first: number, count: number, allow: boolean): number;
  irqPermission(domid: number, pirq: number, allow: boolean): number;
  domainState(domid: number): number;
  processorSeconds(domid: number): number;
  pauseDomain(domid: number, pause: boolean): number;
  /** 16 bytes, or a number: 0 when there is no such domain. */
  domainHandle(domid: number): Uint8Array | number;
  hasIommu(): number;
  close(): void;
}

/**
 * A sysfs `config` file. One access is one system call. Accesses must be naturally aligned and inside the space; others throw a
 * RangeError.
 */
export interface NativeConfigFile {
  /** 256 or 4096 bytes. */
  readonly length: number;
  /** Unsigned; all ones when the function does not answer or the file is closed. */
  readonly read: (offset: number, size: number) => number;
  /** Takes the low `size` bytes of a value of either sign. False when it was not written. */
  readonly write: (offset: number, size: number, value: number) => boolean;
  /** May be called twice. */
  readonly close: () => void;
}

export interface NativeFrontRing {
  readonly page: ArrayBuffer;
  readonly ref: number;
  readonly port: number;
  submit(op: Int32Array): boolean;
  poll(op: Int32Array): boolean;
  giveUp(): boolean;
  exchange(op: Int32Array, timeoutMs: number): boolean;
  notify(): boolean;
  waitEvent(timeoutMs: number): boolean;
  onEvent(callback: (() => void) | null): void;
  bindPirq(pirq: number): void;
  unbindPirq(pirq: number): void;
  pirqEvents(pirq: number, timeoutMs: number): number;
  close(): void;
}

/** A thread that writes to a descriptor: see `Writer`. */
export interface NativeOutputThread {
  begin(bytes: Uint8Array, isFreshLine: boolean): void;
  take(): number | null;
  wait(milliseconds: number): boolean;
  hold(isHeld: boolean): void;
}

export interface NativeAddon {
  readonly Hypervisor: new (kind: string, where: string) => NativeHypervisor;
  /** Throws a NativeError: EACCES when only the header can be read, EINVAL when the file is no configuration space. */
  readonly ConfigFile: new (path: string) => NativeConfigFile;
  readonly FrontRing: new (
    directory: string,
    domid: number,
    ref: number,
    port: number,
    flags: number,
  ) => NativeFrontRing;
  readonly OutputThread: new (fd: number, done: () => void) => NativeOutputThread;
  mapFile(path: string, bytes: number, create: boolean): ArrayBuffer;
  /** Detaches the buffer. One that is detached already is left as it is. */
  unmapFile(buffer: ArrayBuffer): void;
  hasVanished(buffer: ArrayBuffer): boolean;
  lockFile(path: string): (() => void) | false;
  /**
   * Has the program `writer` write an attribute as soon as nobody else has the directory `held`. Calls `done` once: with 0, an errno, or
   * the negative errno with which the program could not be run. Does not keep the event loop alive.
   */
  writeAttribute(
    writer: string,
    held: string | undefined,
    path: string,
    text: string,
    done: (error: number) => void,
  ): void;
  /** Calls `done` as soon as nobody has the directory: with 0, or with an errno when that cannot be told. */
  whenReleased(held: string, done: (error: number) => void): void;
  isHeld(held: string): boolean;
  /** Calls `done` once, with what gives the lock up or with a positive errno. Returns what gives the wait up. */
  waitForLock(path: string, done: (unlock: (() => void) | number) => void): () => void;
  /** False when this user may not choose. */
  goAhead(isAhead: boolean): boolean;
  leaveProcessGroup(): void;
  unblockStandardError(): void;
}

// Where the addon lies, seen from the sources or the bundle, and from the compiled files.
const places = ['../../native/build/Release/pciback.node', '../../../native/build/Release/pciback.node'];
const candidates = places.map((place) => fileURLToPath(new URL(place, import.meta.url)));

let addon: NativeAddon | undefined;

/**
 * The addon, loaded on first use. Every thread that asks gets its own instance.
 * @throws PcibackError NO-NATIVE-ADDON when it was not built or was built for another Node.js.
 */
export function nativeAddon(): NativeAddon {
  addon ??= load(candidates);
  return addon;
}

/** A program that is built along with the addon. Throws NO-NATIVE-ADDON. */
export const nativeProgram = (name: 'attribute-writer'): string => join(dirname(find(candidates)), name);

/** Loads the first of these files that exists. Exported for tests. */
export function load(files: readonly string[]): NativeAddon {
  const found = find(files);
  try {
    return createRequire(import.meta.url)(found) as NativeAddon;
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new PcibackError('NO-NATIVE-ADDON', `the native addon does not load: ${why}`, rebuild, { cause });
  }
}

function find(files: readonly string[]): string {
  const found = files.find((path) => existsSync(path));
  if (found !== undefined) return found;
  throw new PcibackError('NO-NATIVE-ADDON', `the native addon was not built: ${files.join(', ')}`, rebuild);
}

export const rebuild =
  'build it with "npm rebuild pciback" (in a clone: "npm run build"); this needs a C++20 compiler, make and Python 3';
