import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { BackendEvent, BackendStatus, Sbdf } from 'pciback';
import { ControlClient } from '../../src/monitor/index.ts';
import { writeFunction } from '../host/support/tree.ts';
import { patience, within } from '../bounds.ts';
import { Surroundings, captures, hideList } from './surroundings.ts';

/** The command as it is installed. */
export const pciback = fileURLToPath(new URL('../../dist/bundle/main.js', import.meta.url));

/** How a process ended: its exit code, or the signal that ended it. */
export type End = number | NodeJS.Signals | null;

/** A host whose back-end is `pciback serve`: a process of its own, which can be killed and started again. */
export class DaemonHost extends Surroundings {
  readonly #hidden: string;
  #daemon: ChildProcess | undefined;
  #control: ControlClient | undefined;

  /** Serves with these functions hidden. */
  static async start(...hidden: readonly Sbdf[]): Promise<DaemonHost> {
    const host = new DaemonHost(hideList(hidden));
    for (const facts of captures) {
      // The same facts, of the same shape in the sources as in the package.
      writeFunction(join(host.directory, 'sysfs'), facts as unknown as Parameters<typeof writeFunction>[1]);
    }
    try {
      await host.serve();
      await host.connect();
    } catch (error) {
      await host[Symbol.asyncDispose]();
      throw error;
    }
    return host;
  }

  private constructor(hidden: string) {
    super();
    this.#hidden = hidden;
  }

  get pid(): number {
    const pid = this.#daemon?.pid;
    if (pid === undefined) throw new Error('no daemon runs');
    return pid;
  }

  /** The words after `pciback` with which this host is served. */
  get words(): readonly string[] {
    const { directory } = this;
    return [
      'serve',
      '--loopback',
      directory,
      '--sysfs',
      join(directory, 'sysfs'),
      '--hide',
      this.#hidden,
      '--workers',
      '1',
    ];
  }

  /** Starts the daemon, in a process group of its own as a shell does. Resolves when it is ready. */
  async serve(): Promise<void> {
    await this.begin();
    await this.ready();
    this.#control = await ControlClient.connect(join(this.directory, 'state/control.sock'));
  }

  /** Starts the daemon and waits for nothing but its first word. */
  async begin(): Promise<void> {
    const daemon = spawn(process.execPath, [pciback, ...this.words], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    this.#daemon = daemon;
    this.events.length = 0;
    const lines = createInterface({ input: daemon.stdout });
    lines.on('line', (line) => this.note(JSON.parse(line) as BackendEvent));
    await within(once(lines, 'line'), () => 'the daemon to say something');
  }

  ready(): Promise<BackendEvent> {
    return this.until('the daemon to be ready', ({ type }) => type === 'backend.ready');
  }

  override async status(): Promise<BackendStatus> {
    if (!this.#control) throw new Error('no daemon runs');
    return this.#control.call<BackendStatus>('status', {}, { timeoutMs: patience });
  }

  /** Asks the daemon for something else than its status. */
  async ask(method: string, params: Readonly<Record<string, unknown>>): Promise<unknown> {
    return this.#control?.call(method, params, { timeoutMs: patience });
  }

  /** Ends the daemon: without a word with SIGKILL, in an orderly way with SIGTERM. */
  async stop(signal: 'SIGKILL' | 'SIGTERM'): Promise<End> {
    const daemon = this.#daemon;
    this.#daemon = undefined;
    this.#control?.close();
    this.#control = undefined;
    if (!daemon || daemon.exitCode !== null || daemon.signalCode !== null) return null;
    const ended = once(daemon, 'exit') as Promise<[number | null, NodeJS.Signals | null]>;
    daemon.kill(signal);
    const [code, by] = await within(ended, () => 'the daemon to end');
    return by ?? code;
  }

  /** Killed and started again. */
  async restart(): Promise<void> {
    await this.stop('SIGKILL');
    await this.serve();
  }

  protected override async end(): Promise<void> {
    await this.stop('SIGTERM').catch(() => this.stop('SIGKILL'));
  }
}
