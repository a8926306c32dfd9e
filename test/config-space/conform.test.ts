import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { conform } from '../../src/config-space/conform.ts';
import { PcibackError } from '../../src/errors.ts';

const fixture = readFileSync(new URL('../fixtures/config-space.json', import.meta.url), 'utf8');

describe('the vectors', () => {
  it('all pass', () => {
    const { failures, failed, passed } = conform(fixture, 'config-space.json');
    expect(failures).toEqual([]);
    expect({ failed, passed }).toEqual({ failed: 0, passed: 150 });
  });
});

interface Step {
  [key: string]: unknown;
}

/** One sequence on a function with nothing but IDs, in default mode. */
const file = (steps: readonly Step[], more: Record<string, unknown> = {}): string =>
  JSON.stringify([
    {
      name: 'a sequence',
      function: { config: { '000': '8680d310000000000000000000000000' }, resources: [], irq: 5 },
      mode: { permissive: false, interruptControl: false },
      steps,
      ...more,
    },
  ]);

const readId = { id: 'A1', op: 'read', offset: '0x000', size: 4, err: 0, result: '0x10d38086', hardware: [] };

describe('a run', () => {
  it('says what a failed step gave, and goes on', () => {
    const wrong = { ...readId, id: 'A0', result: '0x00000000' };
    expect(conform(file([wrong, readId]), 'f')).toEqual({
      passed: 1,
      failed: 1,
      failures: [
        {
          id: 'A0',
          expected: { err: 0, result: '0x00000000', hardware: [] },
          actual: { err: 0, result: '0x10d38086', hardware: [] },
        },
      ],
    });
  });

  it('carries state from step to step, and none from sequence to sequence', () => {
    const write = { id: 'W', op: 'write', offset: '0x0c', size: 1, value: '0x10', err: 0 };
    const read = { id: 'R', op: 'read', offset: '0x0c', size: 1, err: 0 };
    const [first] = JSON.parse(file([write, { ...read, result: '0x10' }])) as unknown[];
    const [second] = JSON.parse(file([{ ...read, result: '0x00' }])) as unknown[];
    expect(conform(JSON.stringify([first, second]), 'f').failed).toBe(0);
  });

  it('compares the bytes that were written, whatever they held before', () => {
    const write = { id: 'W', op: 'write', offset: '0x0c', size: 1, value: '0x00', err: 0 };
    const held = [{ offset: '0x0c', size: 1, value: '0x00' }];
    expect(conform(file([{ ...write, hardware: held }]), 'f').failed).toBe(0);
    expect(conform(file([{ ...write, hardware: [] }]), 'f').failed).toBe(1);
    const more = [...held, { offset: '0x0d', size: 1, value: '0x00' }];
    expect(conform(file([{ ...write, hardware: more }]), 'f').failed).toBe(1);
  });

  it('compares results in the bits that the access has', () => {
    const read = { ...readId, size: 2, result: '0xffff8086' };
    expect(conform(file([read]), 'f').failed).toBe(0);
    expect(conform(file([{ ...readId, size: 0, err: -2, result: '0x1234' }]), 'f').failed).toBe(0);
    expect(conform(file([{ ...readId, size: 8, err: -2, result: '0x1234' }]), 'f').failed).toBe(1);
  });

  it('pokes the hardware after seizing', () => {
    const read = { ...readId, offset: '0x40', result: '0xdeadbeef' };
    const more = { hardwareBefore: [{ offset: '0x040', size: 4, value: '0xdeadbeef' }] };
    expect(conform(file([read], more), 'f').failed).toBe(0);
  });

  it('takes offsets as the wire does: signed', () => {
    const read = { ...readId, offset: '0xfffffffc', err: -2, result: '0x0' };
    expect(conform(file([read]), 'f').failed).toBe(0);
  });

  it('has 256 bytes unless there are rows above, or a PCI Express capability', () => {
    const high = { ...readId, offset: '0x100', result: '0x0' };
    expect(conform(file([{ ...high, err: -2 }]), 'f').failed).toBe(0);
    const config = { '000': '8680d310000010000000000000000000', '030': '00000000400000000000000000000000' };
    const pcie = { ...config, '040': '10000200000000000000000000000000' };
    const rows = { ...config, '200': '00000000000000000000000000000000' };
    for (const space of [pcie, rows]) {
      expect(conform(file([high], { function: { config: space } }), 'f').failed).toBe(0);
    }
  });

  it('fails every step on a function that cannot be seized', () => {
    const cardBus = { config: { '000': '8680d310000000000000060700000200' } };
    const { failed, failures } = conform(file([readId, readId], { function: cardBus }), 'f');
    expect(failed).toBe(2);
    expect(failures[0]?.actual.refused).toMatch(/^HEADER-TYPE: /);
  });
});

describe('a malformed file', () => {
  const sequence = (change: Record<string, unknown>): string => file([readId], change);
  it.each([
    ['not JSON', '[', 'vectors.json is not JSON'],
    ['not an array', '{}', 'vectors.json is not an array'],
    ['no name', sequence({ name: undefined }), 'vectors.json[0].name is missing'],
    ['no function', sequence({ function: undefined }), 'vectors.json[0].function is missing'],
    ['steps of another kind', sequence({ steps: {} }), 'vectors.json[0].steps is not an array'],
    [
      'a row in the wrong place',
      sequence({ function: { config: { '004': '' } } }),
      'vectors.json[0].function.config.004 is not named by the offset of a row',
    ],
    [
      'a short row',
      sequence({ function: { config: { '000': '86' } } }),
      'vectors.json[0].function.config.000 is not 16 bytes in hexadecimal',
    ],
    [
      'an unknown operation',
      file([{ ...readId, op: 'peek' }]),
      'vectors.json[0].steps[0].op is none of read, write',
    ],
    [
      'a number in words',
      file([{ ...readId, offset: 'four' }]),
      'vectors.json[0].steps[0].offset is not a number',
    ],
    [
      'a number too large',
      file([{ ...readId, offset: '0x100000000' }]),
      'vectors.json[0].steps[0].offset is not a number of 32 bits',
    ],
    ['a write of nothing', file([{ ...readId, op: 'write' }]), 'vectors.json[0].steps[0].value is missing'],
    [
      'a BAR that does not exist',
      sequence({ function: { config: {}, resources: [{ index: 7 }] } }),
      'vectors.json[0].function.resources[0].index is not 0 to 6',
    ],
    [
      'a range of no known kind',
      sequence({ function: { config: {}, resources: [{ index: 1, kind: 'ram' }] } }),
      'vectors.json[0].function.resources[0].kind is none of memory32, memory64, io, rom',
    ],
    [
      'hardware outside of the space',
      sequence({ hardwareBefore: [{ offset: '0x100', size: 4, value: 0 }] }),
      'vectors.json[0].hardwareBefore[0].offset is not an aligned offset below 256',
    ],
    [
      'a flag that is none',
      sequence({ mode: { permissive: 'yes' } }),
      'vectors.json[0].mode.permissive is not true or false',
    ],
  ])('is refused with the place: %s', (_, text, message) => {
    let thrown: unknown;
    try {
      conform(text, 'vectors.json');
    } catch (error) {
      thrown = error;
    }
    expect(thrown).toBeInstanceOf(PcibackError);
    expect((thrown as PcibackError).reason).toBe('BAD-FILE');
    expect((thrown as PcibackError).message).toContain(message);
  });
});
