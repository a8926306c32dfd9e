import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { BackendEvent, BackendStatus, Sbdf } from 'pciback';
import { ControlClient } from '../../src/monitor/index.ts';
import { writeFunction } from '../host/support/tree.ts';
import { pciback } from './daemon.ts';
import { patience } from '../bounds.ts';
import { Surroundings, captures, hideList } from './surroundings.ts';

export interface Served {
  readonly process: ChildProcess;
  /** Resolves when the process and its stand-ins have ended: they share its output. */
  readonly silent: Promise<unknown>;
}

const isReadyStandIn = ({ type, to }: BackendEvent): boolean => type === 'backend.standIn' && to === 'ready';
const hasTakenOver = ({ type, to }: BackendEvent): boolean => type === 'backend.standIn' && to === 'daemon';
const pidOf = (event: BackendEvent | undefined): number => Number(event?.data?.['pid']);

/** A host that is served by `pciback serve --stand-in`, and by whatever comes after it. */
export class StandInHost extends Surroundings {
  readonly #words: readonly string[];
  readonly #diskSize: string | undefined;
  readonly #served: Served[] = [];

  static start(...hidden: readonly Sbdf[]): Promise<StandInHost> {
    return StandInHost.#begin(new StandInHost(hidden));
  }

  /** With a state directory of its own, a tmpfs of this size that only the daemons see. Takes root. */
  static startOnSmallDisk(size: string, ...hidden: readonly Sbdf[]): Promise<StandInHost> {
    return StandInHost.#begin(new StandInHost(hidden, size));
  }

  static async #begin(host: StandInHost): Promise<StandInHost> {
    try {
      await host.serve();
      await host.connect();
      await host.untilStandIns(1);
    } catch (error) {
      await host[Symbol.asyncDispose]();
      throw error;
    }
    return host;
  }

  /** Where the daemons keep their state, as this process sees it. */
  get state(): string {
    if (this.#diskSize === undefined) return join(this.directory, 'state');
    return join(`/proc/${this.processes()[0]}/root`, this.#disk);
  }

  get #disk(): string {
    return join(this.directory, 'small');
  }

  private constructor(hidden: readonly Sbdf[], diskSize?: string) {
    super();
    this.#diskSize = diskSize;
    const sysfs = join(this.directory, 'sysfs');
    for (const facts of captures) {
      // The same facts, of the same shape in the sources as in the package.
      writeFunction(sysfs, facts as unknown as Parameters<typeof writeFunction>[1]);
    }
    const where = ['--loopback', this.directory, '--sysfs', sysfs];
    const elsewhere = diskSize === undefined ? [] : ['--state-dir', this.#disk];
    const words = [
      'serve',
      ...where,
      ...elsewhere,
      '--hide',
      hideList(hidden),
      '--workers',
      '1',
      '--stand-in',
    ];
    this.#words = [process.execPath, pciback, ...words];
  }

  /** Starts `pciback serve`. */
  begin(): Served {
    const [program = '', ...words] = this.#diskSize === undefined ? this.#words : this.#onSmallDisk();
    const daemon = spawn(program, words, { stdio: ['ignore', 'pipe', 'pipe'] });
    const lines = createInterface({ input: daemon.stdout });
    lines.on('line', (line) => this.note(JSON.parse(line) as BackendEvent));
    const served = { process: daemon, silent: once(lines, 'close') };
    this.#served.push(served);
    return served;
  }

  /** Mounts the disk and becomes the daemon. */
  #onSmallDisk(): readonly string[] {
    mkdirSync(this.#disk, { recursive: true });
    const mount = `mount -t tmpfs -o size=${this.#diskSize},mode=700 none "$0" && exec "$@"`;
    return ['unshare', '--mount', 'sh', '-c', mount, this.#disk, ...this.#words];
  }

  /** The same, and waits until it is ready. */
  async serve(): Promise<Served> {
    const before = this.count('backend.ready');
    const served = this.begin();
    await this.until('the daemon to be ready', () => this.count('backend.ready') > before);
    return served;
  }

  /** Waits until so many stand-ins have been ready, and returns the process id of the last one. */
  async untilStandIns(count: number): Promise<number> {
    await this.until(
      `stand-in ${count} to be ready`,
      () => this.events.filter(isReadyStandIn).length >= count,
    );
    return pidOf(this.events.findLast(isReadyStandIn));
  }

  /** Waits until so many stand-ins have taken over, and returns the process id of the last one. */
  async untilSuccessions(count: number): Promise<number> {
    await this.until(
      `stand-in ${count} to take over`,
      () => this.events.filter(hasTakenOver).length >= count,
    );
    const isReady = (): boolean =>
      this.events.findLastIndex(({ type }) => type === 'backend.ready') >
      this.events.findLastIndex(hasTakenOver);
    await this.until('it to be ready', isReady);
    return pidOf(this.events.findLast(hasTakenOver));
  }

  /** The longest time, in milliseconds, from one daemon that served to the next. */
  longestTerm(): number {
    const begins = this.events
      .filter(({ type }) => type === 'backend.ready')
      .map(({ time }) => Date.parse(time));
    return Math.max(...begins.slice(1).map((begin, index) => begin - (begins[index] ?? begin)));
  }

  /** Closes the reading end of whatever they print. */
  deafen(): void {
    for (const { process: each } of this.#served) each.stdout?.destroy();
  }

  /** Resolves when nobody is left who could print anything. */
  async silence(): Promise<void> {
    await Promise.all(this.#served.map(({ silent }) => silent));
  }

  override async status(): Promise<BackendStatus> {
    const client = await ControlClient.connect(join(this.directory, 'state/control.sock'));
    try {
      return await client.call<BackendStatus>('status', {}, { timeoutMs: patience });
    } finally {
      client.close();
    }
  }

  protected override async end(): Promise<void> {
    await this.killAll();
  }
}
