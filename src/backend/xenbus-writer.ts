/**
 * What the back-end writes into its own directory. Every write first looks, in the same transaction, whether the directory
 * is still there: a toolstack that has removed it must not find it made anew. The last thing before the transaction is ended is a look
 * at whose directory it is. Another back-end that writes there before the end has reached xenstored makes the transaction fail.
 */
import type { FunctionFailure } from '../../machines/function.ts';
import { type Sbdf, formatVdev, parseSbdf } from '../address.ts';
import type { Root } from '../topology/index.ts';
import {
  XenbusState,
  backendPath,
  errorPath,
  errorReasonPath,
  errorRemedyPath,
  parseDecimal,
  parseXenbusState,
} from '../xenbus/index.ts';
import type { BegunTransaction, XenstoreAccess, XenstoreClient } from '../xenstore/index.ts';
import { errnoOf } from './errno.ts';
import type { Fence } from './fence.ts';

const open: Pick<Fence, 'check'> = { check: () => undefined };

export class XenbusWriter {
  readonly #xenstore: XenstoreClient;
  readonly #domid: number;
  readonly #base: string;
  readonly #fence: Pick<Fence, 'check'>;

  /** Every method rejects with KERNEL-BACKEND where the fence is closed. */
  constructor(xenstore: XenstoreClient, domid: number, fence: Pick<Fence, 'check'> = open) {
    this.#fence = fence;
    this.#xenstore = xenstore;
    this.#domid = domid;
    this.#base = backendPath(domid);
  }

  /**
   * Moves our state on, if it is still one of `from`. The toolstack writes Closing and Reconfiguring into the same key; what
   * it asked for must not be overwritten by what we were about to say. `meanwhile` is done before that, as soon as xenstored has been
   * asked; rejects when it does. `begun`: a transaction for it that has just been begun.
   */
  async advance(
    from: readonly XenbusState[],
    to: XenbusState,
    meanwhile: () => Promise<void> = () => Promise.resolve(),
    begun?: BegunTransaction,
  ): Promise<void> {
    let done: Promise<void> | undefined;
    let written: Promise<void> | undefined;
    let isOver = false;
    const begin = (): void => {
      if (isOver) return;
      done ??= meanwhile();
      done.catch(() => undefined);
    };
    try {
      await this.#whilePresent(
        async (tx, state) => {
          written = undefined;
          await done;
          if (!from.includes(state) || state === to) return;
          written = tx.write(`${this.#base}/state`, String(to));
          // Waited for only below, so that it goes out with the end of the transaction.
          written.catch(() => undefined);
        },
        begin,
        begun,
      );
    } finally {
      isOver = true;
      // Also when xenstored has gone: nobody is to begin with something else while that is under way.
      await done?.catch(() => undefined);
    }
    await done;
    await written;
  }

  /** Says that a function is exported: its address on the guest's bus, then its state. */
  async exported(index: number, sbdf: Sbdf, guestAddress: Sbdf): Promise<void> {
    await this.#whilePresent(async (tx) => {
      // The toolstack may have renumbered since the directory was read; the next look at it finds the new index.
      if (parseSbdf((await tx.read(`${this.#base}/dev-${index}`)) ?? '') !== sbdf) return;
      await tx.write(`${this.#base}/vdev-${index}`, formatVdev(guestAddress));
      await tx.write(`${this.#base}/state-${index}`, String(XenbusState.Initialised));
    });
  }

  /** Says that the guest does not have a function: it could not be added, or was taken back before the front-end was up. */
  async withdrawn(index: number): Promise<void> {
    await this.#whilePresent((tx) => tx.write(`${this.#base}/state-${index}`, String(XenbusState.Closed)));
  }

  /** Adds the roots that are not published yet. Published ones stay: a front-end has scanned them. */
  async publishRoots(roots: readonly Root[]): Promise<void> {
    await this.#whilePresent(async (tx) => {
      const count = parseDecimal(await tx.read(`${this.#base}/root_num`), 256) ?? 0;
      const published = await Promise.all(
        Array.from({ length: count }, (_, index) => tx.read(`${this.#base}/root-${index}`)),
      );
      let next = count;
      for (const root of roots.map(formatRoot)) {
        if (published.includes(root)) continue;
        await tx.write(`${this.#base}/root-${next}`, root);
        next++;
      }
      if (next !== count || count === 0) await tx.write(`${this.#base}/root_num`, String(next));
    });
  }

  /**
   * Writes the text that xenbus keeps of a fatal error, a positive errno and words for people. A toolstack of ours finds the reason code
   * and the remedy beside it.
   */
  async fatal({ reason, message, remedy = '' }: FunctionFailure): Promise<void> {
    await this.#xenstore.transaction(async (tx) => {
      await tx.write(errorReasonPath(this.#domid), reason);
      await tx.write(errorRemedyPath(this.#domid), remedy);
      await tx.write(errorPath(this.#domid), `${errnoOf(reason)} ${message}`);
      this.#fence.check();
    });
  }

  async #whilePresent(
    write: (tx: XenstoreAccess, state: XenbusState) => Promise<void>,
    onAsked: () => void = () => undefined,
    begun?: BegunTransaction,
  ): Promise<void> {
    await this.#xenstore.transaction(async (tx) => {
      const asked = tx.read(`${this.#base}/state`);
      // Behind the write that this goes out with.
      process.nextTick(onAsked);
      const state = await asked;
      if (state === undefined) return;
      await write(tx, parseXenbusState(state));
      this.#fence.check();
    }, begun);
  }
}

const formatRoot = ({ segment, bus }: Root): string =>
  `${segment.toString(16).padStart(4, '0')}:${bus.toString(16).padStart(2, '0')}`;
