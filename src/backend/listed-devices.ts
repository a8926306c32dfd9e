/** What the toolstack lists in a guest's directory: functions to export, functions to take back, and how each is answered. */
import { failureOf } from '../../machines/function.ts';
import { formatSbdf, type Sbdf } from '../address.ts';
import { PcibackError } from '../errors.ts';
import { failureDetails, makeEvent } from '../monitor/events.ts';
import { type DeviceEntry, type GuestView, XenbusState, quote } from '../xenbus/index.ts';
import { type Fence, isEnding } from './fence.ts';
import type { GuestFunctions } from './guest-functions.ts';
import type { SessionHost } from './session-host.ts';
import type { XenbusWriter } from './xenbus-writer.ts';

const { Initialising, Initialised, Closing, Closed } = XenbusState;

export class ListedDevices {
  readonly #host: SessionHost;
  readonly #domid: number;
  readonly #functions: GuestFunctions;
  readonly #writer: XenbusWriter;
  readonly #fence: Fence;

  constructor(
    host: SessionHost,
    domid: number,
    functions: GuestFunctions,
    writer: XenbusWriter,
    fence: Fence,
  ) {
    this.#host = host;
    this.#domid = domid;
    this.#functions = functions;
    this.#writer = writer;
    this.#fence = fence;
  }

  /**
   * Exports what is listed before the front-end is up. Of the functions that a guest is created with, one that cannot be exported fails
   * the guest, which was promised all of them. One that is added to those it has is refused by itself.
   */
  async exportAll(view: GuestView): Promise<void> {
    if (view.badCount !== undefined) {
      throw new PcibackError(
        'BACKEND-KEYS',
        `num_devs of domain ${this.#domid} is ${quote(view.badCount)}, which is no number of functions`,
        'see what the toolstack wrote there',
      );
    }
    const hasFunctions = this.#functions.exported().length > 0;
    for (const device of view.devices ?? []) {
      if (device.state === Closing) {
        await this.#takeBack(device);
        // Without a front-end there is no handshake whose end would tell the toolstack.
        await this.#writer.withdrawn(device.index);
      } else if (device.state !== Closed && !this.#isExported(device)) {
        await (hasFunctions ? this.#exportOrReject(device) : this.#export(device));
      }
    }
    await this.#writer.publishRoots(this.#functions.roots());
  }

  /** Always ends: what cannot be added is refused by itself, what cannot be taken back was never here. */
  async followChanges(view: GuestView): Promise<void> {
    for (const device of view.devices ?? []) {
      if (device.state === Closing) await this.#takeBack(device);
      else if (device.state === Initialising) await this.#exportOrReject(device);
    }
    await this.#writer.publishRoots(this.#functions.roots());
  }

  /** The guest has it, its worker too, and its directory says so. */
  #isExported({ sbdf, state, vdev }: DeviceEntry): boolean {
    if (sbdf === undefined || vdev === undefined || state !== Initialised) return false;
    return this.#functions.isInHand(sbdf) && this.#functions.guestAddressOf(sbdf) === vdev;
  }

  async #export(device: DeviceEntry): Promise<void> {
    const { sbdf, index } = device;
    if (sbdf === undefined) {
      throw new PcibackError(
        'BACKEND-KEYS',
        `dev-${index} of domain ${this.#domid} is missing or no PCI address`,
        'see what the toolstack wrote there',
      );
    }
    this.#fence.check();
    await this.#host.host.hideListed(sbdf, this.#domid);
    this.#host.host.requireIsolated(sbdf, this.#domid);
    this.#warnOfFormerOwner(sbdf);
    const guestAddress = await this.#functions.take(sbdf, device.requestedDevfn, device.permissive);
    await this.#writer.exported(index, sbdf, guestAddress);
  }

  /** Xen looks at permissions when a page is mapped, and never again (xen/arch/x86/mm.c, get_page_from_l1e). */
  #warnOfFormerOwner(sbdf: Sbdf): void {
    const { registry, platform, emit } = this.#host;
    const former = registry.formerOwnerOf(sbdf);
    if (platform.kind !== 'xen' || former === undefined || former === this.#domid) return;
    if (platform.domainState(former) === 'absent') return;
    emit(
      makeEvent('warning', {
        sbdf,
        domid: this.#domid,
        reason: 'NOT-ISOLATED',
        message: `domain ${former}, which had ${formatSbdf(sbdf)} before, still exists: what it has mapped of its registers it can still reach`,
        remedy: 'hand functions from a guest that is not trusted to another only after it has been destroyed',
      }),
    );
  }

  async #exportOrReject(device: DeviceEntry): Promise<void> {
    try {
      await this.#export(device);
    } catch (error) {
      if (!(error instanceof PcibackError) || isEnding(error)) throw error;
      const sbdf = device.sbdf === undefined ? {} : { sbdf: device.sbdf };
      this.#host.emit(makeEvent('attach.failed', { ...sbdf, domid: this.#domid, ...failureDetails(error) }));
      // First the reason: a toolstack that sees the state looks for it.
      await this.#writer.fatal(failureOf(error));
      await this.#writer.withdrawn(device.index);
    }
  }

  async #takeBack({ sbdf, index }: DeviceEntry): Promise<void> {
    if (sbdf !== undefined && this.#functions.guestAddressOf(sbdf) !== undefined) {
      await this.#functions.giveBack(sbdf);
      return;
    }
    const named = sbdf === undefined ? `dev-${index}` : formatSbdf(sbdf);
    this.#host.emit(
      makeEvent('warning', {
        domid: this.#domid,
        reason: 'NOT-ATTACHED',
        message: `${named} is to be detached from domain ${this.#domid}, which does not have it`,
      }),
    );
  }
}
