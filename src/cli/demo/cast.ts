/** Who takes part: a loopback host with its back-end, and guests that are processes. Everything is gone when it ends. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type BackendEvent, type FunctionFacts, PciBackend, type Sbdf } from '../../index.ts';
import { type Outcome, attach, defaultPciOptions, detach } from '../../toolstack/index.ts';
import { XenstoreClient } from '../../xenstore/index.ts';
import { GuestProcess, createDomain, destroyDomain } from '../../xpci/index.ts';

export interface Guest {
  readonly domid: number;
  readonly name: string;
  readonly process: GuestProcess;
}

export class Cast {
  readonly backend: PciBackend;
  readonly #directory: string;
  readonly #guests: Guest[] = [];
  #xenstore: XenstoreClient | undefined;

  private constructor(directory: string, functions: readonly FunctionFacts[]) {
    this.#directory = directory;
    this.backend = new PciBackend({ platform: { kind: 'loopback', directory }, functions });
  }

  /** A host in a directory of its own that has these functions. */
  static async gather(
    functions: readonly FunctionFacts[],
    onEvent: (event: BackendEvent) => void,
  ): Promise<Cast> {
    const cast = new Cast(await mkdtemp(join(tmpdir(), 'pciback-demo-')), functions);
    cast.backend.events$.subscribe(onEvent);
    try {
      await cast.backend.start();
      cast.#xenstore = await XenstoreClient.connect({ path: join(cast.#directory, 'xenstored', 'socket') });
    } catch (error) {
      await cast.disband();
      throw error;
    }
    return cast;
  }

  /** What a toolstack does for `pci = [...]`, then the guest boots and scans its bus. */
  async boot(domid: number, name: string, functions: readonly Sbdf[]): Promise<Guest> {
    await createDomain(this.#directory, domid);
    await this.attach(domid, functions);
    const guest = { domid, name, process: new GuestProcess({ directory: this.#directory, domid }) };
    this.#guests.push(guest);
    await guest.process.connected();
    return guest;
  }

  async attach(domid: number, functions: readonly Sbdf[]): Promise<void> {
    const wanted = functions.map((sbdf) => ({ sbdf, devfn: 0, options: defaultPciOptions }));
    must(await attach(this.#store(), domid, wanted, { timeoutMs: 10_000 }));
  }

  async detach(domid: number, functions: readonly Sbdf[]): Promise<void> {
    must(await detach(this.#store(), domid, functions, { timeoutMs: 10_000 }));
  }

  /** Ends guests, domains, back-end and xenstored, and removes the directory. May be called at any time. */
  async disband(): Promise<void> {
    await Promise.all(this.#guests.map(({ process }) => process.shutdown().catch(() => process.kill())));
    for (const { domid } of this.#guests) await destroyDomain(this.#directory, domid);
    await this.backend.stop();
    this.#xenstore?.close();
    await rm(this.#directory, { recursive: true, force: true });
  }

  /** Ends guest processes at once: for an exit that does not wait. */
  abandon(): void {
    for (const { process } of this.#guests) void process.kill();
  }

  #store(): XenstoreClient {
    if (!this.#xenstore) throw new Error('nobody has gathered');
    return this.#xenstore;
  }
}

function must(outcome: Outcome): void {
  if (outcome.outcome !== 'completed') throw new Error(`${outcome.outcome}: ${outcome.why}`);
}
