import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { className } from '../../src/host/class-codes.ts';
import { capturedFunctions } from '../../src/host/captures/index.ts';
import { describe as nameOf, loadNames, type Names } from '../../src/host/names.ts';
import { temporaryDirectory } from './support/tree.ts';

const list = `# The form of the list, with makers that do not exist.
1af4  Balloon Works
\t1041  Inflator
\t\t1af4 1100  Inflator for models
4321  Æther Ltd.
\t0001  One
\t0002  Two
4322  Other Ltd.
\t0001  Not that one
C 02  Network controller
\t00  Ethernet controller
`;

function namesFrom(text: string, ids: readonly string[]): Names {
  const file = join(temporaryDirectory(), 'pci.ids');
  writeFileSync(file, text);
  const functions = ids.map((id) => {
    const [vendor = 0, device = 0] = id.split(':').map((part) => Number.parseInt(part, 16));
    return { vendor, device };
  });
  return loadNames(functions, ['/nonexistent/pci.ids', file]);
}

describe('names of functions', () => {
  it('come from the first list that exists', () => {
    const names = namesFrom(list, ['1af4:1041', '4321:0002']);
    expect(nameOf({ vendor: 0x4321, device: 0x0002 }, names)).toBe('Æther Ltd. Two');
    expect(nameOf({ vendor: 0x1af4, device: 0x1041 }, names)).toBe('Balloon Works Inflator');
    expect(names.device(0x4321, 0x0001)).toBeUndefined();
  });

  it('fall back to what is known anyway, then to numbers', () => {
    for (const names of [
      namesFrom(list, ['8086:10d3']),
      loadNames([{ vendor: 0x8086, device: 0x10d3 }], []),
    ]) {
      expect(nameOf({ vendor: 0x8086, device: 0x10d4 }, names)).toBe('Intel 10d4');
      expect(nameOf({ vendor: 0x8086, device: 0x10d3 }, names)).toBe('Intel 82574L');
      expect(nameOf({ vendor: 0x1af4, device: 0x1001 }, names)).toBe('Red Hat (virtio) block device');
      expect(nameOf({ vendor: 0x1af4, device: 0x1041 }, names)).toBe('Red Hat (virtio) network device');
      expect(nameOf({ vendor: 0x0e11, device: 0xa0ec }, names)).toBe('0e11:a0ec');
    }
  });

  it('are found wherever a read of the file happens to end', () => {
    const chunk = 0x1_0000;
    for (let before = 1; before <= Buffer.byteLength(list); before++) {
      const names = namesFrom(`${'#'.repeat(chunk - before - 1)}\n${list}`, ['4321:0002']);
      expect(nameOf({ vendor: 0x4321, device: 0x0002 }, names)).toBe('Æther Ltd. Two');
    }
  });

  it('need no line end at the end', () => {
    expect(namesFrom('4321  Last Ltd.', ['4321:0001']).vendor(0x4321)).toBe('Last Ltd.');
  });

  it('exist for every bundled function', () => {
    const names = loadNames(capturedFunctions(), []);
    for (const { vendor, device } of capturedFunctions()) {
      expect(names.vendor(vendor)).toBeDefined();
      expect(names.device(vendor, device)).toBeDefined();
    }
  });
});

describe('names of classes', () => {
  it.each([
    [0x02_0000, 'Ethernet controller'],
    [0x02_8000, 'Network controller'],
    [0x01_0802, 'Non-volatile memory controller (NVMe)'],
    [0x0c_0330, 'USB controller (xHCI)'],
    [0x06_0401, 'PCI bridge'],
    [0x03_0000, 'VGA controller'],
    [0xff_0000, 'Unassigned class'],
    [0x42_0000, 'Class 42'],
  ])('%i is %s', (code, name) => {
    expect(className(code)).toBe(name);
  });
});
