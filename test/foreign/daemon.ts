/** `pciback serve` as a process, on a directory of its own. */
import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { rmSync } from 'node:fs';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { filter, firstValueFrom, ReplaySubject } from 'rxjs';
import { patience } from '../bounds.ts';
import { writeCapturedTree } from './captured-tree.ts';

const pciback = fileURLToPath(new URL('../../dist/bundle/main.js', import.meta.url));

export interface DaemonEvent {
  readonly type: string;
  readonly subject?: string;
  readonly domid?: number;
  readonly to?: string;
  readonly reason?: string;
}

export class LoopbackHost implements AsyncDisposable {
  readonly directory: string;
  readonly #tree: string;
  #daemon: ChildProcess | null = null;
  #events = new ReplaySubject<DaemonEvent>();
  /** All that the daemons on this directory have reported. */
  readonly reported: DaemonEvent[] = [];

  static async make(): Promise<LoopbackHost> {
    const base = await mkdtemp(join(tmpdir(), 'host-'));
    const directory = join(base, 'xen');
    await mkdir(directory);
    writeCapturedTree(join(base, 'sysfs'));
    return new LoopbackHost(directory, join(base, 'sysfs'));
  }

  private constructor(directory: string, tree: string) {
    this.directory = directory;
    this.#tree = tree;
  }

  /** Starts the daemon and waits until it is ready. */
  async serve(hide: string, ...more: readonly string[]): Promise<void> {
    const options = ['serve', '--loopback', this.directory, '--sysfs', this.#tree, '--workers', '1', ...more];
    if (hide !== '') options.push('--hide', hide);
    const daemon = spawn(process.execPath, [pciback, ...options], { stdio: ['ignore', 'pipe', 'inherit'] });
    this.#daemon = daemon;
    // A test that runs out of time is not waited for; its daemon must not outlive it.
    process.once('exit', this.#kill);
    const events = new ReplaySubject<DaemonEvent>();
    this.#events = events;
    events.subscribe((event) => this.reported.push(event));
    createInterface({ input: daemon.stdout })
      .on('line', (line) => events.next(JSON.parse(line) as DaemonEvent))
      .on('close', () => events.complete());
    await this.until(({ type }) => type === 'backend.ready');
  }

  /** The first event of the daemon that runs now, past or to come, of which `isIt` holds. Rejects when it ends before. */
  until(isIt: (event: DaemonEvent) => boolean): Promise<DaemonEvent> {
    return firstValueFrom(this.#events.pipe(filter(isIt)));
  }

  /** Runs another command of pciback on the directory, and returns what it printed. */
  async pciback(...words: readonly string[]): Promise<string> {
    const [command = '', ...rest] = words;
    const waits = ['attach', 'detach'].includes(command) ? ['--timeout', String(patience / 1000)] : [];
    const options = [pciback, command, '--loopback', this.directory, ...waits, ...rest];
    return (await promisify(execFile)(process.execPath, options)).stdout;
  }

  /** Ends the daemon; returns its exit code or the signal that ended it. */
  async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<number | NodeJS.Signals | null> {
    const daemon = this.#daemon;
    this.#daemon = null;
    if (!daemon || daemon.exitCode !== null || daemon.signalCode !== null) return daemon?.exitCode ?? null;
    const ended = once(daemon, 'exit');
    daemon.kill(signal);
    const [code, by] = (await ended) as [number | null, NodeJS.Signals | null];
    return by ?? code;
  }

  readonly #kill = (): void => {
    this.#daemon?.kill('SIGKILL');
    rmSync(join(this.directory, '..'), { recursive: true, force: true });
  };

  /** The embedded xenstored ends by itself when the directory is gone. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
    process.off('exit', this.#kill);
    await rm(join(this.directory, '..'), { recursive: true, force: true });
  }
}
