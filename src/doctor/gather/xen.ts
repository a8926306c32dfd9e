import { Hypervisor } from '../../host/hypervisor.ts';

/** Whether Xen has an IOMMU in use. Throws NO-XEN, NO-PERMISSION, NO-NATIVE-ADDON or HYPERCALL-FAILED. */
export function hasIommu(): boolean {
  const xen = Hypervisor.xen();
  try {
    return xen.hasIommu();
  } finally {
    xen.close();
  }
}
