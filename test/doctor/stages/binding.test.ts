import { bindingStage } from '../../../src/doctor/stages/binding.ts';
import { describeStage } from '../cases.ts';
import { claimed, host, nic, onMachine, patched, refusal, sound, withDaemon, virtual } from '../support.ts';

describeStage(bindingStage, {
  stub: [
    [onMachine({ stubs: ['pciback', 'pci-stub'] }), 'pass', /takes over/],
    [host(), 'pass', /modprobe xen-pciback/],
    [onMachine({ stubs: [], canLoadStub: true }), 'pass', /loaded when/],
    [onMachine({ stubs: [] }), 'fail', /CONFIG_PCI_STUB/, 'NO-STUB-DRIVER'],
  ],
  driver: [
    [host(), 'pass', /e1000e, until/],
    [host([{ ...nic, driver: 'pci-stub' }]), 'pass', /holds it for guests/],
    [host([{ ...nic, driver: null }]), 'pass', /no driver/],
  ],
  'in-use': [
    [host(), 'pass', /not using it/],
    [
      host([{ ...nic, users: [{ what: 'eth0', detail: 'has a route', remedy: 'ip link set eth0 down' }] }]),
      'fail',
      /eth0 \(has a route\).*ip link set eth0 down.*--force/,
      'HOST-USES-IT',
    ],
    [host([{ ...nic, users: null }]), 'skip', /not told/],
  ],
  state: [
    [host(), 'pass', /the host has it/],
    [
      withDaemon({ functions: [{ sbdf: '0000:41:00.0', state: 'hidden', owner: null, reason: null }] }),
      'pass',
      /hidden/,
    ],
    [
      withDaemon({
        functions: [{ sbdf: '0000:41:00.0', state: 'quarantined', owner: null, reason: 'no answer' }],
      }),
      'fail',
      /no answer.*pciback reset 0000:41:00\.0/,
      'QUARANTINED',
    ],
    [
      withDaemon({ functions: [{ sbdf: '0000:41:00.0', state: 'connected', owner: 5, reason: null }] }),
      'warn',
      /domain 5 has it.*pciback detach 5 0000:41:00\.0/,
    ],
    [claimed(6, true), 'warn', /domain 6 has it.*xl pci-detach 6 0000:41:00\.0/],
    [claimed(6, false), 'warn', /domain 6, which is gone.*xenstore-rm \/libxl\/pci\/0000-41-00-0\/domid/],
    [
      host([nic], { daemon: { ok: true, value: undefined }, store: refusal('NO-XENSTORE') }),
      'skip',
      /without a daemon/,
    ],
  ],
  reset: [
    [host(), 'pass', /by pm, or bus/],
    [host([sound]), 'warn', /flr: no PCI Express capability/],
  ],
  interrupts: [
    [host(), 'pass', /MSI-X, MSI and INTx on line 16/],
    [host([{ ...sound, irq: 0 }]), 'fail', /line 0, which leads nowhere/, 'NO-INTERRUPT'],
    [host([{ ...sound, irq: 255 }]), 'fail', /line 255/, 'NO-INTERRUPT'],
    [host([{ ...nic, irq: 0 }]), 'warn', /guest uses MSI/],
    [host([patched(sound, { 0x3d: 0 })]), 'pass', /polls/],
    // Pending bits beyond BAR 3; a table in a BAR that there is not; in a BAR of ports.
    [
      host([patched(nic, { 0xa9: 0xff })]),
      'warn',
      /refused MSI-X, .*what is left is MSI and INTx on line 16/,
    ],
    [host([patched(nic, { 0xa4: 5 })]), 'warn', /refused MSI-X/],
    [host([patched(nic, { 0xa4: 2 })]), 'warn', /refused MSI-X/],
    // And nothing else: without MSI in the list, and without a pin.
    [host([patched(nic, { 0xa9: 0xff, 0xc9: 0xe0, 0x3d: 0 })]), 'fail', /refused MSI-X/, 'NO-INTERRUPT'],
    [host([patched({ ...nic, config: nic.config.slice(0, 64) }, { 0x3d: 0 })]), 'skip', /as root/],
  ],
  'memory-decode': [
    [host([patched(nic, { 0x04: 0x06 })]), 'pass', /is on/],
    [host([sound]), 'pass', /no memory BARs/],
    [host([{ ...patched(nic, { 0x04: 0 }), enabled: false }]), 'pass', /until pciback hide/],
    [host([{ ...patched(nic, { 0x04: 0 }), driver: 'pci-stub' }]), 'warn', /pciback unhide 0000:41:00\.0/],
    [host([{ ...virtual, driver: 'pci-stub' }]), 'pass', /physical function/],
  ],
});
