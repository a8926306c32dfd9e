/** Both ends of a guest's PCI device, played by hand: what a toolstack writes, and what a front-end writes. */
import { type Sbdf, formatSbdf } from 'pciback';
import { again } from 'pciback/xenstore';
import { FrontRing } from '../../src/host/index.ts';
import { Command, OpWord, opSize } from '../../src/ring/layout.ts';
import { XenbusState, backendPath, domainPath, errorPath, frontendPath } from '../../src/xenbus/index.ts';
import { patience, within } from '../bounds.ts';
import type { Surroundings } from './surroundings.ts';
import { WriteLog } from './write-log.ts';

const { Initialising, Initialised, Connected, Reconfiguring, Reconfigured } = XenbusState;

type Keys = Readonly<Record<string, string | number>>;

/** What libxl writes of one function as number `index`. */
export const listing = (index: number, sbdf: Sbdf, state: number = Initialising): Keys => ({
  [`key-${index}`]: formatSbdf(sbdf),
  [`dev-${index}`]: formatSbdf(sbdf),
  [`opts-${index}`]: 'msitranslate=0,power_mgmt=0,permissive=0,rdm_policy=strict',
  [`state-${index}`]: state,
  num_devs: index + 1,
});

export interface Answer {
  readonly err: number;
  /** Unsigned. */
  readonly value: number;
}

export class Script implements AsyncDisposable {
  readonly domid: number;
  /** What is written into the back-end's directory, by whomever. */
  readonly log: WriteLog;
  readonly #host: Surroundings;
  #ring: FrontRing | undefined;

  /** A domain that nobody has written anything for. */
  static async begin(host: Surroundings, domid: number): Promise<Script> {
    await host.makeDomain(domid);
    await host.xenstore.wait(
      async (reader) => {
        await reader.read(domainPath(domid));
        return (await host.xenstore.isIntroduced(domid)) ? true : again;
      },
      { timeoutMs: patience },
    );
    return new Script(host, domid, await WriteLog.of(host.directory, backendPath(domid)));
  }

  private constructor(host: Surroundings, domid: number, log: WriteLog) {
    this.#host = host;
    this.domid = domid;
    this.log = log;
  }

  get backPath(): string {
    return backendPath(this.domid);
  }

  get frontPath(): string {
    return frontendPath(this.domid);
  }

  back(key: string): Promise<string | undefined> {
    return this.#host.xenstore.read(`${this.backPath}/${key}`);
  }

  front(key: string): Promise<string | undefined> {
    return this.#host.xenstore.read(`${this.frontPath}/${key}`);
  }

  /** Everything in the back-end's directory. */
  async all(): Promise<Record<string, string | undefined>> {
    const names = (await this.#host.xenstore.directory(this.backPath)) ?? [];
    return Object.fromEntries(await Promise.all(names.map(async (name) => [name, await this.back(name)])));
  }

  error(): Promise<string | undefined> {
    return this.#host.xenstore.read(errorPath(this.domid));
  }

  writeBack(keys: Keys): Promise<void> {
    return this.#write(this.backPath, keys);
  }

  writeFront(keys: Keys): Promise<void> {
    return this.#write(this.frontPath, keys);
  }

  /** All keys or none, in this order. */
  async #write(base: string, keys: Keys): Promise<void> {
    await this.#host.xenstore.transaction(async (tx) => {
      for (const [key, value] of Object.entries(keys)) await tx.write(`${base}/${key}`, String(value));
    });
  }

  untilBack(key: string, value: string | number): Promise<void> {
    return this.#host.untilKey(`${this.backPath}/${key}`, String(value));
  }

  /** The directories as libxl makes them, with these functions. */
  async create(...functions: readonly Sbdf[]): Promise<void> {
    await this.createFrontend();
    await this.createBackend(...functions);
  }

  createFrontend(): Promise<void> {
    return this.writeFront({ backend: this.backPath, 'backend-id': 0, state: Initialising });
  }

  createBackend(...functions: readonly Sbdf[]): Promise<void> {
    return this.writeBack({
      frontend: this.frontPath,
      'frontend-id': this.domid,
      online: 1,
      state: Initialising,
      domain: `guest-${this.domid}`,
      ...Object.assign({}, ...functions.map((sbdf, index) => listing(index, sbdf))),
    });
  }

  /** Grants a new page and a new port, and says so. */
  async publish(keys: Keys = {}): Promise<void> {
    const before = this.#ring;
    this.#ring = new FrontRing(this.#host.directory, this.domid);
    const { ref, port } = this.#ring;
    await this.writeFront({ 'pci-op-ref': ref, 'event-channel': port, magic: 7, ...keys });
    await this.writeFront({ state: Initialised });
    before?.close();
  }

  /** From nothing to both ends at Connected. */
  async connect(...functions: readonly Sbdf[]): Promise<void> {
    await this.create(...functions);
    await this.untilBack('state', Initialised);
    await this.publish();
    await this.untilBack('state', Connected);
    await this.writeFront({ state: Connected });
  }

  /** Follows a change that the toolstack has asked for. */
  async reconfigure(keys: Keys): Promise<void> {
    await this.writeBack({ ...keys, state: Reconfiguring });
    await this.writeFront({ state: Reconfiguring });
    await this.untilBack('state', Reconfigured);
    await this.writeFront({ state: Connected });
    await this.untilBack('state', Connected);
  }

  /** The page and the port that were published last. */
  get ring(): FrontRing {
    if (!this.#ring) throw new Error('nothing was published');
    return this.#ring;
  }

  /** What a read of the guest's function in slot `device` of its bus is answered with. */
  read(device: number, offset = 0, size = 4): Promise<Answer> {
    return this.request({ cmd: Command.confRead, devfn: device << 3, offset, size });
  }

  write(device: number, offset: number, size: number, value: number): Promise<Answer> {
    return this.request({ cmd: Command.confWrite, devfn: device << 3, offset, size, value });
  }

  /** Makes a request and waits for its answer. */
  async request(
    fields: Partial<Record<'cmd' | 'devfn' | 'offset' | 'size' | 'value', number>>,
  ): Promise<Answer> {
    const op = new Int32Array(opSize / Int32Array.BYTES_PER_ELEMENT);
    for (const [field, value] of Object.entries(fields)) op[OpWord[field as keyof typeof fields]] = value;
    await this.ask(op);
    return { err: op[OpWord.err] ?? 0, value: (op[OpWord.value] ?? 0) >>> 0 };
  }

  /** Makes a request; its answer takes its place. The back-end may live on this very thread, so this must not block it. */
  async ask(op: Int32Array): Promise<void> {
    const { ring } = this;
    const answered = new Promise<void>((resolve) => {
      ring.onEvent(() => {
        if (ring.poll(op)) resolve();
      });
    });
    ring.submit(op);
    await within(answered, () => 'an answer');
    ring.onEvent(null);
  }

  removeBackend(): Promise<void> {
    return this.#host.xenstore.rm(this.backPath);
  }

  removeFrontend(): Promise<void> {
    return this.#host.xenstore.rm(this.frontPath);
  }

  /** The domain is destroyed, its toolstack cleans up, and the back-end has done so too. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.log.close();
    this.#ring?.close();
    await this.#host.destroyDomain(this.domid);
    await this.removeBackend();
    await this.#host.untilGone(this.domid);
  }
}
