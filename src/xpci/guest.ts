/** One guest: a front-end, and the commands that it carries out. */
import { map, merge, Subject, type Observable } from 'rxjs';
import { formatSbdf, parseSbdf } from '../address.ts';
import { xenbusStateName } from '../xenbus/state.ts';
import type { GuestBus } from './bus.ts';
import type { GuestFunction } from './enumerate.ts';
import { FrontEnd, type FrontEndEvent } from './frontend.ts';
import type {
  FunctionReport,
  GuestCommandName,
  GuestCommands,
  GuestEvent,
  GuestStatus,
} from './guest-protocol.ts';
import { catalogue } from './hostile/catalogue.ts';
import { attempt } from './hostile/run.ts';
import type { RawPage } from './hostile/raw-page.ts';
import type { InterruptLines } from './hypervisor.ts';
import { listBus } from './listing.ts';
import { Load } from './load.ts';

export interface GuestOptions {
  readonly domid: number;
  readonly frontEnd: FrontEnd;
  readonly interrupts: InterruptLines;
  /** The page behind the front-end's requests, while there is one. */
  readonly rawPage: () => RawPage | null;
}

type Handlers = {
  readonly [Name in GuestCommandName]: (
    take: GuestCommands[Name]['take'],
  ) => Promise<GuestCommands[Name]['give']> | GuestCommands[Name]['give'];
};

export class Guest {
  readonly #options: GuestOptions;
  readonly #attempts = new Subject<GuestEvent>();
  #isLoadWanted = false;

  constructor(options: GuestOptions) {
    this.#options = options;
  }

  get events(): Observable<GuestEvent> {
    const { frontEnd } = this.#options;
    return merge(frontEnd.events.pipe(map((event) => toMessage(event, frontEnd.bus))), this.#attempts);
  }

  /** Carries out one command. Rejects with what went wrong. */
  async perform<Name extends GuestCommandName>(
    name: Name,
    take: GuestCommands[Name]['take'],
  ): Promise<GuestCommands[Name]['give']> {
    const handler = this.#handlers[name] as Handlers[Name] | undefined;
    if (!handler) throw new Error(`there is no command ${JSON.stringify(name)}`);
    return handler(take);
  }

  readonly #handlers: Handlers = {
    status: () => this.#status(),
    listing: () => ({ lines: listBus(this.#bus) }),
    scan: async () => {
      const found = await this.#options.frontEnd.rescan();
      return { found: found.map(({ address }) => formatSbdf(address)) };
    },
    enable: ({ address }) => ({ enabled: this.#each(address, (fn) => void this.#bus.enable(fn.address)) }),
    enableMsix: ({ address, count }) => ({
      vectors: this.#vectors(address, (fn) =>
        fn.msix ? this.#bus.enableMsix(fn.address, count).vectors : [],
      ),
    }),
    enableMsi: ({ address }) => ({
      vectors: this.#vectors(address, (fn) => (fn.msi ? this.#bus.enableMsi(fn.address).vectors : [])),
    }),
    disableInterrupts: ({ address }) => ({
      modes: Object.fromEntries(
        this.#chosen(address).map((fn) => [
          formatSbdf(fn.address),
          this.#bus.disableMessageInterrupts(fn.address).mode,
        ]),
      ),
    }),
    interrupts: ({ address }) => ({ pirqs: this.#countInterrupts(address) }),
    hostile: ({ address, only }) => this.#beHostile(address, only),
    load: ({ seconds }) => {
      this.#isLoadWanted = true;
      return new Load(this.#bus).run(seconds, () => this.#isLoadWanted);
    },
    stopLoad: () => {
      this.#isLoadWanted = false;
      return {};
    },
    reconnect: ({ magic }) => {
      this.#options.frontEnd.reconnect(magic);
      return {};
    },
    shutdown: async () => {
      this.#isLoadWanted = false;
      await this.#options.frontEnd.close();
      return {};
    },
  };

  get #bus(): GuestBus {
    const { bus } = this.#options.frontEnd;
    if (!bus) throw new Error('the guest is not connected');
    return bus;
  }

  #status(): GuestStatus {
    const { domid, frontEnd } = this.#options;
    const { bus } = frontEnd;
    return {
      domid,
      variant: frontEnd.variant.name,
      connected: bus !== null,
      functions: bus ? bus.functions.map((fn) => reportFunction(fn, bus)) : [],
      requests: bus?.requester.sent ?? 0,
      lost: bus?.requester.lost ?? 0,
    };
  }

  /** The function with this address, or all of them. */
  #chosen(address: string | undefined): readonly GuestFunction[] {
    if (address === undefined) return this.#bus.functions;
    const wanted = parseSbdf(address);
    const found = this.#bus.functions.filter((fn) => fn.address === wanted);
    if (found.length === 0) throw new Error(`there is no function ${JSON.stringify(address)} on this bus`);
    return found;
  }

  #each(address: string | undefined, perform: (fn: GuestFunction) => void): string[] {
    const chosen = this.#chosen(address);
    for (const fn of chosen) perform(fn);
    return chosen.map((fn) => formatSbdf(fn.address));
  }

  /** Functions without the capability have no entry in the result. */
  #vectors(
    address: string | undefined,
    enable: (fn: GuestFunction) => readonly number[],
  ): Record<string, readonly number[]> {
    const vectors = this.#chosen(address).map((fn) => [formatSbdf(fn.address), enable(fn)] as const);
    return Object.fromEntries(vectors.filter(([, pirqs]) => pirqs.length > 0));
  }

  #countInterrupts(address: string | undefined): { pirq: number; events: number }[] {
    const pirqs = new Set(this.#chosen(address).flatMap((fn) => this.#bus.interrupts(fn.address).vectors));
    return [...pirqs].map((pirq) => ({ pirq, events: this.#options.interrupts.countInterrupts(pirq) }));
  }

  async #beHostile(
    address: string | undefined,
    only: readonly string[] | undefined,
  ): Promise<GuestCommands['hostile']['give']> {
    const attempts = only ? catalogue.filter(({ name }) => only.includes(name)) : catalogue;
    const results = [];
    for (const fn of this.#chosen(address)) {
      for (const what of attempts) {
        const outcome = await attempt(what, { bus: this.#bus, fn, page: this.#options.rawPage() });
        const result = { address: formatSbdf(fn.address), ...outcome };
        results.push(result);
        this.#attempts.next({ type: 'attempt', ...result });
      }
    }
    return { results };
  }
}

export function reportFunction(fn: GuestFunction, bus: GuestBus): FunctionReport {
  const hex = (value: bigint): string => `0x${value.toString(16)}`;
  return {
    address: formatSbdf(fn.address),
    vendor: fn.vendor,
    device: fn.device,
    classCode: fn.classCode,
    bars: fn.bars.map(({ index, kind, base, size }) => ({ index, kind, base: hex(base), size: hex(size) })),
    capabilities: fn.capabilities.map(({ id, offset, extended }) => ({ id, offset, extended })),
    msixEntries: fn.msix?.entries ?? 0,
    interrupts: bus.interrupts(fn.address),
  };
}

function toMessage(event: FrontEndEvent, bus: GuestBus | null): GuestEvent {
  if (event.type === 'state' || event.type === 'backend-state')
    return { type: event.type, state: xenbusStateName(event.state) };
  if (event.type === 'connected' || event.type === 'added') {
    const functions = bus ? event.functions.map((fn) => reportFunction(fn, bus)) : [];
    return { type: event.type, functions };
  }
  if (event.type === 'removed') return { type: 'removed', addresses: event.addresses.map(formatSbdf) };
  return event;
}
