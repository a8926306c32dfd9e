/**
 * What a Prometheus server is told. Numbers are read when it scrapes, so the request path knows nothing of this, and each
 * scrape starts from nothing, so that series go with the function or the guest that they are about.
 */
import { Counter, Gauge, Histogram, Registry } from 'prom-client';
import type { BackendEvent, EventType } from './events.ts';
import { type Family, type Labels, type Series, type View, families } from './metric-families.ts';
import type { MetricsSource, XenstoreSample } from './metrics-sample.ts';
import { Tally } from './tally.ts';

const prefix = 'xen_pciback_';

/** States in which a guest may stay for as long as it likes. */
const restingStates: ReadonlySet<string> = new Set(['absent', 'connected', 'closed', 'released']);

export interface MetricsOptions {
  readonly version: string;
  /** Milliseconds of a clock that never goes back. */
  readonly now?: () => number;
}

export class Metrics {
  readonly #registry = new Registry();
  readonly #source: MetricsSource;
  readonly #version: string;
  readonly #now: () => number;
  readonly #handshakes: Histogram;
  readonly #tally = new Tally();
  readonly #unrefused = new Map<string, number>();
  readonly #throttled = new Map<number, number>();
  readonly #resets = new Map<string, readonly [Labels, number]>();
  readonly #guests = new Map<
    number,
    { readonly state: string; readonly rests: boolean; readonly since: number }
  >();
  #view: View;
  readonly #heard: Partial<Record<EventType, (event: BackendEvent) => void>> = {
    'function.hidden': (event) => this.#noteFunction(event),
    'function.state': (event) => this.#noteFunction(event),
    'function.unhidden': ({ subject = '' }) => this.#tally.forget(subject),
    'guest.state': (event) => this.#noteGuest(event),
    'event.storm': ({ domid = 0 }) => this.#throttled.set(domid, (this.#throttled.get(domid) ?? 0) + 1),
    'reset.completed': (event) => this.#noteReset(event, 'completed'),
    'reset.failed': (event) => this.#noteReset(event, 'failed'),
  };

  /** What functions have counted before now is not counted again. */
  constructor(source: MetricsSource, { version, now = () => performance.now() }: MetricsOptions) {
    this.#source = source;
    this.#version = version;
    this.#now = now;
    this.#view = this.#look();
    for (const [name, family] of Object.entries(families)) this.#register(name, family);
    this.#handshakes = new Histogram({
      name: `${prefix}handshake_seconds`,
      help: 'How long guests stayed in each state on their way from one connection or rest to the next.',
      labelNames: ['phase'],
      buckets: [0.001, 0.005, 0.02, 0.1, 0.5, 1, 2, 5, 10, 30, 120],
      registers: [this.#registry],
    });
  }

  get contentType(): string {
    return this.#registry.contentType;
  }

  /** State of the daemon, for those who only ask whether it works. */
  get supervisor(): string {
    return this.#source.supervisor;
  }

  /** The text of a scrape. */
  scrape(): Promise<string> {
    this.#view = this.#look();
    return this.#registry.metrics();
  }

  /** To be called with every event of the back-end, in order and at once. */
  hear(event: BackendEvent): void {
    this.#heard[event.type]?.(event);
  }

  #register(name: string, { type, help, labels, read }: Family): void {
    const settings = { name: prefix + name, help, labelNames: labels, registers: [this.#registry] };
    const view = (): readonly Series[] => read(this.#view);
    if (type === 'gauge') {
      const collect = function (this: Gauge): void {
        this.reset();
        for (const [its, value] of view()) this.set(its, value);
      };
      void new Gauge({ ...settings, collect });
    } else {
      const collect = function (this: Counter): void {
        this.reset();
        for (const [its, value] of view()) this.inc(its, value);
      };
      void new Counter({ ...settings, collect });
    }
  }

  #look(): View {
    const functions = this.#source.functions();
    for (const { sbdf, record } of functions) this.#tally.note(sbdf, record);
    const xenstore = this.#source.xenstore();
    if (xenstore) this.#noteUnrefused(xenstore);
    return {
      version: this.#version,
      functions,
      tally: this.#tally,
      xenstore,
      unrefused: this.#unrefused,
      throttled: this.#throttled,
      resets: this.#resets,
      stalled: this.#source.guests().filter(({ isStalled }) => isStalled).length,
    };
  }

  /** A request counts as not refused until it is; that must not take it off again. */
  #noteUnrefused({ requests, refusals }: XenstoreSample): void {
    for (const [op, sent] of Object.entries(requests)) {
      const refused = Object.entries(refusals).reduce(
        (sum, [key, times]) => (key.startsWith(`${op} `) ? sum + times : sum),
        0,
      );
      this.#unrefused.set(op, Math.max(this.#unrefused.get(op) ?? 0, sent - refused));
    }
  }

  /** When a function is hidden, its record says for the last time what its guest has done. */
  #noteFunction({ subject = '', to }: BackendEvent): void {
    if (to !== 'hidden' && to !== 'quarantined') return;
    const sample = this.#source.function(subject);
    if (sample) this.#tally.note(subject, sample.record);
  }

  #noteGuest({ domid = 0, to = '', data }: BackendEvent): void {
    const now = this.#now();
    const before = this.#guests.get(domid);
    if (before && !before.rests)
      this.#handshakes.observe({ phase: before.state }, (now - before.since) / 1000);
    if (to === 'released') {
      this.#guests.delete(domid);
      this.#throttled.delete(domid);
    } else {
      // An HVM guest waits for no front-end.
      const rests = restingStates.has(to) || data?.['reachedBy'] === 'device model';
      this.#guests.set(domid, { state: to, rests, since: now });
    }
  }

  /** Of a reset that failed only the function is told. */
  #noteReset({ subject = '', cause }: BackendEvent, result: string): void {
    const method = cause ?? this.#source.function(subject)?.resetMethod ?? 'none';
    const key = `${method} ${result}`;
    this.#resets.set(key, [{ method, result }, (this.#resets.get(key)?.[1] ?? 0) + 1]);
  }
}
