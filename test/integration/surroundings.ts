/** A loopback hypervisor in a directory of its own, with its domains and guests, whoever serves them. All of it ends with it. */
import { mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  type BackendEvent,
  type BackendStatus,
  type FunctionFacts,
  type Sbdf,
  demoInventory,
  formatSbdf,
  parseSbdf,
} from 'pciback';
import { type AttachResult, type Outcome, attach, defaultPciOptions, detach } from 'pciback/toolstack';
import { XenstoreClient, again } from 'pciback/xenstore';
import { GuestProcess, createDomain, destroyDomain } from 'pciback/xpci';
import { Subject, concatMap, filter, firstValueFrom, timer } from 'rxjs';
import { type ModelFunction, openModel } from '../../src/host/index.ts';
import { patience, within } from '../bounds.ts';

export { within };

/** The bundled captures, whatever this machine has. */
export const captures: readonly FunctionFacts[] = demoInventory(1, {
  bus: join(import.meta.dirname, 'no-bus'),
}).functions;

export const at = (address: string): Sbdf => {
  const sbdf = parseSbdf(address);
  if (sbdf === undefined) throw new Error(`${address} is no address`);
  return sbdf;
};

/** Some of the captures by what they are. */
export const e1000e = at('0000:41:00.0');
export const nvme = at('0000:42:00.0');
export const xhci = at('0000:43:00.0');
export const rtl8139 = at('0000:44:01.0');
export const ac97 = at('0000:44:02.0');
export const graphics = at('0000:45:00.0');
export const hdmiAudio = at('0000:45:00.1');
export const igb = at('0000:46:00.0');
export const igbvf = at('0000:46:10.0');

export type Variant = 'linux' | 'netbsd' | 'minios';

/** As `pciback.hide=` names functions. */
export const hideList = (functions: readonly Sbdf[]): string =>
  functions.map((sbdf) => `(${formatSbdf(sbdf)})`).join('');

export abstract class Surroundings implements AsyncDisposable {
  readonly directory = mkdtempSync(join(tmpdir(), 'pciback-life-'));
  /** Whatever the back-end has told, in order. */
  readonly events: BackendEvent[] = [];
  readonly #arrivals = new Subject<BackendEvent>();
  readonly #guests = new Set<GuestProcess>();
  readonly #domids = new Set<number>();
  #xenstore: XenstoreClient | undefined;

  constructor() {
    process.once('exit', this.#removeDirectory);
  }

  abstract status(): Promise<BackendStatus>;

  /** Ends whatever serves the guests, in an orderly way. */
  protected abstract end(): Promise<void>;

  protected async connect(): Promise<void> {
    this.#xenstore ??= await XenstoreClient.connect({ path: join(this.directory, 'xenstored', 'socket') });
  }

  protected note(event: BackendEvent): void {
    this.events.push(event);
    this.#arrivals.next(event);
  }

  /** With the rights of domain 0. */
  get xenstore(): XenstoreClient {
    if (!this.#xenstore) throw new Error('the host has not started');
    return this.#xenstore;
  }

  // --- waiting ------------------------------------------------------------------------------------------------------

  /** The first event of which `isIt` holds, past or to come. */
  async until(what: string, isIt: (event: BackendEvent) => boolean): Promise<BackendEvent> {
    const past = this.events.find(isIt);
    if (past) return past;
    const found = firstValueFrom(this.#arrivals.pipe(filter(isIt)));
    return within(found, () => `${what}; the last events were ${JSON.stringify(this.events.slice(-5))}`);
  }

  /** How many events of this type there were. */
  count(type: BackendEvent['type']): number {
    return this.events.filter((event) => event.type === type).length;
  }

  /** Waits until the status is so. Not everything in it is announced by an event, so it is looked at again and again. */
  async untilStatus(what: string, holds: (status: BackendStatus) => boolean): Promise<void> {
    let last: BackendStatus | undefined;
    const looks = timer(0, 5).pipe(
      concatMap(() => this.status()),
      filter((status) => holds((last = status))),
    );
    await within(firstValueFrom(looks), () => `${what}; the status is ${JSON.stringify(last)}`);
  }

  /** Waits until nobody has any of these functions and they are clean. */
  async untilHidden(...functions: readonly Sbdf[]): Promise<void> {
    const names = functions.map(formatSbdf);
    await this.untilStatus(`${names.join(', ')} to be hidden`, ({ functions: known }) =>
      names.every((name) =>
        known.some(({ sbdf, state, owner }) => sbdf === name && state === 'hidden' && owner === null),
      ),
    );
  }

  /** Waits until the back-end has nothing to do with a domain any more. */
  async untilGone(domid: number): Promise<void> {
    await this.untilStatus(
      `domain ${domid} to be forgotten`,
      ({ guests, functions }) =>
        guests.every((guest) => guest.domid !== domid) && functions.every(({ owner }) => owner !== domid),
    );
  }

  /** Waits until a key has this value; undefined when it is to be gone. */
  async untilKey(path: string, value: string | undefined): Promise<void> {
    await this.xenstore.wait(async (reader) => ((await reader.read(path)) === value ? true : again), {
      timeoutMs: patience,
      what: `${path} = ${value}`,
    });
  }

  // --- domains and their guests -------------------------------------------------------------------------------------

  /** Makes a domain without any guest in it. */
  async makeDomain(domid: number): Promise<void> {
    await createDomain(this.directory, domid);
    this.#domids.add(domid);
  }

  async destroyDomain(domid: number): Promise<void> {
    this.#domids.delete(domid);
    await destroyDomain(this.directory, domid);
  }

  attach(domid: number, ...functions: readonly Sbdf[]): Promise<AttachResult> {
    const wanted = functions.map((sbdf) => ({ sbdf, devfn: 0, options: defaultPciOptions }));
    return attach(this.xenstore, domid, wanted, { timeoutMs: patience });
  }

  detach(domid: number, ...functions: readonly Sbdf[]): Promise<Outcome> {
    return detach(this.xenstore, domid, functions, { timeoutMs: patience });
  }

  /** Starts the guest of a domain that exists. It gives no request up while the test still waits for its answer. */
  guestProcess(domid: number, variant: Variant = 'linux'): GuestProcess {
    const { directory } = this;
    const guest = new GuestProcess({ directory, domid, variant, ...(variant === 'linux' && { patience }) });
    this.#guests.add(guest);
    void guest.exited.then(() => this.#guests.delete(guest));
    return guest;
  }

  /** Waits until guests that make requests without end have been answered some more. */
  async untilAnswered(...guests: readonly GuestProcess[]): Promise<void> {
    const answered = guests.map(async (guest) => {
      const { requests } = await guest.call('status', {});
      while ((await guest.call('status', {})).requests === requests);
    });
    await within(Promise.all(answered), () => 'more answers');
  }

  /** What a toolstack does for `pci = [...]`; then the guest boots and scans its bus. */
  async boot(domid: number, functions: readonly Sbdf[], variant: Variant = 'linux'): Promise<GuestProcess> {
    await this.makeDomain(domid);
    const attached = await this.attach(domid, ...functions);
    if (attached.outcome !== 'completed') throw new Error(`${attached.outcome}: ${attached.why}`);
    const guest = this.guestProcess(domid, variant);
    await guest.connected();
    return guest;
  }

  /** Kills every guest and destroys every domain; resolves when the back-end has cleaned up after them. */
  async removeGuests(): Promise<void> {
    await Promise.all([...this.#guests].map((guest) => guest.kill()));
    const domids = [...this.#domids];
    for (const domid of domids) await this.destroyDomain(domid);
    for (const domid of domids) await this.untilGone(domid);
  }

  // --- what there is to see -----------------------------------------------------------------------------------------

  /** The model of a function, to see and to touch what the hardware holds. */
  hardware(sbdf: Sbdf): ModelFunction {
    // The same number, of the same kind in the sources as in the package.
    return openModel(this.directory, sbdf as number as Parameters<typeof openModel>[1]);
  }

  /** Whatever xenstore holds of a domain and of these functions' claims. */
  async traces(domid: number, ...functions: readonly Sbdf[]): Promise<readonly string[]> {
    const claims = functions.map((sbdf) => `/libxl/pci/${formatSbdf(sbdf).replaceAll(/[:.]/g, '-')}/domid`);
    const paths = [`/local/domain/0/backend/pci/${domid}`, `/local/domain/${domid}`, ...claims];
    const values = await Promise.all(paths.map((path) => this.xenstore.read(path)));
    return paths.filter((_, index) => values[index] !== undefined);
  }

  /** Local ends of event channels: one for each guest that is connected. */
  ports(): readonly string[] {
    return readdirSync(join(this.directory, 'evt/0')).filter((name) => /^\d+$/.test(name));
  }

  /** The processes that serve, or wait to serve. */
  processes(): readonly number[] {
    return readdirSync('/proc')
      .filter((name) => /^\d+$/.test(name))
      .filter((pid) => {
        const words = commandLine(pid);
        return words[2] === 'serve' && words.includes(this.directory);
      })
      .map(Number);
  }

  /** The process ids of the embedded xenstored: one, or none. */
  xenstoreds(): readonly number[] {
    return readdirSync('/proc')
      .filter((name) => /^\d+$/.test(name))
      .filter((pid) => {
        const [, , command, , directory] = commandLine(pid);
        return command === 'xenstored' && directory === this.directory;
      })
      .map(Number);
  }

  /** Ends the embedded xenstored as a crash would. */
  killXenstored(): void {
    for (const pid of this.xenstoreds()) process.kill(pid, 'SIGKILL');
  }

  /** Ends everything that serves this host, as crashes would. */
  protected async killAll(): Promise<void> {
    const left = this.processes();
    for (const pid of left) process.kill(pid, 'SIGKILL');
    this.killXenstored();
    while (this.processes().length > 0) await within(new Promise(setImmediate), () => 'processes to end');
  }

  readonly #removeDirectory = (): void => rmSync(this.directory, { recursive: true, force: true });

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([...this.#guests].map((guest) => guest.kill()));
    for (const domid of this.#domids) await destroyDomain(this.directory, domid);
    await this.end();
    this.#xenstore?.close();
    // A xenstored that was left alone ends by itself when its directory is gone.
    this.#removeDirectory();
    process.off('exit', this.#removeDirectory);
  }
}

/** The words of a process's command line; none when it has just ended. */
function commandLine(pid: string): readonly string[] {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
  } catch {
    return [];
  }
}
