import fc from 'fast-check';
import { expect, it } from 'vitest';
import {
  compileFilter,
  defaultMode,
  describe as describeFilter,
  seizedFrom,
} from '../../src/config-space/index.ts';
import { bridge, image, nic, nicResources, setUp } from './support.ts';

it.each([
  ['a device', nic, {}],
  ['a bridge', bridge, {}],
  ['a permissive filter', nic, { permissive: true }],
  [
    'a quirk in the middle of a register',
    nic,
    { quirks: [{ sbdf: 0 as never, offset: 0x0a, size: 2, mask: 1 }] },
  ],
] as const)('every byte is described once, in order: %s', (_, rows, mode) => {
  const { filter } = setUp({ rows, mode });
  let end = 0;
  for (const { offset, size } of describeFilter(filter.table)) {
    expect(offset).toBe(end);
    end += size;
  }
  expect(end).toBe(4096);
});

it('every byte is described once of a function whose capabilities lie on top of each other', () => {
  const capability = fc.record({
    id: fc.constantFrom(0x01, 0x03, 0x05, 0x09, 0x10, 0x11, 0x13, 0x14),
    at: fc.integer({ min: 0x40, max: 0xfc }).map((at) => at & 0xfc),
    flags: fc.nat(0xffff),
  });
  fc.assert(
    fc.property(fc.array(capability, { maxLength: 10 }), (capabilities) => {
      const before = image(nic);
      before.fill(0, 0x40, 0x100);
      let pointer = 0x34;
      for (const { id, at, flags } of capabilities) {
        before[pointer] = at;
        before.set([id, 0, flags, flags >>> 8], at);
        pointer = at + 1;
      }
      const identity = { vendor: 1, device: 2, resources: [], irq: 0, physicalFunction: null };
      let end = 0;
      for (const { offset, size } of describeFilter(
        compileFilter(seizedFrom(identity, before), defaultMode),
      )) {
        expect(offset).toBe(end);
        end += size;
      }
      expect(end).toBe(4096);
    }),
  );
});

it('a register is named with what is read, what can be written, and what was denied', () => {
  const { filter } = setUp({
    rows: { ...nic, 0xe4: '00000010', 0x140: '10000100' },
    resources: nicResources,
  });
  filter.write(0xd2, 2, 0x0081);
  filter.write(0x08, 4, 1);
  filter.write(0x300, 4, 1);
  const rows = describeFilter(filter.table, filter.record);
  const at = (offset: number): unknown => rows.find((row) => row.offset === offset);
  expect(at(0x00)).toEqual({
    name: 'Vendor ID',
    offset: 0,
    size: 2,
    reads: 'filter',
    writes: 'read-only',
    reaches: 0,
    denied: 0,
  });
  expect(at(0x04)).toMatchObject({ name: 'Command', reads: 'both', reaches: 0x17 });
  expect(at(0x08)).toMatchObject({ name: 'Class code and revision', writes: 'dropped', denied: 1 });
  expect(at(0xd2)).toMatchObject({ name: 'MSI control', reads: 'hardware', reaches: 0, denied: 1 });
  expect(at(0xe8)).toMatchObject({ writes: 'dropped; a function-level reset is run by the back-end' });
  expect(at(0x140)).toMatchObject({ name: 'SR-IOV', size: 0x40, writes: 'read-only' });
  expect(at(0x180)).toMatchObject({ name: 'Other registers', size: 4096 - 0x180, denied: 1 });
});

it('a permissive filter reaches what has no rule', () => {
  const { filter } = setUp({ mode: { permissive: true } });
  const rows = describeFilter(filter.table);
  expect(rows.find(({ offset }) => offset === 0x06)).toMatchObject({
    writes: 'forwarded as it is',
    reaches: 0xffff,
  });
  expect(rows.find(({ offset }) => offset === 0xe8)).toMatchObject({ reaches: 0x7fff });
  expect(rows.find(({ offset }) => offset === 0x04)).toMatchObject({ reaches: 0x02bf });
});
