/** Stage 2: does Xen have an IOMMU to confine devices with? */
import { fail, listed, ofMachine, ofXen, pass, skip, type Stage, warn } from '../check.ts';

const firmware = ofMachine('firmware', 'does firmware describe an IOMMU?', ({ iommuTables, xen }) => {
  if (iommuTables.length > 0) return pass(`ACPI table ${listed(iommuTables)}`);
  if (xen?.hasIommu.ok && xen.hasIommu.value) return pass('Xen has found one');
  return warn(
    'no DMAR or IVRS among the ACPI tables',
    'the IOMMU is absent, or switched off in the firmware',
    'enable VT-d (Intel) or AMD-Vi in the setup of the firmware',
  );
});

const iommu = ofXen('iommu', 'does Xen use an IOMMU?', ({ hasIommu }, { iommuTables }) => {
  if (!hasIommu.ok) return skip('not to be told: Xen cannot be asked');
  if (hasIommu.value) return pass('Xen confines devices');
  const described = iommuTables.length > 0;
  return fail(
    'NO-IOMMU',
    'Xen has no IOMMU in use',
    described
      ? 'firmware describes one, so Xen was told not to use it or found it faulty; a device could read and write all memory'
      : 'firmware describes none; a device could read and write all memory',
    described
      ? 'put iommu=1 on the command line of Xen, without iommu=off, and see what Xen said of it at boot'
      : 'enable VT-d (Intel) or AMD-Vi in the setup of the firmware, and put iommu=1 on the command line of Xen',
  );
});

export const iommuStage: Stage = { stage: 'iommu', title: 'IOMMU', checks: [iommu, firmware] };
