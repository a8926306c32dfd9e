import {
  type BackendStatus,
  type GuestStatus,
  PciBackend,
  type PciBackendOptions,
  type Sbdf,
  formatSbdf,
} from 'pciback';
import { Surroundings, captures, hideList } from './surroundings.ts';

/** A host whose back-end is the library, as it is built, in this process. It has all captures. */
export class Host extends Surroundings {
  readonly backend: PciBackend;

  /** With these functions hidden. */
  static async start(hidden: readonly Sbdf[], options: Partial<PciBackendOptions> = {}): Promise<Host> {
    const host = new Host({ hide: hideList(hidden), ...options });
    try {
      await host.backend.start();
      await host.connect();
    } catch (error) {
      await host[Symbol.asyncDispose]();
      throw error;
    }
    return host;
  }

  private constructor(options: Partial<PciBackendOptions>) {
    super();
    this.backend = new PciBackend({
      platform: { kind: 'loopback', directory: this.directory },
      functions: captures,
      workers: 1,
      ...options,
    });
    this.backend.events$.subscribe((event) => this.note(event));
  }

  override async status(): Promise<BackendStatus> {
    return this.backend.status();
  }

  /** What the back-end says of a function: its state, and which guest has it. */
  function(sbdf: Sbdf): { readonly state: string; readonly owner: number | null } | undefined {
    const found = this.backend.status().functions.find((each) => each.sbdf === formatSbdf(sbdf));
    return found && { state: found.state, owner: found.owner };
  }

  guest(domid: number): GuestStatus | undefined {
    return this.backend.status().guests.find((each) => each.domid === domid);
  }

  /** Waits until there were so many events of this type. */
  async untilEvents(what: string, type: Parameters<Host['count']>[0], least: number): Promise<void> {
    await this.untilStatus(what, () => this.count(type) >= least);
  }

  protected override end(): Promise<void> {
    return this.backend.stop();
  }
}
