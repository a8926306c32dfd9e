/**
 * Has a thread serve a guest that does not exist, so that the first one that does is not served by code that has never run:
 * V8 interprets a function until it has been called often, and a guest that comes up sends its few hundred requests at once.
 */
import { MessageChannel } from 'node:worker_threads';
import { createActor } from 'xstate';
import { functionMachine } from '../machines/function.ts';
import { makeSbdf } from '../src/address.ts';
import { type RamConfig, type Seized, defaultMode, recordSize } from '../src/config-space/index.ts';
import { sampleFunction } from '../src/config-space/sample.ts';
import type { Answer, HostFunction, Look, Platform, Ring } from '../src/host/platform.ts';
import { Command, OpWord, maxMsixEntries } from '../src/ring/index.ts';
import { GuestRuntime } from './guest-runtime.ts';
import type { Assignment, FromWorker, Step } from './messages.ts';

/** As many as V8 needs to compile the whole path, and a fraction of a second of work. */
const requests = 4096;

/** What a front-end asks for while it scans its bus, and its driver after that: offset, size, and a value to write. */
const script: readonly (readonly [offset: number, size: number, value?: number])[] = [
  [0x00, 4],
  [0x0e, 1],
  [0x06, 2],
  [0x34, 1],
  [0x40, 2],
  [0x50, 1],
  [0x10, 4],
  [0x10, 4, 0xffff_ffff],
  [0x10, 4],
  [0x10, 4, 0xfeb8_0000],
  [0x04, 2],
  [0x04, 2, 0x0006],
  [0x3c, 1],
  [0x44, 2],
  [0x104, 4],
  [0x48, 4, 0x1234],
];

/** A page on which the next line of the script is found as soon as the last one is answered. */
class ScriptedRing implements Ring {
  readonly localPort = 0;
  readonly op = new Int32Array(OpWord.msixEntries + maxMsixEntries);
  #left = requests;

  look(): Look {
    if (this.#left === 0) return 'vanished';
    const [offset, size, value] = script[this.#left % script.length] ?? [0, 4];
    this.#left -= 1;
    this.op[OpWord.cmd] = value === undefined ? Command.confRead : Command.confWrite;
    this.op[OpWord.offset] = offset;
    this.op[OpWord.size] = size;
    this.op[OpWord.value] = value ?? 0;
    return 'request';
  }

  answer(): Answer {
    return 'published';
  }

  rearm(): void {}
  notify(): void {}
  close(): void {}
}

const sbdf = makeSbdf(0, 0, 0, 0);

function assignmentOf(seized: Seized): Assignment {
  const snapshot = createActor(functionMachine, { input: { sbdf } }).getPersistedSnapshot();
  return { sbdf, guestAddress: sbdf, mode: defaultMode, snapshot, seized };
}

/** As much of a platform as a guest needs that comes up and sends requests. */
function stage(memory: RamConfig): Platform {
  const hardware: Pick<HostFunction, 'length' | 'read' | 'write' | 'close'> = Object.assign(memory, {
    close() {},
  });
  const platform: Pick<Platform, 'assign' | 'openFunction' | 'openRing' | 'mapRecord'> = {
    assign() {},
    openFunction: () => hardware as HostFunction,
    openRing: () => new ScriptedRing(),
    mapRecord: () => new ArrayBuffer(recordSize),
  };
  return platform as Platform;
}

/** Rehearses in slices, between which real guests get their turn. Resolves when the last request has been answered. */
export async function rehearse(): Promise<void> {
  const { hardware, seized } = sampleFunction();
  const { port1: control, port2: port } = new MessageChannel();
  const steps: readonly Step[] = [
    { do: 'bind', assignment: assignmentOf(seized) },
    { do: 'connect', grantRef: 0, port: 0, adopted: true },
  ];
  await new Promise<void>((resolve, reject) => {
    new GuestRuntime(stage(hardware), 0, port, { resolve, reject }).start();
    control.on('message', (message: FromWorker) => {
      if (message.is === 'refused') reject(new Error(message.message));
      // The page has vanished: the script has come to its end.
      if (message.is === 'ringLost' || message.is === 'refused') control.close();
    });
    for (const [id, step] of steps.entries()) control.postMessage({ ...step, id });
  });
}
