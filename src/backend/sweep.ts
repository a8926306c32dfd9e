import type { Sbdf } from '../address.ts';
import { backendPath, claimPath, domainPath, readBackendView } from '../xenbus/index.ts';
import type { Fence } from './fence.ts';
import type { SessionHost } from './session-host.ts';

/**
 * libxl never removes the back-end directory of a guest that died, and waits ten seconds for each function of one that was shut
 * down to be given back by the guest: what nobody will ever close is removed here. Rejects with KERNEL-BACKEND where the fence is closed.
 */
export async function sweep(
  { xenstore, platform }: Pick<SessionHost, 'xenstore' | 'platform'>,
  domid: number,
  functions: readonly Sbdf[],
  fence: Pick<Fence, 'check'>,
): Promise<void> {
  const isGone = !(await xenstore.isIntroduced(domid));
  await xenstore.transaction(async (tx) => {
    const { devices = [] } = await readBackendView((path) => tx.read(path), domid);
    await tx.rm(backendPath(domid).replace(/\/0$/, ''));
    const listed = devices.flatMap(({ sbdf }) => (sbdf === undefined ? [] : [sbdf]));
    for (const claim of new Set([...functions, ...listed].map(claimPath))) {
      if ((await tx.read(claim)) === String(domid)) await tx.rm(claim);
    }
    // On the loopback platform nobody else looks after what is left of a domain.
    if (isGone && platform.kind === 'loopback') await tx.rm(domainPath(domid));
    fence.check();
  });
}
