/** Sees to it that a stand-in is there while a daemon serves, and that none takes over from an orderly end. */
import { PcibackError } from '../errors.ts';
import { type BackendEvent, failureDetails, makeEvent } from '../monitor/index.ts';
import type { StandInProcess, StartStandIn, Succession } from './options.ts';

/** Milliseconds that a stand-in lives at least, unless something is wrong with it. */
const shortLife = 10_000;

/** Stand-ins that end so often in a row, each at once, have something wrong with them. */
const mostShortLives = 3;

/** Daemons that die so often, each as soon as it has taken over, are killed by what they take over. */
const mostShortReigns = 3;

/** The succession that goes on with this daemon, which serves from `now` on, in seconds of the machine's time. */
export const reignFrom = (now: number, predecessor: Succession | undefined): Succession => {
  const isShort = predecessor !== undefined && (now - predecessor.since) * 1000 < shortLife;
  return { since: now, shortReigns: isShort ? predecessor.shortReigns + 1 : 0 };
};

export class StandIns {
  readonly #launch: StartStandIn;
  readonly #succession: Succession;
  readonly #emit: (event: BackendEvent) => void;
  #process: StandInProcess | undefined;
  #readySince: number | undefined;
  #shortLives = 0;
  #isOver = false;

  constructor(launch: StartStandIn, succession: Succession, emit: (event: BackendEvent) => void) {
    this.#launch = launch;
    this.#succession = succession;
    this.#emit = emit;
  }

  /** The process that would take over now; null when there is none. */
  get pid(): number | null {
    return this.#readySince === undefined ? null : (this.#process?.pid ?? null);
  }

  /** Starts one, unless what is served has killed too many daemons in a row. */
  begin(): void {
    const { shortReigns } = this.#succession;
    if (shortReigns < mostShortReigns) this.#start();
    else this.#warn(crashLoop(shortReigns));
  }

  /** Ends the one that there is; nothing takes over after that. */
  async end(): Promise<void> {
    this.#isOver = true;
    await this.#process?.end();
  }

  #start(): void {
    let process: StandInProcess;
    try {
      process = this.#launch(this.#succession);
    } catch (error) {
      // A daemon without a stand-in is better than none.
      this.#warn(noStandIn(failureDetails(error).message ?? 'it could not be started'));
      return;
    }
    this.#process = process;
    this.#readySince = undefined;
    void process.ready.then(() => {
      this.#readySince = performance.now();
      this.#emit(makeEvent('backend.standIn', { to: 'ready', data: { pid: process.pid } }));
    });
    void process.ended.then((how) => this.#ended(how));
  }

  #ended(how: string): void {
    const lived = this.#readySince === undefined ? 0 : performance.now() - this.#readySince;
    this.#process = undefined;
    if (this.#isOver) return;
    this.#shortLives = lived >= shortLife ? 0 : this.#shortLives + 1;
    if (this.#shortLives < mostShortLives) this.#start();
    else this.#warn(noStandIn(how));
  }

  #warn(error: PcibackError): void {
    this.#emit(makeEvent('warning', failureDetails(error)));
  }
}

const crashLoop = (reigns: number): PcibackError =>
  new PcibackError(
    'CRASH-LOOP',
    `${reigns} stand-ins in a row took over soon after the daemon before them had; no other one is started`,
    'report this with the events of the daemon',
  );

const noStandIn = (how: string): PcibackError =>
  new PcibackError(
    'NO-STAND-IN',
    `there is no stand-in (${how}); nothing takes over when this daemon dies`,
    'see what it printed, and start the daemon again',
  );
