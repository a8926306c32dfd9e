/** Who takes part: a loopback host with its back-end, and guests that are processes. Everything is gone when it ends. */
import { mkdtempSync } from 'node:fs';
import { rm } from 'node:fs/promises';
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
  readonly #domids: number[] = [];
  readonly #guests: Guest[] = [];
  #xenstore: XenstoreClient | undefined;
  #gathering: Promise<void> = Promise.resolve();
  #over = false;

  /** A host in a directory of its own that has these functions. It has to be disbanded, whatever comes of it. */
  constructor(functions: readonly FunctionFacts[], onEvent: (event: BackendEvent) => void) {
    this.#directory = mkdtempSync(join(tmpdir(), 'pciback-demo-'));
    this.backend = new PciBackend({
      platform: { kind: 'loopback', directory: this.#directory },
      functions,
    });
    this.backend.events$.subscribe(onEvent);
  }

  /** Starts the back-end and its xenstored. */
  gather(): Promise<void> {
    this.#gathering = (async () => {
      await this.backend.start();
      this.#xenstore = await XenstoreClient.connect({ path: join(this.#directory, 'xenstored', 'socket') });
    })();
    return this.#gathering;
  }

  /** What a toolstack does for `pci = [...]`, then the guest boots and scans its bus. */
  async boot(domid: number, name: string, functions: readonly Sbdf[]): Promise<Guest> {
    this.#expectStage();
    this.#domids.push(domid);
    await createDomain(this.#directory, domid);
    await this.attach(domid, functions);
    this.#expectStage();
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

  /**
   * Ends guests, domains, back-end and xenstored, and removes the directory. May be called at any time, also while something
   * else is under way, which then fails. Guests are shut down, or `atOnce` killed: a busy one answers late.
   */
  async disband({ atOnce }: { readonly atOnce: boolean }): Promise<void> {
    this.#over = true;
    await Promise.all(
      this.#guests.map(({ process }) =>
        atOnce ? process.kill() : process.shutdown().catch(() => process.kill()),
      ),
    );
    for (const domid of this.#domids) await destroyDomain(this.#directory, domid);
    await this.backend.stop();
    await this.#gathering.catch(() => undefined);
    this.#xenstore?.close();
    await rm(this.#directory, { recursive: true, force: true });
  }

  /** Nobody may come when all are leaving. */
  #expectStage(): void {
    if (this.#over) throw new Error('the demonstration is over');
  }

  #store(): XenstoreClient {
    if (!this.#xenstore) throw new Error('nobody has gathered');
    return this.#xenstore;
  }
}

function must(outcome: Outcome): void {
  if (outcome.outcome !== 'completed') throw new Error(`${outcome.outcome}: ${outcome.why}`);
}
