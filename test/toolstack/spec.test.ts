import { describe, expect, it } from 'vitest';
import { PcibackError } from '../../src/errors.ts';
import { formatPattern } from '../../src/toolstack/address-text.ts';
import { parseSpec, specOf, type PciSpec } from '../../src/toolstack/spec.ts';

function meaningOf({ target, vslot, options }: PciSpec): string {
  const device =
    target.kind === 'address'
      ? formatPattern(target.pattern)
      : target.kind === 'name'
        ? `name ${target.name}`
        : 'path';
  const set = Object.entries(options).map(([option, value]) => `${option}=${String(value)}`);
  return [device, ...(vslot ? [`slot ${vslot.toString(16)}`] : []), ...set].join(' ');
}

function read(text: string): { meaning: string; warnings: number } {
  const result = parseSpec(text);
  if (!result.ok) throw new Error(`${text}: ${result.problems.map(({ what }) => what).join('; ')}`);
  return { meaning: meaningOf(result.spec), warnings: result.warnings.length };
}

function firstMistake(text: string): [number, number, string] | undefined {
  const result = parseSpec(text);
  const found = result.ok ? undefined : result.problems[0];
  return found && [found.at, found.length, found.what];
}

describe('a specification that xl takes', () => {
  it.each([
    ['00:1b.0', '0000:00:1b.0'],
    ['0000:00:1b.0', '0000:00:1b.0'],
    ['3:0.0', '0000:03:00.0'],
    ['0:3:0.0', '0000:03:00.0'],
    ['ffff:ff:1f.7', 'ffff:ff:1f.7'],
    ['A0:1F.7', '0000:a0:1f.7'],
    ['00003:000000.00', '0000:03:00.0'],
    ['36:00.0@1f,seize=1', '0000:36:00.0 slot 1f seize=true'],
    ['36:00.0,vslot=1f,seize=1', '0000:36:00.0 slot 1f seize=true'],
    ['bdf=36:00.0,vslot=08,seize=1', '0000:36:00.0 slot 8 seize=true'],
    ['36:00.0@8', '0000:36:00.0 slot 8'],
    ['36:00.0@8,', '0000:36:00.0 slot 8'],
    ['36:00.0@0', '0000:36:00.0'],
    ['03:00.1@4', '0000:03:00.1 slot 4'],
    ['03:00.*@5', '0000:03:00.* slot 5'],
    ['03:00.*,vslot=4', '0000:03:00.* slot 4'],
    ['03:00.*', '0000:03:00.*'],
    ['0000:03:00.*@1f,permissive=1', '0000:03:00.* slot 1f permissive=true'],
    [
      '0000:03:00.0@a,permissive=1,msitranslate=1,seize=1,power_mgmt=1,rdm_policy=relaxed',
      '0000:03:00.0 slot a permissive=true msitranslate=true seize=true powerManagement=true rdmPolicy=relaxed',
    ],
    ['03:00.0,rdm_policy=STRICT', '0000:03:00.0 rdmPolicy=strict'],
    ['03:00.0,permissive=2', '0000:03:00.0 permissive=true'],
    ['03:00.0,', '0000:03:00.0'],
    ['03:00.0,seize=1,', '0000:03:00.0 seize=true'],
    ['name=gpu0', 'name gpu0'],
    ['name=gpu0,seize=1', 'name gpu0 seize=true'],
    ['permissive=1,name=gpu0', 'name gpu0 permissive=true'],
    ['name=a=b', 'name a=b'],
    ['name=gpu 0', 'name gpu 0'],
    ['name=03:00.0', 'name 03:00.0'],
    ['bdf=03:00.0', '0000:03:00.0'],
    ['seize=1,bdf=0000:03:00.1,vslot=3', '0000:03:00.1 slot 3 seize=true'],
    ['vslot=5,bdf=03:00.0', '0000:03:00.0 slot 5'],
    ['bdf=03:00.*', '0000:03:00.*'],
    ['0:0.0', '0000:00:00.0'],
    ['03:00.0,permissive=0', '0000:03:00.0 permissive=false'],
  ])('%j means %s', (text, meaning) => {
    expect(read(text)).toEqual({ meaning, warnings: 0 });
  });

  it.each([
    ['03:00.0,permissive=1,permissive=0', '0000:03:00.0 permissive=false'],
    ['03:00.0,power_mgmt=1x', '0000:03:00.0 powerManagement=true'],
    ['name=a,name=b', 'name b'],
    ['03:00.0@5,vslot=6', '0000:03:00.0 slot 6'],
  ])('%j means %s, with a warning', (text, meaning) => {
    expect(read(text)).toEqual({ meaning, warnings: 1 });
  });
});

describe('an address as other programs spell it', () => {
  it.each([
    ['pci_0000_03_00_0', '0000:03:00.0'],
    ['pci_0001_A0_1f_7,permissive=1', '0001:a0:1f.7 permissive=true'],
    ['0000-03-00-0', '0000:03:00.0'],
    ['bdf=0000-03-00-0', '0000:03:00.0'],
    ['03_00.0', '0000:03:00.0'],
    ['0002_03_00.1@4', '0002:03:00.1 slot 4'],
    ['0000:03_00.0', '0000:03:00.0'],
  ])('%j is %s', (text, meaning) => {
    expect(read(text).meaning).toBe(meaning);
  });

  it.each([
    ['pci_0000_03_20_0', 12, 2, 'there is no device 20'],
    ['0000-03-00-9', 11, 1, 'there is no function 9'],
    ['pci_0000_03_00_0x', 16, 1, "'x' after the address means nothing"],
  ])('%j is wrong at %i', (text, ...mistake) => {
    expect(firstMistake(text)).toEqual(mistake);
  });
});

describe('a specification that xl misreads without a word', () => {
  it.each([
    ['03:00.0,permissive=yes', 19, 3, "'yes' is no value of permissive; xl would take it for off"],
    ['03:00.0,permissive=true', 19, 4, "'true' is no value of permissive; xl would take it for off"],
    ['03:00.0,permissive=', 19, 0, "'' is no value of permissive; xl would take it for off"],
    ['03:00.0,permissive=0x1', 19, 3, "'0x1' is no value of permissive; xl would take it for off"],
    ['03:00.0,permissive==1', 19, 2, "'=1' is no value of permissive; xl would take it for off"],
    ['03:00.0,rdm_policy=invalid', 19, 7, "'invalid' is no rdm_policy"],
    ['03:00.0,bdf=04:00.0', 8, 11, 'the device is named a second time'],
    ['bdf=03:00.0,bdf=04:00.1', 12, 11, 'the device is named a second time'],
    ['bdf=03:00.0junk', 11, 4, "'junk' after the address means nothing"],
    ['bdf=03:00.0@5', 11, 2, "'@' cannot follow bdf="],
    ['03:00.0,vslot=5z', 14, 2, "there is no slot '5z'"],
    ['name=', 5, 0, 'the name is empty'],
    ['03: 00.0', 3, 1, 'a blank cannot stand in an address'],
    ['03:00. 0', 6, 1, 'a blank cannot stand in an address'],
    ['03:00.0@ 5', 8, 2, "there is no slot ' 5'"],
    ['03:00.0,seize= 1', 14, 2, "' 1' is no value of seize; xl would take it for off"],
    ['03:0x1.0', 3, 2, 'addresses are hexadecimal without 0x'],
    ['03:00.0x1', 6, 2, 'addresses are hexadecimal without 0x'],
    ['03:+1.0', 3, 1, 'a device number has no sign'],
    ['03:-0.0', 3, 1, 'a device number has no sign'],
    ['03:00.0@0x5', 8, 3, "there is no slot '0x5'"],
    ['03:00.0@+5', 8, 2, "there is no slot '+5'"],
    ['100000003:00.0', 0, 9, 'there is no bus 100000003'],
    ['03:100000001.0', 3, 9, 'there is no device 100000001'],
    ['03:00.100000001', 6, 9, 'there is no function 100000001'],
    ['03:00.0@100000005', 8, 9, "there is no slot '100000005'"],
  ])('%j is wrong at %i', (text, ...mistake) => {
    expect(firstMistake(text)).toEqual(mistake);
  });
});

describe('a specification that xl refuses', () => {
  it('has leading zeros beyond reason', () => {
    expect(firstMistake(`${'0'.repeat(15)}3:00.0`)).toBeUndefined();
    const mistake = [0, 17, 'a bus number of 17 digits is none'];
    expect(firstMistake(`${'0'.repeat(16)}3:00.0`)).toEqual(mistake);
  });

  it.each([
    ['', 0, 0, 'the specification is empty'],
    ['36:00.0@20,seize=1', 8, 2, "there is no slot '20'"],
    ['36:00.0,vslot=20', 14, 2, "there is no slot '20'"],
    ['03', 0, 2, "'03' is not a PCI address"],
    ['03:00', 5, 0, 'the function number is missing'],
    ['0000:03:00', 10, 0, 'the function number is missing'],
    ['03:00@5', 5, 1, "a point and the function number should stand here, not '@'"],
    ['03:00,seize=1', 5, 0, 'the function number is missing'],
    ['03:00.', 6, 0, 'the function number is missing'],
    ['03:00.8', 6, 1, 'there is no function 8'],
    ['03:00.g', 6, 1, "'g' is not a function number"],
    ['03:20.0', 3, 2, 'there is no device 20'],
    ['100:00.0', 0, 3, 'there is no bus 100'],
    ['10000:00:00.0', 0, 5, 'there is no segment 10000'],
    ['0:0:0:0.0', 5, 1, 'an address has at most three numbers before the point'],
    ['03.00.0', 2, 1, "':' and the device number should follow the bus number, not '.'"],
    ['0x03:0x00.0', 0, 2, 'addresses are hexadecimal without 0x'],
    [' 03:00.0', 0, 1, 'a blank cannot stand in an address'],
    ['03:00.0 ', 7, 1, 'a blank cannot stand here'],
    ['+3:0.0', 0, 1, 'a bus number has no sign'],
    ['-1:00.0', 0, 1, 'a bus number has no sign'],
    ['03:00.-1', 6, 1, 'a function number has no sign'],
    ['03:00.0@', 8, 0, 'the slot is missing'],
    ['03:00.0@xyz', 8, 3, "there is no slot 'xyz'"],
    ['03:00.0@100', 8, 3, "there is no slot '100'"],
    ['03:00.0@5.1', 8, 3, "there is no slot '5.1'"],
    ['03:00.0@5z', 8, 2, "there is no slot '5z'"],
    ['03:00.0@-1', 8, 2, "there is no slot '-1'"],
    ['03:00.0,,', 8, 0, 'there is nothing between the commas'],
    ['03:00.0,permissive=1,,', 21, 0, 'there is nothing between the commas'],
    [',03:00.0', 0, 0, 'the bus number is missing'],
    ['03:00.0 ,seize=1', 7, 1, 'a blank cannot stand here'],
    ['03:00.0, seize=1', 8, 1, 'a blank cannot stand here'],
    ['03:00.0;seize=1', 7, 1, "';' cannot stand here"],
    ['03:00.0,seize', 13, 0, 'seize has no value'],
    ['03:00.0,bogus=1', 8, 5, "there is no option 'bogus'"],
    ['03:00.0,Permissive=1', 8, 10, "there is no option 'Permissive'"],
    ['03:00.0,rdm_policy=loose', 19, 5, "'loose' is no rdm_policy"],
    ['03:00.0,rdm_policy=', 19, 0, "'' is no rdm_policy"],
    ['03:00.0,vslot=', 14, 0, 'the slot is missing'],
    ['03:00.0,vslot=-1', 14, 2, "there is no slot '-1'"],
    ['03:00.0,vslot=zz', 14, 2, "there is no slot 'zz'"],
    ['03:00.0,name=gpu0', 8, 9, 'the device is named a second time'],
    ['bdf=03:00.0,name=gpu0', 12, 9, 'the device is named a second time'],
    ['name=gpu0,bdf=03:00.0', 10, 11, 'the device is named a second time'],
    ['seize=1', 0, 0, 'no device is named'],
    ['=1', 0, 0, "the name of the option is missing in front of '='"],
    ['03:00.0,=1', 8, 0, "the name of the option is missing in front of '='"],
    ['03:00.**', 7, 1, "'*' after the address means nothing"],
    ['03:00.*4', 7, 1, "'4' after the address means nothing"],
    ['03:*.0', 3, 1, '* cannot stand for the device'],
    ['*:00.0', 0, 1, '* cannot stand for the bus'],
    ['03:00.0*', 7, 1, "'*' after the address means nothing"],
    ['03:00.0.1', 7, 2, "'.1' after the address means nothing"],
    ['::.', 0, 1, "':' is not a bus number"],
    ['0000-03-00.0', 4, 1, "':' and the device number should follow the bus number, not '-'"],
    ['gpu0', 0, 4, "'gpu0' is not a PCI address"],
    ['bdf=', 4, 0, 'the bus number is missing'],
    ['03:00.0,bdf=', 8, 4, 'the device is named a second time'],
    ['bdf=zz:00.0', 4, 1, "'z' is not a bus number"],
  ])('%j is wrong at %i', (text, ...mistake) => {
    expect(firstMistake(text)).toEqual(mistake);
  });

  it.each([
    ['36:00.0@20', 'slots of the guest are hexadecimal, 1 to 1f, or 0 for any: write 14 for the decimal 20'],
    ['03:00.0,Permissive=1', 'write permissive='],
    ['03:00.0,permisive=1', 'write permissive='],
    ['gpu0', "write name=gpu0 if that is the device's name"],
    ['03:00', 'write 03:00.0, or 03:00.* for all functions of the slot'],
    ['03:00.0,seize=yes', 'write seize=1 or seize=0'],
    ['bdf=03:00.0@5', 'write vslot=5 as an option'],
  ])('says for %j: %s', (text, remedy) => {
    const result = parseSpec(text);
    expect(!result.ok && result.problems[0]?.remedy).toBe(remedy);
  });

  it('tells every mistake, not only the first', () => {
    const result = parseSpec('03:00.9,permissive=yes,vslot=20');
    expect(!result.ok && result.problems.map(({ at }) => at)).toEqual([6, 19, 29]);
  });

  it('throws BAD-SPEC that quotes the text and counts characters from 1', () => {
    const failure = expect.objectContaining({
      reason: 'BAD-SPEC',
      exitCode: 2,
      message: "'03:00.8': at character 7: there is no function 8",
    });
    expect(() => specOf('03:00.8')).toThrow(PcibackError);
    expect(() => specOf('03:00.8')).toThrow(failure);
    expect(meaningOf(specOf('03:00.1'))).toBe('0000:03:00.1');
  });
});
