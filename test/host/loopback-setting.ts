/** What tests of the loopback platform share: a directory that is removed afterwards, and a guest made by hand. */
import { execFileSync } from 'node:child_process';
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate as turn } from 'node:timers/promises';
import { onTestFinished } from 'vitest';
import { FrontRing } from '../../src/host/front-ring.ts';
import { Hypervisor } from '../../src/host/hypervisor.ts';
import type { Ring } from '../../src/host/platform.ts';
import { opSize } from '../../src/ring/layout.ts';

export const addonPath = join(import.meta.dirname, '../../native/build/Release/pciback.node');

export class LoopbackDirectory {
  readonly path: string;

  /** Tests that run concurrently pass their own `onTestFinished`. */
  constructor(atTheEnd: typeof onTestFinished = onTestFinished) {
    this.path = mkdtempSync(join(tmpdir(), 'pciback-test-'));
    mkdirSync(this.in('evt/0'), { recursive: true });
    mkdirSync(this.in('gnt'));
    atTheEnd(() => rmSync(this.path, { recursive: true, force: true }));
  }

  in(name: string): string {
    return join(this.path, name);
  }

  read(name: string): string {
    return readFileSync(this.in(name), 'utf8');
  }

  list(name: string): string[] {
    return readdirSync(this.in(name)).sort();
  }

  /** A guest's page and FIFO, made without any of our code. */
  makeGuest(domid: number, ref: number, port: number): void {
    mkdirSync(this.in(`gnt/${domid}`), { recursive: true });
    mkdirSync(this.in(`evt/${domid}`), { recursive: true });
    writeFileSync(this.in(`gnt/${domid}/${ref}`), new Uint8Array(4096));
    this.makeFifo(`evt/${domid}/${port}`);
  }

  makeFifo(name: string): void {
    execFileSync('mkfifo', [this.in(name)]);
  }

  truncatePage(domid: number, ref: number): void {
    truncateSync(this.in(`gnt/${domid}/${ref}`), 0);
  }
}

/** The page of a guest as a file: 1024 words. */
export function readPage(directory: LoopbackDirectory, domid: number, ref: number): Int32Array {
  const bytes = readFileSync(directory.in(`gnt/${domid}/${ref}`));
  return new Int32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + 4096));
}

export const domid = 5;
export const opWords = opSize / 4;

export interface Setting {
  readonly directory: LoopbackDirectory;
  readonly hypervisor: Hypervisor;
  readonly front: FrontRing;
  readonly ring: Ring;
  /** The front-end's view of the whole page. */
  readonly page: Int32Array;
  readonly wakes: { count: number };
}

/** A connected pair of ends; `wake` is what the back-end does when it is woken. */
export function setUp(wake: (ring: Ring) => void = () => undefined): Setting {
  const directory = new LoopbackDirectory();
  const hypervisor = Hypervisor.loopback(directory.path);
  const front = new FrontRing(directory.path, domid);
  const wakes = { count: 0 };
  const ring = hypervisor.openRing(domid, front.ref, front.port, () => {
    wakes.count++;
    wake(ring);
  });
  onTestFinished(() => {
    ring.close();
    front.close();
    hypervisor.close();
  });
  return { directory, hypervisor, front, ring, page: new Int32Array(front.page), wakes };
}

/** A request whose 137 words all differ. */
export const noiseOp = (): Int32Array => Int32Array.from({ length: opWords }, (_, i) => (i + 1) * 0x01010101);

/** Lets the event loop turn until `met`, at most for the test's own time-out. */
export async function until(met: () => boolean): Promise<void> {
  while (!met()) await turn();
}

/** Lets whatever is ready on the event loop happen. */
export async function settle(): Promise<void> {
  for (let i = 0; i < 20; i++) await turn();
}
