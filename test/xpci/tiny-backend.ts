/**
 * A back-end of a few lines for guests that are processes: plays toolstack and domain 0 over a real xenstored, and answers a
 * real ring from functions that are RAM.
 */
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Hypervisor } from '../../src/host/hypervisor.ts';
import type { Ring } from '../../src/host/platform.ts';
import { Command, OpWord } from '../../src/ring/layout.ts';
import { again, XenstoreClient } from '../../src/xenstore/index.ts';
import { Xenstored } from '../../src/xenstore/server/index.ts';
import { createDomain, GuestProcess, type GuestProcessOptions } from '../../src/xpci/index.ts';
import { patience } from '../bounds.ts';
import { FakeHost } from './fake-host.ts';

export class TinyBackend implements AsyncDisposable {
  readonly host = new FakeHost();
  readonly directory: string;
  readonly hypervisor: Hypervisor;
  readonly store: XenstoreClient;
  readonly #xenstored: Xenstored;
  readonly #guests: GuestProcess[] = [];
  #ring: Ring | null = null;
  /** While true, requests are left lying. */
  isDeaf = false;

  static async start(): Promise<TinyBackend> {
    const directory = await mkdtemp(join(tmpdir(), 'xpci-'));
    // What "pciback serve" makes on its start.
    for (const made of ['gnt', 'evt/0']) await mkdir(join(directory, made), { recursive: true });
    const xenstored = await Xenstored.start({ directory });
    const store = await XenstoreClient.connect({ path: xenstored.socketPath });
    return new TinyBackend(directory, xenstored, store);
  }

  private constructor(directory: string, xenstored: Xenstored, store: XenstoreClient) {
    this.directory = directory;
    this.#xenstored = xenstored;
    this.store = store;
    this.hypervisor = Hypervisor.loopback(directory);
  }

  /** Makes a domain and its guest's process. */
  async startGuest(domid: number, options: Partial<GuestProcessOptions> = {}): Promise<GuestProcess> {
    await createDomain(this.directory, domid);
    const guest = new GuestProcess({ directory: this.directory, domid, patience, ...options });
    this.#guests.push(guest);
    return guest;
  }

  /** What the toolstack writes for a domain with one function, and a back-end that is ready for its front-end. */
  async offer(domid: number, magic = '7'): Promise<void> {
    const backend = backendOf(domid);
    const frontend = frontendOf(domid);
    await this.store.transaction(async (transaction) => {
      for (const [directory, perms] of [
        [`/local/domain/${domid}`, ['n0', `r${domid}`]],
        [backend, ['n0', `r${domid}`]],
        [frontend, [`n${domid}`, 'r0']],
      ] as const) {
        await transaction.mkdir(directory);
        await transaction.setPerms(directory, perms);
      }
      const keys = {
        [`${backend}/frontend`]: frontend,
        [`${backend}/frontend-id`]: String(domid),
        [`${backend}/num_devs`]: '1',
        [`${backend}/dev-0`]: '0000:03:00.0',
        [`${backend}/vdev-0`]: '0000:00:00.00',
        [`${backend}/state-0`]: '3',
        [`${backend}/root-0`]: '0000:00',
        [`${backend}/root_num`]: '1',
        [`${backend}/state`]: '3',
        [`${frontend}/backend`]: backend,
        [`${frontend}/backend-id`]: '0',
        [`${frontend}/state`]: '1',
      };
      for (const [path, value] of Object.entries(keys)) await transaction.write(path, value);
    });
    await this.frontEndState(domid, '3');
    const [ref, port, written] = await Promise.all(
      ['pci-op-ref', 'event-channel', 'magic'].map((key) => this.store.read(`${frontend}/${key}`)),
    );
    if (written !== magic) throw new Error(`the magic is ${written}`);
    this.#ring?.close();
    this.#ring = this.hypervisor.openRing(domid, Number(ref), Number(port), () => this.#serve());
    await this.setState(domid, 4);
  }

  /** Waits until the front-end's state is this one. */
  async frontEndState(domid: number, state: string): Promise<void> {
    await this.store.wait(
      async (reader) => ((await reader.read(`${frontendOf(domid)}/state`)) === state ? true : again),
      { timeoutMs: patience, what: `domain ${domid} to go to ${state}` },
    );
  }

  setState(domid: number, state: number): Promise<void> {
    return this.store.write(`${backendOf(domid)}/state`, String(state));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const guest of this.#guests) await guest.kill();
    this.#ring?.close();
    this.hypervisor.close();
    this.store.close();
    this.#xenstored.close();
    await rm(this.directory, { recursive: true, force: true });
  }

  #serve(): void {
    const ring = this.#ring;
    if (!ring) return;
    while (!this.isDeaf && ring.look(100) === 'request') {
      const { op } = ring;
      const isMsix = op[OpWord.cmd] === Command.enableMsix;
      const count = op[OpWord.value] ?? 0;
      // The copy stays as it is, since the request is looked for in the page by it; only vectors are put into it.
      const answered = op.slice();
      const err = this.host.exchange(answered) ?? 0;
      const vectors = isMsix && err === 0 ? count : 0;
      for (let at = OpWord.msixEntries; at < OpWord.msixEntries + vectors; at++) {
        op[at] = ((op[at] ?? 0) & ~0xffff) | ((answered[at] ?? 0) & 0xffff);
      }
      ring.answer(err, answered[OpWord.value] ?? 0, vectors);
    }
    ring.rearm();
  }
}

const backendOf = (domid: number): string => `/local/domain/0/backend/pci/${domid}/0`;
const frontendOf = (domid: number): string => `/local/domain/${domid}/device/pci/0`;
