/**
 * Takes guests from the kernel's own back-end. As it lets go it writes Closed, and a front-end that sees that shuts down for good (Linux
 * drivers/pci/xen-pcifront.c, pcifront_backend_changed; mini-os gives its device up). So only a guest is taken whose front-end has not
 * come up, and it stands still until its directory says InitWait: it has seen nothing.
 */
import type { GuestView } from '../xenbus/index.ts';
import { XenbusState } from '../xenbus/index.ts';
import { Fence } from './fence.ts';
import { readGuestView } from './guest-view.ts';
import { whilePaused } from './pause.ts';
import type { SessionHost } from './session-host.ts';
import { XenbusWriter } from './xenbus-writer.ts';

const { Initialising, InitWait, Initialised, Closing, Closed } = XenbusState;

/**
 * Seconds of processor time after which a guest is at work: then it is not stopped for this, and stays the kernel's. Booting, it
 * notices nothing but a moment that is missing.
 */
const longestBoot = 30;

export type TakeoverHost = Pick<SessionHost, 'xenstore' | 'platform' | 'pauses'>;

/** Whether its front-end has not come up, as far as the guest has got to be asked. */
const isUntouched = ({ present, frontendState, ended }: GuestView): boolean =>
  present && !ended && frontendState <= Initialising;

/**
 * Takes the guest over from the kernel's driver, which is bound; its directory says InitWait then. False when it stays the kernel's. Rejects
 * with KERNEL-BACKEND when the driver does not let go.
 */
export async function takeFromKernel(host: TakeoverHost, domid: number): Promise<boolean> {
  const { xenstore, platform, pauses } = host;
  if (!isUntouched(await readGuestView(xenstore, platform, domid))) return false;
  if (platform.processorSeconds(domid) > longestBoot) return false;
  return whilePaused(platform, pauses, domid, async () => {
    // Twice: what the guest had asked of xenstored when it was stopped is answered before the second look.
    await readGuestView(xenstore, platform, domid);
    if (!isUntouched(await readGuestView(xenstore, platform, domid))) return false;
    await platform.takeFromKernel(domid);
    const writer = new XenbusWriter(xenstore, domid, new Fence(platform, domid));
    await writer.advance([Initialising, Initialised, Closing, Closed], InitWait);
    return true;
  });
}
