import { describe, expect, it } from 'vitest';
import { parseSbdf, type Sbdf } from '../../src/address.ts';
import { formatQuirk, parseQuirk, type Quirk } from '../../src/config-space/quirks.ts';
import { nic, setUp } from './support.ts';

const sbdf = parseSbdf('0000:03:00.0') as Sbdf;
const quirk = (offset: number, size: Quirk['size'], mask: number): Quirk => ({ sbdf, offset, size, mask });

describe('the notation of a quirk', () => {
  it('is hexadecimal throughout', () => {
    expect(parseQuirk('0000:03:00.0-40:4:0000ff00')).toEqual(quirk(0x40, 4, 0xff00));
    expect(parseQuirk('03:00.0-10:2:ffff')).toEqual(quirk(0x10, 2, 0xffff));
    expect(parseQuirk('03:00.0-FFC:4:FFFFFFFF')).toEqual(quirk(0xffc, 4, 0xffff_ffff));
  });

  it('is what is printed', () => {
    for (const text of ['0000:03:00.0-40:4:0000ff00', '0001:82:1f.7-fff:1:000000ff']) {
      expect(formatQuirk(parseQuirk(text))).toBe(text);
    }
  });

  it.each([
    ['', 'not of the form'],
    ['03:00.0-40:4', 'not of the form'],
    ['03:00.0-1000:4:ff', 'not of the form'],
    ['03:00.0-40:4:1ffffffff', 'not of the form'],
    ['03:20.0-40:4:ff', '03:20.0 is not the address'],
    ['03:00.0-40:3:ff', 'the size is not 1, 2 or 4'],
    ['03:00.0-40:8:ff', 'the size is not 1, 2 or 4'],
    ['03:00.0-42:4:ff', 'a register of 4 bytes cannot begin there'],
    ['03:00.0-40:1:100', 'the mask has more than 8 bits'],
  ])('is refused with a reason: %j', (text, message) => {
    expect(() => parseQuirk(text)).toThrow(
      expect.objectContaining({ reason: 'BAD-SPEC', message: expect.stringContaining(message) as string }),
    );
  });
});

describe('a quirk', () => {
  it('gives the bits of its mask to the guest, and no others', () => {
    const { filter, hardware, written } = setUp({ mode: { quirks: [quirk(0x40, 4, 0x00ff_0ff0)] } });
    hardware.write(0x40, 4, 0x1234_5678);
    filter.write(0x40, 4, 0xffff_ffff);
    expect(written()).toEqual(['040/4=12ff5ff8']);
    expect(filter.lastDenied).toBe(0x40);
    filter.write(0x40, 4, 0x1200_5008);
    expect(filter.lastDenied).toBe(-1);
    filter.write(0x41, 1, 0x0a);
    expect(hardware.read(0x40, 4)).toBe(0x1200_5a08);
    filter.write(0x44, 4, 0xffff_ffff);
    expect(hardware.read(0x44, 4)).toBe(0);
  });

  it('does not clear what is cleared by writing one', () => {
    const { filter, hardware } = setUp({ mode: { quirks: [quirk(0x06, 2, 0x0800)] } });
    hardware.write(0x06, 2, 0xf910);
    filter.write(0x06, 2, 0x0000);
    expect(hardware.read(0x06, 2)).toBe(0x0010);
    filter.write(0x06, 2, 0xffff);
    expect(hardware.read(0x06, 2)).toBe(0x0810);
  });

  it('shows the hardware, also where the filter would have known', () => {
    const { hardware, read } = setUp({ mode: { quirks: [quirk(0x08, 1, 0xff)] } });
    hardware.write(0x08, 4, 0x0700_0042);
    expect(read(0x08, 1)).toBe(0x42);
  });

  it('is a register with a rule: a wider permissive write ends at it', () => {
    const { filter, written } = setUp({ mode: { permissive: true, quirks: [quirk(0x40, 1, 0xff)] } });
    filter.write(0x40, 4, 0x0102_0304);
    expect(written()).toEqual(['040/1=04']);
  });

  it.each([
    ['the command register', quirk(0x04, 2, 0xffff), 'Command at 0x04 has a rule of its own'],
    ['part of a BAR', quirk(0x12, 1, 0xff), 'BAR 0 at 0x10 has a rule'],
    ['a dword with a register in it', quirk(0x0c, 4, 0xff), 'Cache line size at 0x0c has a rule'],
    ['a capability header', quirk(0xd0, 1, 0xff), 'MSI capability at 0xd0 has a rule'],
    ['another quirk', quirk(0x40, 2, 0xff), 'Quirk at 0x40 has a rule'],
  ])('is refused on %s', (_, wanted, message) => {
    expect(() => setUp({ mode: { quirks: [quirk(0x40, 4, 0xff), wanted] } })).toThrow(message);
  });

  it('is refused outside of the space', () => {
    const short = { rows: { 0x00: '86801234' }, length: 256 } as const;
    expect(() => setUp({ ...short, mode: { quirks: [quirk(0x100, 1, 1)] } })).toThrow('256 bytes');
    expect(() => setUp({ rows: nic, mode: { quirks: [quirk(0xffc, 4, 1)] } })).not.toThrow();
  });
});
