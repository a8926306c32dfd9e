/** Who serves a guest: one worker after another, each with the guest's ring while there is one. */
import { PcibackError } from '../errors.ts';
import { makeEvent } from '../monitor/events.ts';
import type { Sbdf } from '../address.ts';
import type { PublishedRing } from '../ring/index.ts';
import {
  type FrontendKeys,
  type GuestView,
  frontendKeyNames,
  parseFrontendKeys,
  sameKeys,
} from '../xenbus/index.ts';
import { Fence } from './fence.ts';
import { GuestWorker, type Report } from './guest-worker.ts';
import { assignmentsOf, note } from './resume.ts';
import type { Urgency } from './saver.ts';
import type { SessionHost } from './session-host.ts';
import { eventsOf } from './worker-events.ts';

/** Workers that die so often, each within a second, are killed by the guest that they serve, and the guest is failed. */
const mostShortLives = 20;
const shortLife = 1000;

/** Pages in a row that a front-end may take away again before they are mapped. */
const mostPages = 3;

/** What a guest can lose under way: the worker with all it had in hand, or only the shared page. */
export type Loss = 'workerDied' | 'ringLost';

export class GuestService {
  readonly #host: SessionHost;
  readonly #domid: number;
  /** Closed once the guest is somebody else's. */
  readonly fence: Fence;
  /** That one is served, and none that has its id after it. */
  readonly domain: string | null;
  readonly #lost: (loss: Loss) => void;
  #worker: GuestWorker | undefined;
  /** What the present worker serves. */
  #ring: PublishedRing | undefined;
  #shortLives = 0;

  /** `lost` is told of a worker that died, but not of one that was ended here. */
  constructor(host: SessionHost, domid: number, lost: (loss: Loss) => void) {
    this.#host = host;
    this.#domid = domid;
    this.fence = new Fence(host.platform, domid);
    this.#lost = lost;
    this.domain = host.platform.domainIdentity(domid);
  }

  /** Takes over the worker that goes on with a guest of a predecessor, if there is one. From here on `lost` may be called. */
  begin(): void {
    const { resumed } = this.#host;
    const worker = resumed.get(this.#domid);
    resumed.delete(this.#domid);
    if (worker?.domain === this.domain) this.#employ(worker);
    else void worker?.end();
  }

  /** The present worker; one is started when there is none. Throws KERNEL-BACKEND when the guest is somebody else's now. */
  worker(): GuestWorker {
    this.fence.check();
    if (this.#worker) return this.#worker;
    const { pool, where } = this.#host;
    return this.#employ(
      new GuestWorker(pool, this.#domid, where, (report) => this.#hear(report), undefined, this.domain),
    );
  }

  #employ(worker: GuestWorker): GuestWorker {
    this.#worker = worker;
    worker.listen((report) => this.#hear(report));
    const begin = performance.now();
    void worker.over.then((how) => {
      if (how === 'died' && this.#worker === worker) this.#bury(worker, performance.now() - begin);
    });
    return worker;
  }

  /** The functions that the present worker has gone on with by itself, because the one before it died. Only once. */
  async takeResumed(): Promise<readonly Sbdf[]> {
    const worker = this.#worker;
    const resumption = await worker?.takeResumption();
    if (!resumption || this.#worker !== worker) return [];
    this.#ring = resumption.ring;
    return resumption.functions;
  }

  /** Throws CRASH-LOOP when worker after worker died as soon as it served this guest. */
  requireLastingWorkers(): void {
    if (!this.#isCrashLoop) return;
    throw new PcibackError(
      'CRASH-LOOP',
      `${this.#shortLives} workers of domain ${this.#domid} died as soon as they served it`,
      'report this with the events of the daemon; the guest has to be restarted',
    );
  }

  get #isCrashLoop(): boolean {
    return this.#shortLives > mostShortLives;
  }

  /**
   * Maps the page and binds the port that the front-end has published, unless they are served already; `adopted`: it may have asked for
   * something.
   */
  async attachRing({ frontendPath, frontendKeys }: GuestView, adopted: boolean): Promise<void> {
    const read = (): Promise<FrontendKeys> =>
      Promise.all(frontendKeyNames.map((key) => this.#host.xenstore.read(`${frontendPath}/${key}`)));
    let keys = frontendKeys ?? (await read());
    for (let left = mostPages; ; left--) {
      try {
        return await this.#attach(keys, adopted);
      } catch (error) {
        // It had published them when they were read, but may have started over since.
        const now = await read();
        if (left === 1 || sameKeys(now, keys)) throw error;
        keys = now;
      }
    }
  }

  /** The ring that is served, or is being brought up again by a worker of its own accord. */
  get ring(): PublishedRing | undefined {
    return this.#ring;
  }

  /** The guest has been told that its ring is there. */
  async settle(): Promise<void> {
    await this.#worker?.step({ do: 'settle' });
  }

  async #attach(keys: FrontendKeys, adopted: boolean): Promise<void> {
    const ring = parseFrontendKeys(keys);
    if (this.#ring?.grantRef === ring.grantRef && this.#ring.port === ring.port) return;
    await this.worker().step({ do: 'connect', ring, adopted });
    this.#ring = ring;
  }

  /** `now`: a successor must not even try the ring. */
  async detachRing(urgency: Urgency = 'soon'): Promise<void> {
    await this.#forgetRing();
    await this.#worker?.step({ do: 'disconnect' });
    this.#host.rings.delete(String(this.#domid), urgency);
  }

  /** No function of the guest reaches for memory any more, and when its worker dies, none goes on with it by itself. */
  async quiesce(): Promise<void> {
    await this.#forgetRing();
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
    this.#ring = undefined;
  }

  /** Ends the guest's worker thread; see `PciBackend.killWorker`. */
  async kill(): Promise<void> {
    await this.#worker?.kill();
  }

  #bury(worker: GuestWorker, lived: number): void {
    const ring = this.#ring;
    this.#worker = undefined;
    this.#ring = undefined;
    if (!worker.wasEndedOnPurpose) this.#shortLives = lived < shortLife ? this.#shortLives + 1 : 1;
    // The guest waits for an answer: first of all another one goes on.
    if (ring && !this.#isCrashLoop && !this.fence.isClosed) this.#resume(ring);
    this.#host.emit(makeEvent('worker.died', { domid: this.#domid, reason: 'WORKER-DIED' }));
    this.#lost('workerDied');
  }

  /** What the present worker has resumed is not to be believed any more either. */
  async #forgetRing(): Promise<void> {
    this.#ring = undefined;
    await this.#worker?.takeResumption();
  }

  #resume(ring: PublishedRing): void {
    const { pool, where, registry } = this.#host;
    const assignments = assignmentsOf(registry, this.#domid);
    const hear = (report: Report): void => this.#hear(report);
    this.#employ(new GuestWorker(pool, this.#domid, where, hear, { assignments, ring }, this.domain));
  }

  #hear(report: Report): void {
    const { emit, registry, rings } = this.#host;
    note(report, this.#domid, registry, rings);
    for (const event of eventsOf(report, this.#domid, registry)) emit(event);
    if (report.is === 'ringLost') this.#lost('ringLost');
  }
}
