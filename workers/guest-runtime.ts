/** One guest in its worker: carries out the steps that the control plane sends, and answers the guest's requests. */
import { type MessagePort, threadId } from 'node:worker_threads';
import { Subject, type Subscription } from 'rxjs';
import { type Sbdf, makeSbdf } from '../src/address.ts';
import { PcibackError } from '../src/errors.ts';
import type { Platform, Ring } from '../src/host/platform.ts';
import { RingOperations, requestStream } from '../src/ring/index.ts';
import { AssignedFunction } from './assigned-function.ts';
import type { FromWorker, Step, ToWorker } from './messages.ts';
import { isMilestone } from './milestone.ts';

/** How the task of the guest is ended. */
export interface TaskEnd {
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

export class GuestRuntime {
  readonly #platform: Platform;
  readonly #domid: number;
  readonly #port: MessagePort;
  readonly #end: TaskEnd;
  readonly #functions = new Map<Sbdf, AssignedFunction>();
  readonly #byGuestAddress = new Map<number, AssignedFunction>();
  readonly #operations = new RingOperations((domain, bus, devfn) => this.#find(domain, bus, devfn));
  #ring: Ring | undefined;
  #serving: Subscription | undefined;
  #abandoned = 0;
  /** Steps are carried out one after the other, in the order in which they came. */
  #queue: Promise<void> = Promise.resolve();

  constructor(platform: Platform, domid: number, port: MessagePort, end: TaskEnd) {
    this.#platform = platform;
    this.#domid = domid;
    this.#port = port;
    this.#end = end;
  }

  start(): void {
    this.#post({ is: 'started', threadId });
    this.#port.on('message', (message: ToWorker) => {
      this.#queue = this.#queue.then(() => this.#take(message));
    });
    // The control plane has gone, or has given this worker up: what is left to do is to let go of everything.
    this.#port.once('close', () => this.#leave(this.#end.resolve));
  }

  async #take(message: ToWorker): Promise<void> {
    const { id } = message;
    try {
      await this.#carryOut(message);
      this.#post({ is: 'done', id });
      if (message.do === 'end') this.#leave(this.#end.resolve);
    } catch (error) {
      if (error instanceof PcibackError) {
        const { reason, message: text, remedy } = error;
        this.#post({ is: 'refused', id, reason, message: text, remedy });
      } else {
        this.#fault(error);
      }
    }
  }

  async #carryOut(step: Step): Promise<void> {
    switch (step.do) {
      case 'bind': {
        const { sbdf } = step.assignment;
        const assigned = new AssignedFunction(
          this.#platform,
          this.#domid,
          step.assignment,
          (report) => this.#post(report),
          (irq) => this.#usesLine(irq),
        );
        await assigned.bind();
        this.#functions.set(sbdf, assigned);
        // One that was already being taken away has no place on the guest's bus any more.
        if (assigned.isExported) this.#byGuestAddress.set(assigned.guestAddress, assigned);
        if (this.#ring) assigned.connect();
        return;
      }
      case 'trust':
        this.#functions.get(step.sbdf)?.trust(step.mode);
        return;
      case 'release':
        await Promise.all(step.sbdfs.map((sbdf) => this.#release(sbdf)));
        return;
      case 'connect':
        if (this.#ring) this.#disconnect();
        this.#connect(step.grantRef, step.port, step.adopted);
        return;
      case 'quiesce':
        for (const assigned of this.#functions.values()) assigned.quiesce();
        return;
      case 'disconnect':
      case 'end':
        this.#disconnect();
    }
  }

  async #release(sbdf: Sbdf): Promise<void> {
    const assigned = this.#functions.get(sbdf);
    if (!assigned) return;
    // From here on the guest finds nothing at that address.
    this.#byGuestAddress.delete(assigned.guestAddress);
    await assigned.release();
    this.#functions.delete(sbdf);
  }

  /** Those that are being taken away are on the guest's bus no more. */
  #usesLine(irq: number): boolean {
    return [...this.#byGuestAddress.values()].some((assigned) => assigned.irq === irq);
  }

  #connect(grantRef: number, port: number, adopted: boolean): void {
    const wakes = new Subject<void>();
    const ring = this.#platform.openRing(this.#domid, grantRef, port, () => wakes.next());
    this.#ring = ring;
    this.#post({ is: 'bound', localPort: ring.localPort });
    for (const assigned of this.#functions.values()) assigned.connect();
    if (adopted) this.#goOn(ring);
    const onStorm = (times: number): void => this.#post({ is: 'storm', times });
    this.#serving = requestStream(ring, wakes, undefined, { onStorm }).subscribe({
      next: (op) => this.#answer(ring, op),
      complete: () => {
        if (this.#ring !== ring) return;
        this.#disconnect();
        this.#post({ is: 'ringLost' });
      },
      error: (error: unknown) => this.#fault(error),
    });
  }

  /** Where a predecessor may have stopped: between any two of answering, noting that it has answered, and notifying. */
  #goOn(ring: Ring): void {
    // Without a request in the page, whatever was answered is out.
    if (ring.look(1) === 'idle') {
      for (const { filter } of this.#functions.values()) filter.record.answered();
    }
    // A front-end that was not told of its answer would sleep until it gives up.
    ring.notify();
  }

  #disconnect(): void {
    this.#serving?.unsubscribe();
    this.#serving = undefined;
    this.#ring?.close();
    this.#ring = undefined;
    for (const assigned of this.#functions.values()) assigned.disconnect();
  }

  /** The request path: nothing here allocates, logs, or reads a clock. */
  #answer(ring: Ring, op: Int32Array): void {
    const operations = this.#operations;
    try {
      operations.handle(op);
      const outcome = ring.answer(operations.err, operations.value, operations.vectors);
      if (outcome === 'published') operations.answered();
      else this.#unheard();
      if (operations.denied >= 0) this.#noteDenied();
    } catch (error) {
      // An exception would end the stream or the thread; it is this guest's actor that has to go.
      this.#fault(error);
    }
  }

  #unheard(): void {
    this.#operations.abandoned();
    this.#abandoned++;
    if (isMilestone(this.#abandoned)) this.#post({ is: 'abandoned', times: this.#abandoned });
  }

  #noteDenied(): void {
    const { target, denied } = this.#operations;
    if (!(target instanceof AssignedFunction)) return;
    const times = target.filter.record.deniedAt(denied);
    if (isMilestone(times)) this.#post({ is: 'denied', sbdf: target.sbdf, register: denied, times });
  }

  #find(domain: number, bus: number, devfn: number): AssignedFunction | undefined {
    if (domain > 0xffff || bus > 0xff || devfn > 0xff) return undefined;
    return this.#byGuestAddress.get(makeSbdf(domain, bus, devfn >>> 3, devfn & 7));
  }

  /** A defect of ours: this guest is served by another worker, which finds everything as it was last recorded. */
  #fault(error: unknown): void {
    this.#leave(() => this.#end.reject(error));
  }

  #leave(how: () => void): void {
    this.#disconnect();
    for (const assigned of this.#functions.values()) assigned.letGo();
    this.#functions.clear();
    this.#byGuestAddress.clear();
    how();
    this.#port.close();
  }

  #post(message: FromWorker): void {
    this.#port.postMessage(message);
  }
}
