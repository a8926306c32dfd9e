import { PcibackError } from '../../errors.ts';
import { Hypervisor } from '../../host/hypervisor.ts';
import { isNativeError } from '../../host/native.ts';

/** Whether Xen has an IOMMU in use. Throws NO-XEN, NO-PERMISSION or NO-NATIVE-ADDON. */
export function hasIommu(): boolean {
  const xen = Hypervisor.xen();
  try {
    return xen.hasIommu();
  } catch (cause) {
    if (!isNativeError(cause)) throw cause;
    throw new PcibackError(
      'NO-XEN',
      `Xen does not answer: ${cause.message}`,
      'run pciback in dom0, as root',
      {
        cause,
      },
    );
  } finally {
    xen.close();
  }
}
