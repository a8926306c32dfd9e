/** A host whose back-end is `pciback serve --stand-in`, of which nothing can be heard: it is asked how it is. */
import { join } from 'node:path';
import type { BackendEvent, BackendStatus, Sbdf } from 'pciback';
import { concatMap, filter, firstValueFrom, timer } from 'rxjs';
import { ControlClient } from '../../src/monitor/index.ts';
import { writeFunction } from '../host/support/tree.ts';
import { within } from '../bounds.ts';
import { pciback } from './daemon.ts';
import { Surroundings, captures, hideList } from './surroundings.ts';

export class DeafHost extends Surroundings {
  readonly #hidden: readonly Sbdf[];

  constructor(...hidden: readonly Sbdf[]) {
    super();
    this.#hidden = hidden;
    for (const facts of captures) {
      // The same facts, of the same shape in the sources as in the package.
      writeFunction(join(this.directory, 'sysfs'), facts as unknown as Parameters<typeof writeFunction>[1]);
    }
  }

  /** The command that serves it. */
  get command(): readonly string[] {
    const where = ['--loopback', this.directory, '--sysfs', join(this.directory, 'sysfs')];
    const how = ['--hide', hideList(this.#hidden), '--workers', '1', '--stand-in'];
    return [process.execPath, pciback, 'serve', ...where, ...how];
  }

  /** Waits until this process serves. */
  async untilServed(pid: number): Promise<void> {
    const looks = timer(0, 20).pipe(
      concatMap(() => this.status().catch(() => undefined)),
      filter((status) => status?.pid === pid && status.state === 'ready'),
    );
    await within(firstValueFrom(looks), () => `process ${pid} to serve`);
    await this.connect();
  }

  /** Waits until another process is ready to take over, and returns its id. */
  async untilStandIn(): Promise<number> {
    await this.untilStatus('a stand-in', ({ standIn }) => standIn !== null);
    return Number((await this.status()).standIn);
  }

  /** Takes note of a line that it has printed after all. */
  hear(line: string): void {
    this.note(JSON.parse(line) as BackendEvent);
  }

  async ask(method: string, params: Readonly<Record<string, unknown>> = {}): Promise<unknown> {
    const client = await ControlClient.connect(join(this.directory, 'state/control.sock'));
    try {
      return await client.call(method, params);
    } finally {
      client.close();
    }
  }

  override status(): Promise<BackendStatus> {
    return this.ask('status') as Promise<BackendStatus>;
  }

  protected override async end(): Promise<void> {
    await this.killAll();
  }
}
