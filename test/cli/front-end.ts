/** The front-end of a guest in this process, for a daemon that is another one: requests wait for their answer. */
import { filter, firstValueFrom } from 'rxjs';
import { onTestFinished } from 'vitest';
import type { Sbdf } from '../../src/address.ts';
import {
  connectGuest,
  type ConfigSpace,
  FrontEnd,
  type GuestBus,
  linux,
  LoopbackHypervisor,
} from '../../src/xpci/index.ts';
import { XenbusState } from '../../src/xenbus/index.ts';
import { patience } from '../bounds.ts';

export class TestGuest {
  readonly #frontEnd: FrontEnd;

  /** Comes up in a domain that exists, and to which functions are attached already. */
  static async start(directory: string, domid: number): Promise<TestGuest> {
    const connection = await connectGuest(directory, domid);
    const frontEnd = new FrontEnd({
      store: connection.store,
      hypervisor: new LoopbackHypervisor(directory, domid),
      variant: { ...linux, answerTimeout: patience },
    });
    onTestFinished(async () => {
      await frontEnd.close();
      connection.close();
    });
    await firstValueFrom(
      frontEnd.events.pipe(
        filter((event) => event.type === 'state' && event.state === XenbusState.Connected),
      ),
    );
    return new TestGuest(frontEnd);
  }

  private constructor(frontEnd: FrontEnd) {
    this.#frontEnd = frontEnd;
  }

  get bus(): GuestBus {
    const { bus } = this.#frontEnd;
    if (!bus) throw new Error('not connected');
    return bus;
  }

  /** The functions that it found, in order. */
  get addresses(): readonly Sbdf[] {
    return this.bus.functions.map(({ address }) => address);
  }

  /** The configuration space of its first function. */
  get config(): ConfigSpace {
    const [first] = this.addresses;
    if (first === undefined) throw new Error('it found no function');
    return this.bus.config(first);
  }

  /** Closes as a guest that shuts down. */
  close(): Promise<void> {
    return this.#frontEnd.close();
  }
}
