import { isolationStage } from '../../../src/doctor/stages/isolation.ts';
import { sbdf } from '../../host/support/functions.ts';
import { describeStage } from '../cases.ts';
import {
  display,
  displayAudio,
  host,
  nic,
  onMachine,
  patched,
  physical,
  port,
  sound,
  virtual,
  rtl8139,
} from '../support.ts';

/** Alone with INTx on line 19. */
const loud = { ...sound, irq: 19 };
const onSameLine = { ...rtl8139, irq: 19 };
const small = (fn: typeof nic, start: bigint): typeof nic => ({
  ...fn,
  resources: [{ index: 0, kind: 'memory32', prefetchable: false, start, size: 0x100n }],
});
/** A root port of the captures leads to bus 41; `acs` begins its extended capabilities. */
const port41 = (type: number, acs = false): typeof nic => {
  const express = 0x54;
  return patched(
    { ...port, sbdf: sbdf('40:01.0') },
    {
      0x06: 0x10,
      0x18: 0x40,
      0x19: 0x41,
      0x1a: 0x43,
      0x34: express,
      [express]: 0x10,
      [express + 1]: 0,
      [express + 2]: (type << 4) | 2,
      0x100: acs ? 0x0d : 0,
      0x101: 0,
      0x102: acs ? 1 : 0,
      0x103: 0,
    },
  );
};
/** Another port of the same device, and what is behind it. */
const port42 = (type: number): typeof nic =>
  patched({ ...port41(type), sbdf: sbdf('40:01.1') }, { 0x19: 0x44, 0x1a: 0x44 });
const behind42 = { ...rtl8139, sbdf: sbdf('44:00.0') };
const toConventional = 7;
const rootPort = 4;

describeStage(isolationStage, {
  bridges: [
    [host(), 'pass', /endpoint/],
    [host([port]), 'fail', /--topology passthrough/, 'BRIDGE'],
    [host([patched(nic, { 0x0e: 2 })]), 'fail', /header type 2/, 'HEADER-TYPE'],
  ],
  'shared-intx': [
    [host(), 'pass', /line 16 is its own/],
    [host([virtual]), 'pass', /no INTx/],
    [host([loud, { ...onSameLine, messageVectors: [40] }]), 'pass', /no other uses it/],
    [host([loud, { ...onSameLine, driver: 'pci-stub' }]), 'pass', /no other uses it/],
    [host([{ ...nic, irq: 19 }, onSameLine]), 'warn', /0000:44:01\.0 \(8139cp\).*uses MSI/],
    [host([loud, onSameLine]), 'fail', /nothing but INTx/, 'NOT-ISOLATED'],
    [
      onMachine({ interruptUsers: new Map([[19, ['eth1', 'usb1']]]) }, [loud, onSameLine]),
      'fail',
      /eth1 and usb1 listen on it/,
      'NOT-ISOLATED',
    ],
    [host([{ ...loud, enabled: false }, onSameLine]), 'skip', /until the function is enabled/],
    [host([{ ...loud, messageVectors: [19] }, onSameLine]), 'skip', /without MSI/],
    [host([loud, { ...onSameLine, enabled: false }]), 'pass', /its own/],
  ],
  'shared-pages': [
    [host([small(nic, 0xf000_0000n), small(sound, 0xf000_1000n)]), 'pass', /no page/],
    [
      host([small(nic, 0xf000_0000n), small(sound, 0xf000_0100n)]),
      'fail',
      /BAR 0 of 0000:44:02\.0 in page 0xf0000000.*resource_alignment=0000:41:00\.0/,
      'NOT-ISOLATED',
    ],
  ],
  siblings: [
    [host(), 'pass', /only function/],
    [host([display, displayAudio]), 'warn', /0000:45:00\.1 \(snd_hda_intel\).*0000:45:00\.\*/],
    [host([nic, { ...port, sbdf: sbdf('41:00.1') }]), 'warn', /host keeps the bridge/],
    [host([virtual, { ...nic, sbdf: sbdf('46:10.1') }]), 'pass', /only function/],
    [host([physical, { ...virtual, sbdf: sbdf('46:00.1') }]), 'pass', /only function/],
  ],
  'shared-bus': [
    [host([nic, port41(rootPort)]), 'pass', /of its own/],
    [
      host([nic, port41(toConventional), { ...rtl8139, sbdf: sbdf('41:01.0') }]),
      'fail',
      /0000:41:01\.0 \(8139cp\).*one device/,
      'NOT-ISOLATED',
    ],
    [
      host([nic, { ...port41(toConventional), config: port41(toConventional).config.slice(0, 64) }]),
      'skip',
      /as root/,
    ],
    [
      host([nic, port41(toConventional), { ...rtl8139, sbdf: sbdf('42:01.0'), driver: null }]),
      'warn',
      /same guest/,
    ],
  ],
  acs: [
    [host(), 'pass', /no peer/],
    [host([nic, port41(rootPort, true), port42(rootPort), behind42]), 'pass', /no peer/],
    [host([nic, port41(rootPort), port42(rootPort), behind42]), 'warn', /may reach 0000:44:00\.0 \(8139cp\)/],
    [
      host([nic, { ...port41(rootPort), config: port41(rootPort).config.slice(0, 64) }]),
      'skip',
      /can be read/,
    ],
  ],
  'iommu-group': [
    [
      host([
        { ...nic, iommuGroup: '7' },
        { ...sound, iommuGroup: '8' },
      ]),
      'pass',
      /alone in group 7/,
    ],
    [
      host([
        { ...nic, iommuGroup: '7' },
        { ...sound, iommuGroup: '7' },
      ]),
      'warn',
      /0000:44:02\.0/,
    ],
    [
      host([
        { ...nic, iommuGroup: '7' },
        { ...port, iommuGroup: '7' },
      ]),
      'pass',
      /alone/,
    ],
    [host(), 'skip', /in none/],
  ],
  sriov: [
    [host(), 'pass', /none/],
    [host([virtual, physical]), 'pass', /one itself/],
    [host([physical, virtual]), 'warn', /0000:46:10\.0 \(igbvf\).*sriov_numvfs/],
  ],
  'reserved-memory': [[host(), 'skip', /RMRR/]],
});
