/** A xenstored on a directory of its own, with the two ends of a guest's PCI device played by hand. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import { formatVdev, makeSbdf } from '../../src/address.ts';
import { backendPath, frontendPath, XenbusState } from '../../src/xenbus/index.ts';
import { again, XenstoreClient } from '../../src/xenstore/index.ts';
import { Xenstored } from '../../src/xenstore/server/index.ts';
import { patience } from '../bounds.ts';

const { Initialising, InitWait, Initialised, Connected, Closing, Closed, Reconfiguring, Reconfigured } =
  XenbusState;

export class Loopback {
  readonly directory: string;
  readonly store: XenstoreClient;

  static async start(): Promise<Loopback> {
    const directory = await mkdtemp(join(tmpdir(), 'pciback-toolstack-'));
    const xenstored = await Xenstored.start({ directory });
    const store = await XenstoreClient.connect({ path: xenstored.socketPath });
    onTestFinished(async () => {
      store.close();
      xenstored.close();
      await rm(directory, { recursive: true });
    });
    return new Loopback(directory, store);
  }

  private constructor(directory: string, store: XenstoreClient) {
    this.directory = directory;
    this.store = store;
  }

  async createDomain(domid: number): Promise<void> {
    await writeFile(join(this.directory, 'dom', String(domid)), 'running\n');
  }

  /** All nodes below a path, as `xenstore-ls -fp` prints them, without the path itself. */
  async list(path: string): Promise<readonly string[]> {
    const lines: string[] = [];
    const visit = async (node: string): Promise<void> => {
      for (const name of (await this.store.directory(node)) ?? []) {
        const child = `${node}/${name}`;
        const perms = (await this.store.getPerms(child))?.join(',');
        lines.push(`${child.slice(path.length + 1)} = "${await this.store.read(child)}" (${perms})`);
        await visit(child);
      }
    };
    await visit(path);
    return lines;
  }

  readState(path: string): Promise<number> {
    return this.store.read(`${path}/state`).then((text) => Number(text ?? 0));
  }

  setState(path: string, state: XenbusState): Promise<void> {
    return this.store.write(`${path}/state`, String(state));
  }

  /** Waits until the key has this value. */
  async awaitValue(path: string, value: string): Promise<void> {
    await this.store.wait(async (reader) => ((await reader.read(path)) === value ? true : again), {
      timeoutMs: patience,
      what: `${path} = ${value}`,
    });
  }
}

/** A back-end that does what one does when nothing goes wrong, or refuses the functions it is told to refuse. */
export class PlayedBackend {
  readonly #loopback: Loopback;
  readonly #domid: number;
  readonly #base: string;
  readonly refuses = new Set<string>();

  constructor(loopback: Loopback, domid: number) {
    this.#loopback = loopback;
    this.#domid = domid;
    this.#base = backendPath(domid);
  }

  /** From InitWait to Initialised: exports everything that is listed. */
  async start(): Promise<void> {
    await this.#loopback.awaitValue(`${this.#base}/state`, String(Initialising));
    await this.#loopback.setState(this.#base, InitWait);
    await this.scan();
    await this.#loopback.setState(this.#base, Initialised);
  }

  /** Exports what is new, takes back what is to go. */
  async scan(): Promise<void> {
    const { store } = this.#loopback;
    const count = Number(await store.read(`${this.#base}/num_devs`));
    for (let index = 0; index < count; index += 1) {
      const state = await store.read(`${this.#base}/state-${index}`);
      const dev = (await store.read(`${this.#base}/dev-${index}`)) ?? '';
      if (state === String(Initialising) && !this.refuses.has(dev)) {
        await store.write(`${this.#base}/vdev-${index}`, formatVdev(makeSbdf(0, 0, index + 1, 0)));
        await store.write(`${this.#base}/state-${index}`, String(Initialised));
      } else if (state === String(Initialising) || state === String(Closing)) {
        const ownState = await this.#loopback.readState(this.#base);
        // In a handshake Linux leaves 5 behind; without one, 6 is the only sign that the function is back.
        if (state === String(Initialising) || ownState === Initialised) {
          await store.write(`${this.#base}/state-${index}`, String(Closed));
        }
      }
    }
  }

  connect(): Promise<void> {
    return this.#loopback.setState(this.#base, Connected);
  }

  /** Carries out a change that the front-end has followed. */
  async reconfigure(): Promise<void> {
    await this.#loopback.awaitValue(`${frontendPath(this.#domid)}/state`, String(Reconfiguring));
    await this.scan();
    await this.#loopback.setState(this.#base, Reconfigured);
    await this.#loopback.awaitValue(`${frontendPath(this.#domid)}/state`, String(Connected));
    await this.connect();
  }
}

/** A front-end that follows one change of the back-end. */
export async function followChange(loopback: Loopback, domid: number): Promise<void> {
  const [backend, frontend] = [backendPath(domid), frontendPath(domid)];
  await loopback.awaitValue(`${backend}/state`, String(Reconfiguring));
  await loopback.setState(frontend, Reconfiguring);
  await loopback.awaitValue(`${backend}/state`, String(Reconfigured));
  await loopback.setState(frontend, Connected);
}
