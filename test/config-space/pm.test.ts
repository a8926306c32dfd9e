import { describe, expect, it } from 'vitest';
import { nic, setUp } from './support.ts';

const control = 0xcc;

describe('power management', () => {
  it('does not say that the function could wake the machine', () => {
    const { filter, read, written } = setUp();
    expect(read(0xca, 2)).toBe(0x0022);
    filter.write(0xca, 2, 0xffff);
    filter.write(0xc8, 2, 0xffff);
    filter.write(0xce, 2, 0xffff);
    expect(written()).toEqual([]);
  });

  it('changes the power state', () => {
    const { filter, written, events } = setUp();
    expect(filter.write(control, 2, 0x0003)).toBe(0);
    expect(written()).toEqual(['0cc/2=200b']);
    expect(filter.write(control, 2, 0x0000)).toBe(0);
    expect(written()).toEqual(['0cc/2=2008']);
    expect(events).toEqual([]);
  });

  it('tells when the function forgets itself on the way to D0', () => {
    const { filter, events } = setUp({ rows: { ...nic, 0xcc: '0000' } });
    filter.write(control, 2, 0x0003);
    expect(events).toEqual([]);
    filter.write(control, 2, 0x0000);
    expect(events).toEqual(['context lost']);
    filter.write(control, 2, 0x0000);
    expect(events).toEqual(['context lost']);
  });

  it.each([
    ['D1 that it has not', 0x0022, 0, 1, -3],
    ['D2 that it has not', 0x0022, 0, 2, -3],
    ['D1 that it has', 0x0222, 0, 1, 0],
    ['D2 that it has', 0x0422, 0, 2, 0],
    ['D2 from D1', 0x0622, 1, 2, 0],
    ['D1 from D2', 0x0622, 2, 1, -3],
    ['D1 from D3hot', 0x0622, 3, 1, -3],
    ['D3hot from D2', 0x0622, 2, 3, 0],
    ['D0 from D2', 0x0422, 2, 0, 0],
  ])('answers a request for %s', (_, capabilities, from, to, err) => {
    const bytes = [capabilities & 0xff, capabilities >>> 8].map((byte) => byte.toString(16).padStart(2, '0'));
    const { filter, hardware, written } = setUp({ rows: { ...nic, 0xca: bytes.join('') } });
    hardware.write(control, 2, 0x0008 | from);
    expect(filter.write(control, 2, to)).toBe(err);
    expect(written()).toEqual(err === 0 ? [`0cc/2=000${(8 | to).toString(16)}`] : []);
    expect(filter.lastDenied).toBe(err === 0 ? -1 : control);
  });

  it('does what else was asked when a power state is refused', () => {
    const { filter, written } = setUp();
    expect(filter.write(control, 2, 0x0401)).toBe(-3);
    expect(written()).toEqual(['0cc/2=2408']);
  });

  it('has a refusal forgotten in a dword write, whose last register is another one', () => {
    const { filter } = setUp();
    expect(filter.write(control, 4, 0x0000_0001)).toBe(0);
    expect(filter.lastDenied).toBe(control);
  });

  it('clears PME_Status by writing one, as often as asked, and never by writing something else', () => {
    const { filter, hardware, written } = setUp();
    hardware.write(control, 2, 0xa008);
    filter.write(control, 2, 0x8000);
    expect(written()).toEqual(['0cc/2=a008']);
    filter.write(control, 2, 0x8000);
    expect(written()).toEqual(['0cc/2=a008']);
    filter.write(control, 2, 0x0003);
    expect(written()).toEqual(['0cc/2=200b']);
  });

  it('does not have the machine woken', () => {
    const { filter, written } = setUp();
    expect(filter.write(control, 2, 0x0100)).toBe(0);
    expect(filter.lastDenied).toBe(control);
    expect(filter.write(control, 2, 0xffff & ~0xe003)).toBe(0);
    expect(written()).toEqual(['0cc/2=3e08']);
  });

  it('keeps to itself which state a narrow write leaves alone', () => {
    const { filter, hardware, written } = setUp();
    hardware.write(control, 2, 0x200b);
    filter.write(control + 1, 1, 0x02);
    expect(written()).toEqual(['0cc/2=220b']);
  });
});
