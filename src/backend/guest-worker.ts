/** The control plane's end of one guest's worker: steps go out, each is answered once; what else comes back is reported. */
import { MessageChannel, type MessagePort, type Worker } from 'node:worker_threads';
import type { Piscina } from 'piscina';
import { PcibackError } from '../errors.ts';
import type { Sbdf } from '../address.ts';
import type { PlatformOptions } from '../host/platform.ts';
import type { PublishedRing } from '../ring/index.ts';
import { endingThreads } from './pool.ts';
import type { FromWorker, GuestTask, Resume, Step, ToWorker } from '../../workers/messages.ts';

export type Report = Exclude<
  FromWorker,
  { readonly is: 'done' | 'refused' | 'started' | 'resumed' | 'faulted' }
>;

interface Waiting {
  readonly resolve: () => void;
  readonly reject: (error: PcibackError) => void;
}

/** What a worker was given to resume, and serves. */
export interface Resumption {
  readonly functions: readonly Sbdf[];
  readonly ring: PublishedRing | undefined;
}

const nothing: Resumption = { functions: [], ring: undefined };

/** Threads that were told to end: no guest of theirs is to blame for it. */
const endedOnPurpose = new WeakSet<Worker>();

export class GuestWorker {
  readonly #pool: Piscina<GuestTask, void>;
  readonly #port: MessagePort;
  readonly #waiting = new Map<number, Waiting>();
  #report: (report: Report) => void;
  #hasLostRing = false;
  #resumption: Promise<Resumption> | undefined;
  #setResumption: (resumption: Resumption) => void = () => undefined;
  readonly #resume: Resume | undefined;
  /** The domain that it serves, see `GuestTask`. */
  readonly domain: string | null | undefined;
  #nextId = 1;
  #thread: Worker | undefined;
  #threadId: number | undefined;
  #ended: PcibackError | undefined;
  #isToEnd = false;
  #isFaulted = false;
  /** Resolves when the task is over: in order, or because its worker dies. Never rejects. */
  readonly over: Promise<'ended' | 'died'>;

  constructor(
    pool: Piscina<GuestTask, void>,
    domid: number,
    platform: PlatformOptions,
    report: (report: Report) => void,
    resume?: Resume,
    domain?: string | null,
  ) {
    const { port1, port2 } = new MessageChannel();
    this.#pool = pool;
    this.#port = port1;
    this.#report = report;
    this.#resume = resume;
    this.domain = domain;
    if (resume) this.#resumption = new Promise((resolve) => (this.#setResumption = resolve));
    port1.on('message', (message: FromWorker) => this.#receive(message));
    const task = pool.run({ domid, domain, platform, port: port2, resume }, { transferList: [port2] }).then(
      () => this.#end('ended', `the worker of domain ${domid} has ended`),
      (error: unknown) => this.#end('died', `the worker of domain ${domid} died: ${String(error)}`),
    );
    // Of a thread that ends, this is what is heard first as a rule, and long before it has ended.
    const closed = new Promise<'ended' | 'died'>((resolve) => {
      port1.once('close', () => resolve(this.#closed(`the worker of domain ${domid} dies`)));
    });
    this.over = Promise.race([task, closed]);
    void task.then(() => {
      if (this.#threadId !== undefined) endingThreads.delete(this.#threadId);
    });
  }

  /** From now on somebody else is told what the worker reports. */
  listen(report: (report: Report) => void): void {
    this.#report = report;
  }

  /** What it serves of what it was given to resume; nothing when it has died. Only once: what comes of that is up to who asks. */
  async takeResumption(): Promise<Resumption | undefined> {
    const taken = this.#resumption;
    this.#resumption = undefined;
    const resumption = await taken;
    return resumption && this.#hasLostRing ? { ...resumption, ring: undefined } : resumption;
  }

  /** Sends a step and waits for it. Throws what the worker refused it with, or WORKER-DIED. */
  async step(step: Step): Promise<void> {
    if (this.#ended) throw this.#ended;
    const id = this.#nextId++;
    const message: ToWorker = { ...step, id };
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
      this.#port.postMessage(message);
    });
  }

  /** Ends the task; the ring is closed and functions stay as they are. May be called twice. */
  async end(): Promise<void> {
    this.#isToEnd = true;
    if (!this.#ended) await this.step({ do: 'end' }).catch(() => undefined);
    await this.over;
  }

  /** Ends the thread that serves this guest, and with it the service of all guests on it, as a crash would. */
  async kill(): Promise<void> {
    if (!this.#thread) return;
    endedOnPurpose.add(this.#thread);
    await this.#thread.terminate();
  }

  get wasEndedOnPurpose(): boolean {
    return this.#thread !== undefined && endedOnPurpose.has(this.#thread);
  }

  #receive(message: FromWorker): void {
    if (message.is === 'started') {
      this.#threadId = message.threadId;
      this.#thread = this.#pool.threads.find(({ threadId }) => threadId === message.threadId);
    } else if (message.is === 'done') this.#settle(message.id)?.resolve();
    else if (message.is === 'refused') this.#settle(message.id)?.reject(refusal(message));
    else if (message.is === 'resumed') {
      const { functions, hasRing } = message;
      this.#setResumption({ functions, ring: hasRing ? this.#resume?.ring : undefined });
    } else if (message.is === 'faulted') this.#isFaulted = true;
    else {
      if (message.is === 'ringLost') this.#hasLostRing = true;
      this.#report(message);
    }
  }

  #settle(id: number): Waiting | undefined {
    const waiting = this.#waiting.get(id);
    this.#waiting.delete(id);
    return waiting;
  }

  #closed(message: string): 'ended' | 'died' {
    if (this.#ended || this.#isToEnd) return this.#end('ended', message);
    if (!this.#isFaulted && this.#threadId !== undefined) endingThreads.add(this.#threadId);
    return this.#end('died', message);
  }

  #end(how: 'ended' | 'died', message: string): 'ended' | 'died' {
    if (this.#ended) return how;
    this.#ended = new PcibackError('WORKER-DIED', message, 'nothing: another worker takes over');
    for (const { reject } of this.#waiting.values()) reject(this.#ended);
    this.#waiting.clear();
    this.#setResumption(nothing);
    this.#port.close();
    return how;
  }
}

const refusal = ({
  reason,
  message,
  remedy,
}: Extract<FromWorker, { readonly is: 'refused' }>): PcibackError =>
  new PcibackError(reason, message, remedy);
