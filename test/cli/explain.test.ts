import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { Explanation } from '../../src/index.ts';
import { writeCapturedTree } from '../foreign/captured-tree.ts';
import { makeDirectory, makeTree, run, runHere } from './run.ts';

async function capturedTree(): Promise<string> {
  const directory = await makeDirectory();
  writeCapturedTree(directory);
  return directory;
}

describe('without a daemon', () => {
  it('tells what a guest could do with a function, register by register', async () => {
    const words = await runHere(['explain', '03:00.0', '--sysfs', await capturedTree()]);
    const [head = '', ...lines] = words.split('\n');
    // The name is as this machine's pci.ids has it.
    expect(head).toMatch(/^0000:03:00\.0 {2}8086:10d3 {2}Intel .*82574L/);
    expect(lines.join('\n')).toBe(`not hidden: this is what a guest could do if it had it

REGISTER   NAME                                READ FROM  CHANGES   DENIED  WRITES
0x000/2    Vendor ID                           pciback    -         -       read-only
0x002/2    Device ID                           pciback    -         -       read-only
0x004/2    Command                             both       0017      -       bus mastering and memory-write-invalidate; decoding goes on but never off; the rest is a shadow
0x006/2    Status                              hardware   -         -       dropped
0x008/4    Class code and revision             pciback    -         -       dropped
0x00c/1    Cache line size                     hardware   ff        -       forwarded
0x00d/1    Latency timer                       hardware   -         -       read-only
0x00e/1    Header type                         pciback    -         -       dropped
0x00f/1    BIST                                hardware   ff        -       starts the self test; nothing else
0x010/4    BAR 0                               pciback    ffffffff  -       all ones show the size; the original address is restored; anything else is ignored
0x014/4    BAR 1                               pciback    ffffffff  -       all ones show the size; the original address is restored; anything else is ignored
0x018/4    BAR 2                               pciback    ffffffff  -       all ones show the size; the original address is restored; anything else is ignored
0x01c/4    BAR 3                               pciback    ffffffff  -       all ones show the size; the original address is restored; anything else is ignored
0x020/4    BAR 4                               pciback    ffffffff  -       all ones show the size; the original address is restored; anything else is ignored
0x024/4    BAR 5                               pciback    ffffffff  -       all ones show the size; the original address is restored; anything else is ignored
0x028/4    CardBus CIS pointer                 pciback    -         -       dropped
0x02c/2    Subsystem vendor ID                 pciback    -         -       dropped
0x02e/2    Subsystem ID                        pciback    -         -       dropped
0x030/4    Expansion ROM                       pciback    ffffffff  -       all ones show the size; the original address is restored; anything else is ignored
0x034/1    Capabilities pointer                pciback    -         -       dropped
0x035-03b  Other registers                     hardware   -         -       dropped
0x03c/1    Interrupt line                      pciback    -         -       read-only
0x03d/1    Interrupt pin                       pciback    -         -       read-only
0x03e/1    Minimum grant                       pciback    -         -       dropped
0x03f/1    Maximum latency                     pciback    -         -       dropped
0x040-09f  Other registers                     hardware   -         -       dropped
0x0a0/2    MSI-X capability                    pciback    -         -       read-only
0x0a2/2    MSI-X control                       hardware   -         -       switched by requests of its own; writes only with interrupt control
0x0a4/4    MSI-X table                         pciback    -         -       dropped
0x0a8/4    MSI-X pending bits                  pciback    -         -       dropped
0x0ac/4    Other registers                     hardware   -         -       dropped
0x0b0/2    Vital product data capability       pciback    -         -       read-only
0x0b2/2    VPD address                         hardware   ffff      -       starts a read; a write of vital product data is refused
0x0b4/4    VPD data                            hardware   -         -       read-only
0x0b8-0c7  Other registers                     hardware   -         -       dropped
0x0c8/2    Power management capability         pciback    -         -       read-only
0x0ca/2    Power management capabilities       pciback    -         -       read-only
0x0cc/2    Power management control            hardware   9e03      -       power state and data select; PME_Status is cleared by writing one
0x0ce/1    Power management bridge extensions  hardware   -         -       read-only
0x0cf/1    Power management data               hardware   -         -       read-only
0x0d0/2    MSI capability                      pciback    -         -       read-only
0x0d2/2    MSI control                         hardware   -         -       switched by requests of its own; writes only with interrupt control
0x0d4/4    MSI address                         hardware   -         -       dropped
0x0d8/4    MSI upper address                   hardware   -         -       dropped
0x0dc/2    MSI data                            hardware   -         -       dropped
0x0de/2    Other registers                     hardware   -         -       dropped
0x0e0/4    PCI Express capability              pciback    -         -       dropped
0x0e4/4    PCIe device capabilities            pciback    -         -       dropped
0x0e8/2    PCIe device control                 hardware   -         -       dropped
0x0ea/2    PCIe device status                  hardware   -         -       dropped
0x0ec/4    PCIe link capabilities              hardware   -         -       dropped
0x0f0/2    PCIe link control                   hardware   -         -       dropped
0x0f2/2    PCIe link status                    hardware   -         -       dropped
0x0f4-0ff  Other registers                     hardware   -         -       dropped
0x100/4    Advanced error reporting            pciback    -         -       dropped
0x104/4    Uncorrectable error status          hardware   -         -       dropped
0x108-10f  Other registers                     hardware   -         -       dropped
0x110/4    Correctable error status            hardware   -         -       dropped
0x114-13f  Other registers                     hardware   -         -       dropped
0x140/4    Device serial number                pciback    -         -       dropped
0x144-fff  Other registers                     hardware   -         -       dropped`);
  });

  it('tells programs the same', async () => {
    const { code, stdout } = await run([
      'explain',
      'pci_0000_04_00_0',
      '--json',
      '--sysfs',
      await capturedTree(),
    ]);
    expect(code).toBe(0);
    const explanation = JSON.parse(stdout) as Explanation;
    expect(explanation).toMatchObject({
      sbdf: '0000:04:00.0',
      vendor: '144d',
      device: 'a808',
      state: 'host',
      owner: null,
      known: 4096,
      denials: [],
      proposals: [],
    });
    expect(explanation.registers.reduce((sum, { size }) => sum + size, 0)).toBe(4096);
    expect(explanation.registers.find(({ name }) => name === 'Command')).toMatchObject({
      offset: 4,
      size: 2,
      reaches: 0x16,
    });
  });

  it('says so when most of a function cannot be read', async () => {
    const tree = await makeTree({ '0000:03:00.0': { ids: [0x8086, 0x10d3], classCode: 0x02_0000 } });
    const { code, stdout, stderr } = await run(['explain', '03:00.0', '--sysfs', tree]);
    expect(code).toBe(0);
    expect(stderr).toBe(
      'pciback: warning: only its first 64 bytes can be read, so its capabilities are unknown; root sees all\n',
    );
    expect(stdout).not.toContain('capability');
  });

  it('is for one function that is there, and that can be exported', async () => {
    const tree = await makeTree({
      '0000:03:00.0': { ids: [1, 2], classCode: 0 },
      '0000:03:00.1': { ids: [1, 2], classCode: 0 },
    });
    const explain = (spec: string): Promise<string> => runHere(['explain', spec, '--sysfs', tree]);
    await expect(explain('04:00.0')).rejects.toMatchObject({ reason: 'NO-SUCH-FUNCTION' });
    await expect(explain('03:00.*')).rejects.toMatchObject({
      reason: 'USAGE',
      remedy: 'name one: 0000:03:00.0, 0000:03:00.1',
    });
    await mkdir(join(tree, '0000:05:00.0'));
    const config = Buffer.alloc(256);
    config[0x0e] = 2;
    await writeFile(join(tree, '0000:05:00.0', 'config'), config);
    await expect(explain('05:00.0')).rejects.toMatchObject({ reason: 'HEADER-TYPE' });
  });
});
