/**
 * A guest that comes up, and one that is taken over, played with everything that takes part in it, but on a hypervisor in a directory of
 * its own. V8 compiles a function when it is first called and knows its types when it has been called a few times: what is done for the
 * first time takes ten times as long as what was done before, and a guest waits for it.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setFlagsFromString } from 'node:v8';
import type { Piscina } from 'piscina';
import type { Subscription } from 'rxjs';
import type { WarmUp, WorkerTask } from '../../workers/messages.ts';
import { type Sbdf, makeSbdf } from '../address.ts';
import {
  FrontRing,
  type Platform,
  type PlatformOptions,
  openPlatform,
  sampleFunction,
  seizeFunction,
} from '../host/index.ts';
import { protocolMagic } from '../ring/layout.ts';
import { addEntry, defaultPciOptions, makeDirectories } from '../toolstack/index.ts';
import { XenbusState, backendPath, frontendKeyNames, frontendPath } from '../xenbus/index.ts';
import { XenstoreClient, again } from '../xenstore/index.ts';
import { Xenstored } from '../xenstore/server/index.ts';
import { prepareLoopback } from './directories.ts';
import { type Engine, type EngineOptions, inherit, openEngine } from './engine.ts';
import { follow } from './follow.ts';
import { StateDirectory, removeTree } from './state-directory.ts';

/**
 * Milliseconds that one step may take. An emulated machine needs seconds, and minutes beside a guest that never stops asking. The daemon
 * that serves the guests meanwhile can wait for that.
 */
const patience = 120_000;

interface Stage {
  readonly platform: Platform;
  readonly xenstore: XenstoreClient;
  readonly domid: number;
  readonly sbdf: Sbdf;
}

export class Rehearsal {
  readonly #pool: Piscina<WorkerTask, void>;
  readonly #where: WarmUp['rehearsal'];
  readonly #playing = new Set<Promise<void>>();
  #guest: Promise<void> | undefined;

  /** `where` says on what kind of platform guests will be served; `directory` is an empty one, to be removed in the end. */
  constructor(pool: Piscina<WorkerTask, void>, where: PlatformOptions, directory: string) {
    this.#pool = pool;
    // V8 forgets what it has compiled when it has not been used for a while, and a stand-in may wait for months.
    setFlagsFromString('--no-flush-bytecode');
    prepareLoopback(directory);
    this.#where = { kind: where.kind === 'xen' ? 'rehearsal' : 'loopback', directory };
  }

  /**
   * Every thread serves requests; each opens the platform that it will be needed on. Rejects when one cannot. Threads that have guests may
   * be passed over.
   */
  ofThreads(where: PlatformOptions): Promise<void> {
    // As many at once as there are threads: each gets one.
    const tasks = Array.from({ length: this.#threads }, (_, index) =>
      this.#pool.run({ warmUp: where, rehearsal: this.#where, domid: index + 1 }),
    );
    // Those that go on write into the directory.
    return this.#note(
      Promise.allSettled(tasks)
        .then(() => Promise.all(tasks))
        .then(() => undefined),
    );
  }

  /** A guest is given a function, comes up, and is taken over by a successor; once, however often this is called. */
  ofGuest(): Promise<void> {
    return (this.#guest ??= this.#note(this.#playGuest()));
  }

  /** Removes the directory when everything has come to its end. Never rejects. */
  async end(): Promise<void> {
    await Promise.allSettled(this.#playing);
    removeTree(this.#where.directory);
  }

  get #threads(): number {
    return this.#pool.options.maxThreads;
  }

  #note(playing: Promise<void>): Promise<void> {
    this.#playing.add(playing);
    playing.catch(() => undefined);
    return playing;
  }

  async #playGuest(): Promise<void> {
    const { directory } = this.#where;
    // The threads are the domains before it.
    const domid = this.#threads + 1;
    const platform = openPlatform(this.#where);
    writeFileSync(join(directory, 'dom', String(domid)), 'running');
    const xenstored = await Xenstored.start({ directory });
    const xenstore = await XenstoreClient.connect({ path: xenstored.socketPath });
    const stage: Stage = { platform, xenstore, domid, sbdf: makeSbdf(0, domid & 0xff, 0, 0) };
    try {
      await this.#serve(stage, (engine) => this.#comeUp(stage, engine));
      await this.#serve(stage, async () => undefined);
    } finally {
      xenstore.close();
      xenstored.close();
      platform.close();
    }
  }

  /** As one back-end after the other does it, which lets go of the guest as a killed one does. */
  async #serve(stage: Stage, act: (engine: Engine) => Promise<void>): Promise<void> {
    const { platform, xenstore, domid } = stage;
    const subscriptions: Subscription[] = [];
    let isReady = true;
    const parts = { platform, pool: this.#pool, xenstore, inventory: { functions: [], warnings: [] } };
    const state = new StateDirectory(join(this.#where.directory, 'state'), () => undefined);
    const options: EngineOptions = {
      where: this.#where,
      state,
      topology: 'vpci',
      isReady: () => isReady,
      emit: () => undefined,
    };
    const engine = openEngine(parts, inherit(parts, options), options);
    try {
      await follow(xenstore, engine.guests, subscriptions, () => undefined);
      await engine.guests.sessionOf(domid)?.settled();
      await act(engine);
    } finally {
      isReady = false;
      for (const subscription of subscriptions) subscription.unsubscribe();
      await engine.guests.sessionOf(domid)?.handOver();
      state.saver.close();
    }
  }

  async #comeUp(stage: Stage, { registry }: Engine): Promise<void> {
    const { platform, xenstore, domid, sbdf } = stage;
    const taken = await platform.takeFromHost(sampleFunction(sbdf), false);
    const hardware = platform.openFunction(sbdf);
    registry.add(taken, seizeFunction(hardware, taken.facts));
    hardware.close();
    await xenstore.transaction(async (tx) => {
      await makeDirectories(tx, domid, XenbusState.InitWait);
      await addEntry(tx, domid, 0, { sbdf, devfn: 0, options: defaultPciOptions });
    });
    const front = new FrontRing(this.#where.directory, domid);
    await this.#backEnd(stage, XenbusState.Initialised);
    await xenstore.transaction(async (tx) => {
      const values = [String(front.ref), String(front.port), protocolMagic];
      for (const [index, key] of frontendKeyNames.entries())
        await tx.write(`${frontendPath(domid)}/${key}`, values[index] ?? '');
      await tx.write(`${frontendPath(domid)}/state`, String(XenbusState.Initialised));
    });
    await this.#backEnd(stage, XenbusState.Connected);
    await xenstore.write(`${frontendPath(domid)}/state`, String(XenbusState.Connected));
  }

  async #backEnd({ xenstore, domid }: Stage, state: XenbusState): Promise<void> {
    await xenstore.wait(
      async (reader) => (await reader.read(`${backendPath(domid)}/state`)) === String(state) || again,
      { timeoutMs: patience, what: 'the guest of the rehearsal' },
    );
  }
}
