/**
 * A function that forgets its registers on the way from D3hot to D0: whatever its guest does meanwhile, and whenever its worker dies, it
 * neither decodes addresses nor reaches for memory before its BARs are what the host made them.
 */
import { strictEqual } from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { type Snapshot, createActor } from 'xstate';
import { functionMachine } from '../../machines/function.ts';
import { makeSbdf } from '../../src/address.ts';
import { findCapability } from '../../src/config-space/capabilities.ts';
import {
  type AccessSize,
  FunctionRecord,
  InterruptKind,
  defaultMode,
  recordSize,
  seize,
} from '../../src/config-space/index.ts';
import { LoopbackPlatform } from '../../src/host/index.ts';
import { type ModelFunction, openModel } from '../../src/host/model.ts';
import { ensureModel } from '../../src/host/model-file.ts';
import type { HostFunction } from '../../src/host/platform.ts';
import { AssignedFunction } from '../../workers/assigned-function.ts';
import type { FromWorker } from '../../workers/messages.ts';
import { captured } from '../host/support/functions.ts';

/** A network adapter that can be reset, has MSI and MSI-X, and does not say No_Soft_Reset. */
const facts = captured('8086:10c9');
const [command, cacheLine, bar0] = [0x04, 0x0c, 0x10];
const [memory, master] = [0x2, 0x4];
const power = (findCapability(facts.config, 0x01) ?? expect.unreachable()) + 4;
const deviceControl = (findCapability(facts.config, 0x10) ?? expect.unreachable()) + 8;
const msiControl = (findCapability(facts.config, 0x05) ?? expect.unreachable()) + 2;
const hidden = createActor(functionMachine, { input: { sbdf: facts.sbdf } }).getPersistedSnapshot();

class Died extends Error {}

/** The function as one process has it open, which may die before or after any of its writes. */
class Watched implements HostFunction {
  readonly sbdf = facts.sbdf;
  readonly facts = facts;
  readonly resetMethods = facts.resetMethods;
  readonly length: 256 | 4096;
  readonly #machine: Machine;
  readonly #model: ModelFunction;
  readonly #process: number;

  constructor(machine: Machine, model: ModelFunction) {
    this.#machine = machine;
    this.#model = model;
    this.length = model.length;
    this.#process = machine.process;
  }

  read(offset: number, size: AccessSize): number {
    this.#live();
    return this.#model.read(offset, size);
  }

  write(offset: number, size: AccessSize, value: number): void {
    this.#live();
    this.#machine.dieIfDue();
    this.#live();
    this.#machine.writesLeft -= 1;
    this.#model.write(offset, size, value);
    this.#machine.requireTame();
  }

  async reset(method: string): Promise<void> {
    this.#live();
    await this.#model.reset(method);
  }

  restoreVectors(): void {
    this.#live();
    // Xen writes the MSI-X table through the BAR.
    strictEqual(this.#model.read(bar0, 4), this.#machine.addressOfBar0);
  }

  close(): void {
    // The machine looks at it still.
  }

  #live(): void {
    if (this.#machine.process !== this.#process) throw new Died();
  }
}

/** A host with one function, and the worker that serves it. */
class Machine {
  process = 0;
  writesLeft = Infinity;
  /** Resets that a worker has told of. */
  resets = 0;
  readonly addressOfBar0: number;
  readonly #directory = mkdtempSync(join(tmpdir(), 'pciback-lost-'));
  readonly #platform: LoopbackPlatform;
  readonly #hardware: ModelFunction;
  readonly #seized: ReturnType<typeof seize>;
  #record = new ArrayBuffer(recordSize);
  #snapshot: Snapshot<unknown> = hidden;
  #assigned: AssignedFunction | undefined;

  constructor() {
    mkdirSync(join(this.#directory, 'evt/0'), { recursive: true });
    this.#platform = new LoopbackPlatform(this.#directory, async () => {});
    ensureModel(this.#directory, facts);
    this.#hardware = openModel(this.#directory, facts.sbdf);
    this.#platform.openFunction = () => new Watched(this, this.#hardware);
    this.#platform.mapRecord = () => this.#record;
    this.#seized = seize(this.#hardware, facts);
    this.addressOfBar0 = this.#hardware.read(bar0, 4);
  }

  async begin(): Promise<void> {
    const assignment = {
      sbdf: facts.sbdf,
      guestAddress: makeSbdf(0, 0, 0, 0),
      mode: defaultMode,
      snapshot: this.#snapshot,
      seized: this.#seized,
    };
    const { process } = this;
    const report = (each: FromWorker): void => {
      if (each.is === 'reset') this.resets += 1;
      if (each.is === 'function' && process === this.process) this.#snapshot = each.snapshot;
    };
    this.#assigned = new AssignedFunction(this.#platform, 5, assignment, report);
    await this.#assigned.bind();
    this.#assigned.connect();
  }

  get assigned(): AssignedFunction {
    return this.#assigned ?? expect.unreachable();
  }

  get hardware(): ModelFunction {
    return this.#hardware;
  }

  get record(): FunctionRecord {
    return FunctionRecord.adopt(this.#record) ?? expect.unreachable();
  }

  /** Nothing of the process is left but what it has stored. */
  die(): void {
    this.process += 1;
    this.writesLeft = Infinity;
    this.#record = this.#record.slice(0);
    vi.clearAllTimers();
  }

  dieIfDue(): void {
    if (this.writesLeft === 0) this.die();
  }

  scrap(): void {
    this.die();
    this.#platform.close();
    rmSync(this.#directory, { recursive: true });
  }

  async succeed(): Promise<void> {
    this.die();
    await this.begin();
  }

  see(offset: number, size: number): number {
    strictEqual(this.assigned.filter.read(offset, size), 0);
    return this.assigned.filter.value;
  }

  /** A request of the guest. When the process dies of it, the next one is asked again, unless the guest has given it up. */
  async write(offset: number, size: number, value: number, dies: Death = null): Promise<void> {
    const before = this.process;
    this.writesLeft = dies?.after ?? Infinity;
    try {
      this.assigned.filter.write(offset, size, value);
      // It has done all of it but answer.
      this.dieIfDue();
    } catch (error) {
      if (!(error instanceof Died)) throw error;
    }
    this.writesLeft = Infinity;
    if (this.process === before) return;
    await this.begin();
    if (!dies?.abandoned) this.assigned.filter.write(offset, size, value);
  }

  async pass(milliseconds: number, dies: Death = null): Promise<void> {
    const before = this.process;
    this.writesLeft = dies?.after ?? Infinity;
    vi.advanceTimersByTime(milliseconds);
    this.writesLeft = Infinity;
    if (this.process !== before) await this.begin();
  }

  /** The guest resets the function, and waits for it. */
  async reset(): Promise<void> {
    this.assigned.filter.write(deviceControl, 2, 0x8000);
    await this.untilReset();
  }

  async untilReset(): Promise<void> {
    const end = performance.now() + 20_000;
    while (this.record.resetting) {
      if (performance.now() > end)
        throw new Error(`its reset does not end: ${JSON.stringify(this.#snapshot)}`);
      await new Promise((resolve) => setImmediate(resolve));
    }
  }

  get isRestored(): boolean {
    const bars = [0, 1, 2, 3, 4, 5].map((bar) => bar0 + 4 * bar);
    return bars.every(
      (at) => this.#hardware.read(at, 4) === new DataView(this.#seized.config.buffer).getUint32(at, true),
    );
  }

  /** In D3hot it does neither, whatever the register says. */
  requireTame(): void {
    const isAwake = (this.#hardware.read(power, 2) & 3) !== 3;
    if (isAwake && !this.isRestored) strictEqual(this.#hardware.read(command, 2) & 0x7, 0);
  }
}

type Death = { readonly after: number; readonly abandoned: boolean } | null;

const machines: Machine[] = [];

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
});
afterEach(() => {
  vi.useRealTimers();
  for (const machine of machines.splice(0)) machine.scrap();
});

async function serving(): Promise<Machine> {
  const machine = new Machine();
  machines.push(machine);
  await machine.begin();
  await machine.write(command, 2, memory | master);
  return machine;
}

/** Its registers are gone, and it is in D0. */
async function forgetful(): Promise<Machine> {
  const machine = await serving();
  await machine.write(power, 2, 3);
  await machine.write(power, 2, 0);
  strictEqual(machine.hardware.read(bar0, 4), 0);
  return machine;
}

describe('a function that has lost its context', () => {
  it.each([1, 2, 4])(
    'is known to have before it is told to go to D0, in a write of %i bytes',
    async (size) => {
      const machine = await serving();
      await machine.write(power, size, 3);
      expect(machine.record.contextLost).toBe(false);
      const known: boolean[] = [];
      const { hardware } = machine.assigned.filter;
      const write = hardware.write.bind(hardware);
      hardware.write = (...access) => {
        known.push(machine.record.contextLost);
        write(...access);
      };
      await machine.write(power, size, 0);
      expect(known).toEqual([true]);
    },
  );

  it('shows its guest the command register that it will have', async () => {
    const machine = await forgetful();
    expect(machine.see(command, 2)).toBe(memory | master);
    await machine.write(command, 1, memory);
    expect(machine.see(command, 2)).toBe(memory);
    await machine.write(command, 2, 0x0546);
    expect(machine.see(command, 2)).toBe(0x0546);
    expect(machine.hardware.read(command, 2)).toBe(0);
    await machine.pass(10);
    expect(machine.see(command, 2)).toBe(0x0546);
    expect(machine.hardware.read(command, 2) & 0x7).toBe(0x7);
    expect(machine.isRestored).toBe(true);
  });

  it('is woken by a guest that switches decoding on, and decodes when it is restored', async () => {
    const machine = await serving();
    await machine.write(command, 2, 0);
    await machine.write(power, 2, 3);
    await machine.write(command, 2, memory | master);
    expect(machine.hardware.read(power, 2) & 3).toBe(0);
    expect(machine.hardware.read(command, 2)).toBe(0);
    await machine.pass(10);
    expect(machine.isRestored).toBe(true);
    expect(machine.hardware.read(command, 2) & (memory | master)).toBe(memory | master);
  });

  it('is restored by the next worker', async () => {
    const machine = await forgetful();
    await machine.succeed();
    expect(machine.see(command, 2)).toBe(memory | master);
    expect(machine.hardware.read(command, 2)).toBe(0);
    await machine.pass(10);
    expect(machine.isRestored).toBe(true);
    expect(machine.record.contextLost).toBe(false);
    expect(machine.hardware.read(command, 2) & master).toBe(master);
  });

  it('has one timer, however often it goes there and back, and is left alone for as long after the last time', async () => {
    const machine = await forgetful();
    for (let times = 0; times < 50; times++) {
      await machine.write(power, 2, 3);
      await machine.write(power, 2, 0);
    }
    expect(vi.getTimerCount()).toBe(1);
    await machine.pass(9);
    await machine.write(power, 2, 3);
    await machine.write(power, 2, 0);
    await machine.pass(9);
    expect(machine.record.contextLost).toBe(true);
    await machine.pass(1);
    expect(machine.isRestored).toBe(true);
  });

  it('is left alone while it is in D3hot again, and restored when it leaves that', async () => {
    const machine = await forgetful();
    await machine.write(power, 2, 3);
    await machine.pass(10);
    expect(machine.hardware.read(bar0, 4)).toBe(0);
    expect(machine.record.contextLost).toBe(true);
    await machine.write(power, 2, 0);
    await machine.pass(10);
    expect(machine.isRestored).toBe(true);
  });

  it('keeps what its guest has written to it meanwhile', async () => {
    const machine = await forgetful();
    await machine.write(cacheLine, 1, 0x20);
    await machine.write(command, 2, 0x0016);
    await machine.succeed();
    await machine.pass(10);
    expect(machine.hardware.read(cacheLine, 1)).toBe(0x20);
    expect(machine.hardware.read(command, 2) & 0x10).toBe(0x10);
  });

  it('is given interrupts when it is restored, and none that were taken back', async () => {
    const machine = await serving();
    machine.record.addVector(0, 17);
    machine.record.grant(InterruptKind.msi, 2);
    await machine.write(power, 2, 3);
    await machine.write(power, 2, 0);
    expect(machine.hardware.read(msiControl, 2) & 1).toBe(0);
    await machine.pass(10);
    expect(machine.hardware.read(msiControl, 2) & 1).toBe(1);

    await machine.write(power, 2, 3);
    await machine.write(power, 2, 0);
    machine.record.removeLastVector();
    machine.record.revoked();
    await machine.pass(10);
    expect(machine.hardware.read(msiControl, 2) & 1).toBe(0);
  });

  it('is restored by a reset that its guest asks for meanwhile, once', async () => {
    const machine = await forgetful();
    await machine.reset();
    expect(machine.isRestored).toBe(true);
    expect(machine.record.contextLost).toBe(false);
    expect(machine.hardware.read(command, 2) & master).toBe(master);
    await machine.write(cacheLine, 1, 0x20);
    await machine.pass(10);
    expect(machine.hardware.read(cacheLine, 1)).toBe(0x20);
  });

  it('is no bus master again once its guest comes to an end, nor after a reset that ends then', async () => {
    const machine = await forgetful();
    machine.assigned.quiesce();
    await machine.pass(10);
    expect(machine.hardware.read(command, 2) & master).toBe(0);

    const other = await serving();
    other.assigned.filter.write(deviceControl, 2, 0x8000);
    other.assigned.quiesce();
    await expect.poll(() => other.resets).toBe(1);
    expect(other.hardware.read(command, 2) & master).toBe(0);
  });

  it('decodes nothing when it does not take its BARs back, and is reset', async () => {
    const machine = await forgetful();
    const { resets } = machine.hardware;
    const write = machine.hardware.write.bind(machine.hardware);
    let takesBars = false;
    machine.hardware.write = (offset, size, value) => {
      if (takesBars || offset < bar0 || offset >= 0x28) write(offset, size, value);
    };
    await machine.pass(10);
    expect(machine.hardware.read(command, 2) & 0x7).toBe(0);
    takesBars = true;
    await expect.poll(() => machine.record.resetting).toBe(false);
    expect(machine.hardware.resets).toBe(resets + 1);
    expect(machine.isRestored).toBe(true);
  });
});

const aDeath: fc.Arbitrary<Death> = fc.oneof(
  { weight: 2, arbitrary: fc.constant(null) },
  { weight: 1, arbitrary: fc.record({ after: fc.nat(2), abandoned: fc.boolean() }) },
);
const wide = fc.constantFrom(1, 2, 4);
const deed = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constant('power' as const),
      to: fc.constantFrom(0, 0, 3, 3, 1, 2),
      other: fc.constantFrom(0, 0x0200, 0x8000, 0x1f00),
      size: wide,
      dies: aDeath,
    }),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constant('command' as const),
      value: fc.constantFrom(0, memory, memory | master, 0x0007, 0x0016, 0x0406),
      size: fc.constantFrom(1, 2),
      dies: aDeath,
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constant('write' as const),
      where: fc.constantFrom(bar0, bar0 + 4, cacheLine, msiControl - 2, deviceControl),
      size: wide,
      value: fc.constantFrom(0, 0xffff_ffff, 0x10, 0x0081_0000),
      dies: aDeath,
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ do: fc.constant('pass' as const), time: fc.constantFrom(4, 10), dies: aDeath }),
  },
  { weight: 1, arbitrary: fc.constant({ do: 'die' as const }) },
  { weight: 1, arbitrary: fc.constant({ do: 'reset' as const }) },
);

it('never decodes nor reaches for memory before it is restored, and is in the end what its guest made it', async () => {
  await fc.assert(
    fc
      .asyncProperty(fc.array(deed, { maxLength: 20, size: 'max' }), async (deeds) => {
        const machine = await serving();
        for (const each of deeds) {
          if (each.do === 'power') await machine.write(power, each.size, each.other | each.to, each.dies);
          else if (each.do === 'command') await machine.write(command, each.size, each.value, each.dies);
          else if (each.do === 'write') await machine.write(each.where, each.size, each.value, each.dies);
          else if (each.do === 'pass') await machine.pass(each.time, each.dies);
          else if (each.do === 'die') await machine.succeed();
          else await machine.reset();
          await machine.untilReset();
          machine.requireTame();
          expect(vi.getTimerCount()).toBeLessThanOrEqual(1);
        }
        await machine.write(power, 2, 0);
        await machine.write(command, 2, memory | master);
        expect(machine.see(command, 2)).toBe(memory | master);
        await machine.pass(10);
        expect(machine.isRestored).toBe(true);
        expect(machine.record.contextLost).toBe(false);
        expect(machine.hardware.read(command, 2) & (memory | master)).toBe(memory | master);
      })
      .afterEach(() => machines.pop()?.scrap()),
    { numRuns: 60 },
  );
}, 120_000);
