/**
 * Has a thread serve a guest of a rehearsal platform, so that the first real one is not served by code that has never run: V8 compiles
 * a function to bytecode when it is first called, and a guest that comes up sends its few hundred requests at once. Page, event channel
 * and registers are of the kind that a real guest has: what V8 has learned of another kind is of no use.
 */
import { MessageChannel } from 'node:worker_threads';
import { createActor } from 'xstate';
import { functionMachine } from '../machines/function.ts';
import { makeSbdf } from '../src/address.ts';
import { defaultMode, seize } from '../src/config-space/index.ts';
import { FrontRing, type Platform, sampleFunction } from '../src/host/index.ts';
import { Command, OpWord, maxMsixEntries } from '../src/ring/index.ts';
import { GuestRuntime } from './guest-runtime.ts';
import type { Assignment, FromWorker, Step } from './messages.ts';

/** How often a guest plays the script, and switches its interrupts on and off: until V8 knows all types that there are. */
const scans = 8;
const switchings = 2;

const read = (offset: number, size: number): Request => [Command.confRead, offset, size, 0];
const write = (offset: number, size: number, value: number): Request => [
  Command.confWrite,
  offset,
  size,
  value,
];
type Request = readonly [cmd: number, offset: number, size: number, value: number];

/** What a front-end asks for while it scans its bus, and its driver after that. */
const script: readonly Request[] = [
  read(0x00, 4),
  read(0x0e, 1),
  read(0x06, 2),
  read(0x34, 1),
  read(0xc8, 2),
  read(0xa0, 2),
  read(0x10, 4),
  write(0x10, 4, 0xffff_ffff),
  read(0x10, 4),
  write(0x10, 4, 0xfe24_0000),
  read(0x04, 2),
  write(0x04, 2, 0x0006),
  read(0x3c, 1),
  read(0x104, 4),
  write(0xcc, 2, 0x0000),
  write(0xf0, 4, 0x1234),
];

/** The driver's interrupts: five entries of its MSI-X table. */
const interrupts: readonly Request[] = [
  [Command.enableMsix, 0, 0, 5],
  [Command.disableMsix, 0, 0, 0],
];

/** Plays the script, interrupts at its end: each request is made when the one before it is answered. */
class Guest {
  readonly #front: FrontRing;
  readonly #op = new Int32Array(OpWord.msixEntries + maxMsixEntries);
  readonly #requests: readonly Request[];
  readonly #onEnd: () => void;
  #sent = 0;

  constructor(front: FrontRing, bus: number, onEnd: () => void) {
    this.#front = front;
    this.#requests = [
      ...Array.from({ length: scans }, () => script),
      ...Array.from({ length: switchings }, () => interrupts),
    ].flat();
    this.#op[OpWord.bus] = bus;
    this.#onEnd = onEnd;
    for (let entry = 0; entry < 5; entry++) this.#op[OpWord.msixEntries + entry] = entry << 16;
    front.onEvent(() => this.goOn());
  }

  goOn(): void {
    const request = this.#requests[this.#sent];
    if (request === undefined) return this.#onEnd();
    const [cmd, offset, size, value] = request;
    this.#sent += 1;
    this.#op[OpWord.cmd] = cmd;
    this.#op[OpWord.offset] = offset;
    this.#op[OpWord.size] = size;
    this.#op[OpWord.value] = value;
    this.#front.submit(this.#op);
  }
}

async function assignmentFor(platform: Platform, bus: number): Promise<Assignment> {
  const sbdf = makeSbdf(0, bus, 0, 0);
  const { facts } = await platform.takeFromHost(sampleFunction(sbdf), false);
  const hardware = platform.openFunction(sbdf);
  const seized = seize(hardware, facts);
  hardware.close();
  const snapshot = createActor(functionMachine, { input: { sbdf } }).getPersistedSnapshot();
  return { sbdf, guestAddress: sbdf, mode: defaultMode, snapshot, seized };
}

/**
 * Rehearses as domain `domid`, which nobody else is on that platform, with the sample function on the bus of the same number. Real
 * guests of this thread get their turn between any two requests. Resolves when the last one has been answered.
 */
export async function rehearse(platform: Platform, directory: string, domid: number): Promise<void> {
  const bus = domid & 0xff;
  const assignment = await assignmentFor(platform, bus);
  const front = new FrontRing(directory, domid);
  const { port1: control, port2: port } = new MessageChannel();
  const tell = (id: number, step: Step): void => control.postMessage({ ...step, id });
  try {
    await new Promise<void>((resolve, reject) => {
      const guest = new Guest(front, bus, () => tell(2, { do: 'end' }));
      new GuestRuntime(platform, domid, port, { resolve, reject }).start();
      control.on('message', (message: FromWorker) => {
        if (message.is === 'refused') reject(new Error(message.message));
        else if (message.is === 'done' && message.id === 1) guest.goOn();
      });
      tell(0, { do: 'bind', assignment });
      tell(1, { do: 'connect', ring: { grantRef: front.ref, port: front.port }, adopted: false });
    });
  } finally {
    control.close();
    front.close();
  }
}
