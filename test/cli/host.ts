/** A loopback host for commands: a xenstored, the control socket of a daemon, and its back-end played by hand. */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import type { BackendStatus, FunctionStatus } from '../../src/index.ts';
import { ControlServer } from '../../src/monitor/control-server.ts';
import type { ControlMethods, FunctionReport, InventoryReport } from '../../src/monitor/index.ts';
import { Loopback, PlayedBackend } from '../toolstack/loopback.ts';

const report = (sbdf: string, secondaryBus: number | null = null): FunctionReport => ({
  sbdf,
  vendor: 0x8086,
  device: 0x10d3,
  classCode: secondaryBus === null ? 0x020000 : 0x060400,
  driver: 'e1000e',
  resetMethods: ['flr'],
  secondaryBus,
  origin: 'host',
  problem: null,
});

export const inventory: InventoryReport = {
  functions: [
    report('0000:00:1c.0', 3),
    report('0000:03:00.0'),
    report('0000:03:00.1'),
    report('0000:04:00.0'),
    report('0000:05:00.0'),
    report('0000:06:00.0'),
  ],
  warnings: [],
};

const hidden = (sbdf: string): FunctionStatus => ({
  sbdf,
  state: 'hidden',
  resettingSince: null,
  owner: null,
  reason: null,
});

export class Host {
  readonly loopback: Loopback;
  /** What the daemon says of the functions that it has. */
  functions: FunctionStatus[] = [
    hidden('0000:03:00.0'),
    hidden('0000:03:00.1'),
    hidden('0000:04:00.0'),
    {
      sbdf: '0000:05:00.0',
      state: 'quarantined',
      resettingSince: null,
      owner: null,
      reason: 'it did not come back',
    },
  ];
  guests: BackendStatus['guests'] = [];
  /** How often the daemon was asked for its status. */
  looks = 0;
  /** Functions that the daemon was asked to hide. */
  readonly asked: unknown[] = [];
  /** Functions of which the daemon was asked whether a guest can have them. */
  readonly checked: unknown[] = [];

  /** Two domains exist: 5, and 6. */
  static async start(): Promise<Host> {
    const host = new Host(await Loopback.start());
    const { directory } = host.loopback;
    await mkdir(join(directory, 'state'));
    const server = await ControlServer.listen(join(directory, 'state', 'control.sock'), host.#methods());
    onTestFinished(() => server.close());
    await host.loopback.createDomain(5);
    await host.loopback.createDomain(6);
    return host;
  }

  private constructor(loopback: Loopback) {
    this.loopback = loopback;
  }

  get env(): Record<string, string> {
    return { PCIBACK_LOOPBACK: this.loopback.directory };
  }

  backend(domid: number): PlayedBackend {
    return new PlayedBackend(this.loopback, domid);
  }

  get status(): BackendStatus {
    const { guests, functions } = this;
    return {
      pid: 4711,
      directory: this.loopback.directory,
      topology: 'vpci',
      state: 'ready',
      tookOver: false,
      standIn: null,
      stateNotSaved: null,
      guests,
      functions,
    };
  }

  #methods(): ControlMethods {
    return {
      status: () => {
        this.looks += 1;
        return this.status;
      },
      inventory: () => inventory,
      resetMethods: ({ function: sbdf }) => [
        { method: 'flr', usable: sbdf !== '0000:04:00.0', why: 'of no matter' },
        { method: 'pm', usable: true, why: 'of no matter' },
      ],
      requireAttachable: ({ functions }) => {
        this.checked.push(functions);
      },
      hide: ({ function: sbdf }) => {
        this.asked.push(sbdf);
        this.functions.push(hidden(String(sbdf)));
      },
    };
  }
}
