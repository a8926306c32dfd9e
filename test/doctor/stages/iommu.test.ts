import { iommuStage } from '../../../src/doctor/stages/iommu.ts';
import { describeStage } from '../cases.ts';
import { host, onMachine, onXen, refusal } from '../support.ts';

describeStage(iommuStage, {
  iommu: [
    [host(), 'pass', /confines/],
    [onXen({ hasIommu: { ok: true, value: false } }), 'fail', /told not to use it.*iommu=1/, 'NO-IOMMU'],
    [onXen({ hasIommu: refusal('NO-XEN') }), 'skip', /cannot be asked/],
  ],
  firmware: [
    [host(), 'pass', /RMAD/],
    [onMachine({ iommuTables: [] }), 'pass', /Xen has found one/],
    [onMachine({ iommuTables: [], xen: null }), 'warn', /VT-d/],
  ],
});
