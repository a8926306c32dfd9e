/** Who serves a guest: one worker after another, each with the guest's ring while there is one. */
import { PcibackError } from '../errors.ts';
import { makeEvent } from '../monitor/events.ts';
import { frontendKeyNames, parseFrontendKeys } from '../xenbus/index.ts';
import { GuestWorker, type Report } from './guest-worker.ts';
import type { SessionHost } from './session-host.ts';
import { eventsOf } from './worker-events.ts';

/** Workers that die so often, each within a second, are killed by the guest that they serve, and the guest is failed. */
const mostShortLives = 20;
const shortLife = 1000;

/** What a guest can lose under way: the worker with all it had in hand, or only the shared page. */
export type Loss = 'workerDied' | 'ringLost';

export class GuestService {
  readonly #host: SessionHost;
  readonly #domid: number;
  readonly #lost: (loss: Loss) => void;
  #worker: GuestWorker | undefined;
  #shortLives = 0;
  #isHandedOver = false;

  /** `lost` is told of a worker that died, but not of one that was ended here. */
  constructor(host: SessionHost, domid: number, lost: (loss: Loss) => void) {
    this.#host = host;
    this.#domid = domid;
    this.#lost = lost;
  }

  /** The present worker; one is started when there is none. Throws WORKER-DIED when the guest is another session's now. */
  worker(): GuestWorker {
    if (this.#worker) return this.#worker;
    if (this.#isHandedOver)
      throw new PcibackError('WORKER-DIED', 'another session serves the guest', 'nothing');
    const { pool, where } = this.#host;
    const worker = new GuestWorker(pool, this.#domid, where, (report) => this.#hear(report));
    this.#worker = worker;
    const begin = performance.now();
    void worker.over.then((how) => {
      if (how === 'died' && this.#worker === worker) this.#bury(worker, performance.now() - begin);
    });
    return worker;
  }

  /** Throws CRASH-LOOP when worker after worker died as soon as it served this guest. */
  requireLastingWorkers(): void {
    if (this.#shortLives <= mostShortLives) return;
    throw new PcibackError(
      'CRASH-LOOP',
      `${this.#shortLives} workers of domain ${this.#domid} died as soon as they served it`,
      'report this with the events of the daemon; the guest has to be restarted',
    );
  }

  /** Maps the page and binds the port that the front-end has published; `adopted`: it may have asked for something already. */
  async attachRing(frontendPath: string, adopted: boolean): Promise<void> {
    const values = await Promise.all(
      frontendKeyNames.map((key) => this.#host.xenstore.read(`${frontendPath}/${key}`)),
    );
    await this.worker().step({ do: 'connect', ...parseFrontendKeys(values), adopted });
  }

  async detachRing(): Promise<void> {
    await this.#worker?.step({ do: 'disconnect' });
    this.#host.ports.delete(String(this.#domid));
  }

  /** Answers no further request of the guest. */
  async quiesce(): Promise<void> {
    await this.#worker?.step({ do: 'quiesce' });
  }

  /** Ends the worker in order; functions stay as they are. */
  async end(): Promise<void> {
    const worker = this.#worker;
    this.abandon();
    await worker?.end();
  }

  /** Lets go of the worker as it is. */
  abandon(): void {
    this.#worker = undefined;
  }

  /** From now on another session starts the workers of this guest. */
  handOver(): void {
    this.#isHandedOver = true;
  }

  /** Ends the guest's worker thread; see `PciBackend.killWorker`. */
  async kill(): Promise<void> {
    await this.#worker?.kill();
  }

  #bury(worker: GuestWorker, lived: number): void {
    this.#worker = undefined;
    if (!worker.wasEndedOnPurpose) this.#shortLives = lived < shortLife ? this.#shortLives + 1 : 1;
    this.#host.emit(makeEvent('worker.died', { domid: this.#domid, reason: 'WORKER-DIED' }));
    this.#lost('workerDied');
  }

  #hear(report: Report): void {
    const { emit, registry, ports } = this.#host;
    if (report.is === 'function') registry.update(report.sbdf, report.snapshot);
    if (report.is === 'bound') ports.put(String(this.#domid), report.localPort);
    for (const event of eventsOf(report, this.#domid, registry)) emit(event);
    if (report.is === 'ringLost') this.#lost('ringLost');
  }
}
