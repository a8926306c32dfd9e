/** The control plane's end of one guest's worker: steps go out, each is answered once; what else comes back is reported. */
import { MessageChannel, type MessagePort, type Worker } from 'node:worker_threads';
import type { Piscina } from 'piscina';
import { PcibackError } from '../errors.ts';
import type { PlatformOptions } from '../host/platform.ts';
import type { FromWorker, GuestTask, Step, ToWorker } from '../../workers/messages.ts';

export type Report = Exclude<FromWorker, { readonly is: 'done' | 'refused' | 'started' }>;

interface Waiting {
  readonly resolve: () => void;
  readonly reject: (error: PcibackError) => void;
}

/** Threads that were told to end: no guest of theirs is to blame for it. */
const endedOnPurpose = new WeakSet<Worker>();

export class GuestWorker {
  readonly #pool: Piscina<GuestTask, void>;
  readonly #port: MessagePort;
  readonly #waiting = new Map<number, Waiting>();
  readonly #report: (report: Report) => void;
  #nextId = 1;
  #thread: Worker | undefined;
  #ended: PcibackError | undefined;
  /** Resolves when the task is over: in order, or because its worker died. Never rejects. */
  readonly over: Promise<'ended' | 'died'>;

  constructor(
    pool: Piscina<GuestTask, void>,
    domid: number,
    platform: PlatformOptions,
    report: (report: Report) => void,
  ) {
    const { port1, port2 } = new MessageChannel();
    this.#pool = pool;
    this.#port = port1;
    this.#report = report;
    port1.on('message', (message: FromWorker) => this.#receive(message));
    this.over = pool.run({ domid, platform, port: port2 }, { transferList: [port2] }).then(
      () => this.#end('ended', `the worker of domain ${domid} has ended`),
      (error: unknown) => this.#end('died', `the worker of domain ${domid} died: ${String(error)}`),
    );
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
    if (message.is === 'started')
      this.#thread = this.#pool.threads.find(({ threadId }) => threadId === message.threadId);
    else if (message.is === 'done') this.#settle(message.id)?.resolve();
    else if (message.is === 'refused') this.#settle(message.id)?.reject(refusal(message));
    else this.#report(message);
  }

  #settle(id: number): Waiting | undefined {
    const waiting = this.#waiting.get(id);
    this.#waiting.delete(id);
    return waiting;
  }

  #end(how: 'ended' | 'died', message: string): 'ended' | 'died' {
    this.#ended = new PcibackError('WORKER-DIED', message, 'nothing: another worker takes over');
    for (const { reject } of this.#waiting.values()) reject(this.#ended);
    this.#waiting.clear();
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
