/** One guest in its worker: carries out the steps that the control plane sends, and answers the guest's requests. */
import { setTimeout as sleep } from 'node:timers/promises';
import { type MessagePort, threadId } from 'node:worker_threads';
import { Subject, type Subscription } from 'rxjs';
import { type Sbdf, makeSbdf } from '../src/address.ts';
import { PcibackError } from '../src/errors.ts';
import { goAhead } from '../src/host/index.ts';
import type { Platform, Ring } from '../src/host/platform.ts';
import { type PublishedRing, RingOperations, requestStream } from '../src/ring/index.ts';
import { AssignedFunction } from './assigned-function.ts';
import { HeadStart } from './head-start.ts';
import type { Assignment, FromWorker, Resume, Step, ToWorker } from './messages.ts';
import { isMilestone } from './milestone.ts';

/** Milliseconds between two attempts to bind an event channel, at most: about a second in all. */
const longestPause = 512;

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
  readonly #headStart: HeadStart;
  /** That one is served, and none that has its id after it. */
  #domain: string | null = null;
  #ring: Ring | undefined;
  #serving: Subscription | undefined;
  #isOver = false;
  /** The machines of the functions know that there is a ring, or there is none. */
  #isSettled = true;
  #abandoned = 0;
  #storms = 0;
  /** Steps are carried out one after the other, in the order in which they came. */
  #queue: Promise<void> = Promise.resolve();

  constructor(platform: Platform, domid: number, port: MessagePort, end: TaskEnd) {
    this.#platform = platform;
    // Elsewhere nobody but the guest waits for it, or it is only a rehearsal.
    this.#headStart = new HeadStart(platform.kind === 'xen' ? goAhead : () => undefined);
    this.#domid = domid;
    this.#port = port;
    this.#end = end;
  }

  /** `domain`: as in `GuestTask`. */
  start(resume?: Resume, domain = this.#platform.domainIdentity(this.#domid)): void {
    this.#domain = domain;
    this.#post({ is: 'started', threadId });
    if (resume) this.#queue = this.#resume(resume).catch((error: unknown) => this.#fault(error));
    this.#port.on('message', (message: ToWorker) => {
      this.#queue = this.#queue.then(() => this.#take(message));
    });
    // The control plane has gone, or has given this worker up: what is left to do is to let go of everything.
    this.#port.once('close', () => this.#leave(this.#end.resolve));
  }

  async #take(message: ToWorker): Promise<void> {
    const { id } = message;
    try {
      this.#settle();
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

  /**
   * Serves again what an earlier worker was serving, before anybody has looked whether it still should be: a guest waits for an answer.
   * What cannot be had any more is left to whoever will look after the guest.
   */
  async #resume({ assignments, ring }: Resume): Promise<void> {
    const functions: Sbdf[] = [];
    if (!(await succeeds(async () => this.#requireSame()))) {
      this.#post({ is: 'resumed', functions, hasRing: false });
      return;
    }
    this.#headStart.begin();
    for (const assignment of assignments) {
      if (await succeeds(() => this.#bind(assignment))) functions.push(assignment.sbdf);
    }
    const isWhole = functions.length === assignments.length;
    const hasRing = isWhole && (await succeeds(() => this.#serve(ring, true)));
    if (!hasRing) this.#headStart.end();
    this.#post({ is: 'resumed', functions, hasRing });
    this.#settle();
  }

  async #bind(assignment: Assignment): Promise<void> {
    const { sbdf, mode } = assignment;
    const known = this.#functions.get(sbdf);
    // Resumed already, which who asks has not heard of yet.
    if (known?.isExported) {
      known.trust(mode);
      this.#showBus();
      return;
    }
    const assigned = new AssignedFunction(
      this.#platform,
      this.#domid,
      assignment,
      (report) => this.#post(report),
      () => this.#exported().map(({ belongings }) => belongings),
    );
    await assigned.bind();
    this.#functions.set(sbdf, assigned);
    // One that was already being taken away has no place on the guest's bus any more.
    if (assigned.isExported) this.#byGuestAddress.set(assigned.guestAddress, assigned);
    this.#showBus();
    if (this.#ring) assigned.connect();
  }

  async #carryOut(step: Step): Promise<void> {
    switch (step.do) {
      case 'bind':
        return this.#bind(step.assignment);
      case 'trust':
        this.#functions.get(step.sbdf)?.trust(step.mode);
        this.#showBus();
        return;
      case 'release':
        await Promise.all(step.sbdfs.map((sbdf) => this.#release(sbdf)));
        return;
      case 'connect':
        if (this.#ring) this.#disconnect();
        return this.#serve(step.ring, step.adopted);
      case 'settle':
        return;
      case 'quiesce':
        for (const assigned of this.#functions.values()) assigned.quiesce();
        return;
      case 'disconnect':
      case 'end':
        this.#disconnect();
    }
  }

  /** Those that the guest has, and that are not being taken away. */
  #exported(): readonly AssignedFunction[] {
    return [...this.#functions.values()].filter(({ isExported }) => isExported);
  }

  async #release(sbdf: Sbdf): Promise<void> {
    const assigned = this.#functions.get(sbdf);
    if (!assigned) return;
    // From here on the guest finds nothing at that address.
    this.#byGuestAddress.delete(assigned.guestAddress);
    this.#showBus();
    await assigned.release();
    this.#functions.delete(sbdf);
  }

  async #serve(ring: PublishedRing, adopted: boolean): Promise<void> {
    this.#headStart.begin();
    try {
      if (adopted) await this.#reconnect(ring);
      else this.#connect(ring, false);
    } catch (error) {
      this.#headStart.end();
      throw error;
    }
  }

  /**
   * Of a thread or a process that has died the hypervisor may not have taken the event channel yet, and until then it is not to be had.
   * Nothing tells when that has happened, so it is tried again, ever less often.
   */
  async #reconnect(ring: PublishedRing): Promise<void> {
    for (let pause = 1; ; pause *= 2) {
      try {
        this.#connect(ring, true);
        return;
      } catch (error) {
        const isHeld = error instanceof PcibackError && error.reason === 'EVENT-CHANNEL-FAILED';
        if (!isHeld || pause > longestPause) throw error;
        await sleep(pause);
        // Nobody would close what is opened for a guest that has been left meanwhile.
        if (this.#isOver) return;
      }
    }
  }

  #connect(published: PublishedRing, adopted: boolean): void {
    const wakes = new Subject<void>();
    const ring = this.#openRing(published, () => wakes.next());
    this.#ring = ring;
    this.#isSettled = false;
    this.#post({ is: 'bound', ring: published, localPort: ring.localPort, domain: this.#domain });
    // Before the ring answers anything by itself.
    if (adopted) this.#goOn(ring);
    this.#showBus();
    const onStorm = (wakeups: number): void => {
      this.#storms++;
      if (isMilestone(this.#storms)) this.#post({ is: 'storm', wakeups, times: this.#storms });
    };
    const onAnswered = (answered: number, abandoned: number): void => {
      this.#headStart.served(answered + abandoned);
      for (let each = 0; each < abandoned; each++) this.#noteAbandoned();
    };
    this.#serving = requestStream(ring, wakes, undefined, { onStorm, onAnswered }).subscribe({
      next: (op) => this.#answer(ring, op),
      complete: () => {
        if (this.#ring !== ring) return;
        this.#disconnect();
        this.#post({ is: 'ringLost' });
      },
      error: (error: unknown) => this.#fault(error),
    });
  }

  /**
   * A page is granted by an id, which another domain may have by now. On Xen a domain keeps its id as long as a page of it is mapped, so
   * it is asked once more before anything is written there.
   */
  #openRing({ grantRef, port }: PublishedRing, wake: () => void): Ring {
    this.#requireSame();
    const ring = this.#platform.openRing(this.#domid, grantRef, port, wake);
    try {
      this.#requireSame();
      return ring;
    } catch (error) {
      ring.close();
      throw error;
    }
  }

  #requireSame(): void {
    if (this.#platform.domainIdentity(this.#domid) === this.#domain) return;
    throw new PcibackError(
      'NO-SUCH-DOMAIN',
      `domain ${this.#domid} has ended, and another one may have its id`,
      'nothing: what it had is taken back',
    );
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
    this.#isSettled = true;
    this.#headStart.end();
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
      this.#headStart.served(1);
    } catch (error) {
      // An exception would end the stream or the thread; it is this guest's actor that has to go.
      this.#fault(error);
    }
  }

  #unheard(): void {
    this.#operations.abandoned();
    this.#noteAbandoned();
  }

  #noteAbandoned(): void {
    this.#abandoned++;
    if (isMilestone(this.#abandoned)) this.#post({ is: 'abandoned', times: this.#abandoned });
  }

  #noteDenied(): void {
    const { target, denied } = this.#operations;
    if (!(target instanceof AssignedFunction)) return;
    const times = target.filter.record.deniedAt(denied);
    if (isMilestone(times)) this.#post({ is: 'denied', sbdf: target.sbdf, register: denied, times });
  }

  /** What needs no decision the ring answers by itself. To be called with every change of what `#find` finds, or of a filter. */
  #showBus(): void {
    this.#ring?.answerReads([...this.#byGuestAddress.values()].map(({ readable }) => readable));
  }

  #find(domain: number, bus: number, devfn: number): AssignedFunction | undefined {
    if (domain > 0xffff || bus > 0xff || devfn > 0xff) return undefined;
    return this.#byGuestAddress.get(makeSbdf(domain, bus, devfn >>> 3, devfn & 7));
  }

  /** A defect of ours: this guest is served by another worker, which finds everything as it was last recorded. */
  #fault(error: unknown): void {
    this.#post({ is: 'faulted' });
    this.#leave(() => this.#end.reject(error));
  }

  #leave(how: () => void): void {
    this.#isOver = true;
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

  /** What could wait until the guest has been told: requests are answered whatever the machines of the functions know of it. */
  #settle(): void {
    if (this.#isSettled) return;
    this.#isSettled = true;
    for (const assigned of this.#functions.values()) assigned.connect();
  }
}

/** Whether it can be done; false when something that only concerns this guest is in the way. Rejects with our own defects. */
async function succeeds(work: () => Promise<void>): Promise<boolean> {
  try {
    await work();
    return true;
  } catch (error) {
    if (error instanceof PcibackError) return false;
    throw error;
  }
}
