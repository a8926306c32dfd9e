import { describe, expect, it } from 'vitest';
import { makeSbdf } from '../../src/address.ts';
import { assign, deassign, quarantineDomid, revoke } from '../../src/host/permissions.ts';
import type { Belongings } from '../../src/host/platform.ts';

const sbdf = makeSbdf(0, 3, 0, 0);
const nic: Belongings = {
  sbdf,
  irq: 23,
  resources: [
    { index: 0, kind: 'memory32', prefetchable: false, start: 0xfebc_0000n, size: 0x2_0000n },
    { index: 2, kind: 'io', prefetchable: false, start: 0xc000n, size: 0x20n },
  ],
};
const EBUSY = -16;
const ENODEV = -19;
const EINVAL = -22;
const EPERM = -1;
const ENOSPC = -28;
const ENOSYS = -38;
const ESRCH = -3;
const EOPNOTSUPP = -95;

/** A hypervisor that takes down what it is asked, and answers 0 but for what it is told to answer. */
function hypervisor(answers: Readonly<Record<string, readonly number[] | number>> = {}) {
  const asked: string[] = [];
  const left = new Map(
    Object.entries(answers).map(([call, results]) => [
      call,
      [...(Array.isArray(results) ? results : [results])],
    ]),
  );
  const answer = (call: string): number => {
    asked.push(call);
    return left.get(call)?.shift() ?? 0;
  };
  const calls = {
    assignDevice: (domid: number) => answer(`assign ${domid}`),
    deassignDevice: (domid: number) => answer(`deassign ${domid}`),
    memoryPermission: (_: number, start: bigint, size: bigint, allow: boolean) =>
      answer(`memory ${start.toString(16)}+${size.toString(16)} ${allow}`),
    portPermission: (_: number, first: number, count: number, allow: boolean) =>
      answer(`ports ${first.toString(16)}+${count.toString(16)} ${allow}`),
    irqPermission: (_: number, pirq: number, allow: boolean) => answer(`irq ${pirq} ${allow}`),
    mapGsi: (_: number, gsi: number) => answer(`map ${gsi}`) || gsi,
    unmapPirq: (_: number, pirq: number) => answer(`unmap ${pirq}`),
  };
  return { calls, asked };
}

describe('assign', () => {
  it('confines the function before the guest can reach any of its registers', () => {
    const { calls, asked } = hypervisor();
    assign(calls, 7, nic, false);
    expect(asked).toEqual([
      'assign 7',
      'memory febc0000+20000 true',
      'ports c000+20 true',
      'map 23',
      'irq 23 true',
    ]);
  });

  it('gives no line that a guest could not bind', () => {
    for (const irq of [0, 255]) {
      const { calls, asked } = hypervisor();
      assign(calls, 7, { ...nic, irq }, false);
      expect(asked.filter((call) => /map|irq/.test(call))).toEqual([]);
    }
  });

  it.each(['memory febc0000+20000 true', 'ports c000+20 true', 'map 23', 'irq 23 true'])(
    'takes everything back when %s fails',
    (failing) => {
      const { calls, asked } = hypervisor({ [failing]: EPERM });
      expect(() => assign(calls, 7, nic, false)).toThrow(
        expect.objectContaining({ reason: 'HYPERCALL-FAILED', message: expect.stringContaining('EPERM') }),
      );
      const given = asked.slice(0, asked.indexOf(failing));
      const undone = asked.slice(asked.indexOf(failing) + 1);
      const reverse = given.toReversed().map((call) =>
        call
          .replace('true', 'false')
          .replace(/^map/, 'unmap')
          .replace(/^assign/, 'deassign'),
      );
      expect(undone).toEqual(reverse);
    },
  );

  it('takes back no line that another function of the guest uses when it fails', () => {
    const { calls, asked } = hypervisor({ 'irq 23 true': EPERM });
    expect(() => assign(calls, 7, nic, false, [{ ...nic, sbdf: makeSbdf(0, 3, 0, 1) }])).toThrow('EPERM');
    expect(asked.slice(asked.indexOf('irq 23 true') + 1)).toEqual(['ports c000+20 false', 'deassign 7']);
  });

  it.each(['deassign 7', 'memory febc0000+20000 false'])(
    'calls a function quarantined that was given in part, and of which %s fails',
    (undoing) => {
      const { calls, asked } = hypervisor({ 'map 23': ENOSPC, [undoing]: EPERM });
      expect(() => assign(calls, 7, nic, false)).toThrow(
        expect.objectContaining({
          reason: 'QUARANTINED',
          message: expect.stringMatching(/ENOSPC.*EPERM/) as string,
          remedy: expect.stringContaining('destroy domain 7') as string,
        }),
      );
      expect(asked.slice(-3)).toEqual(['ports c000+20 false', 'memory febc0000+20000 false', 'deassign 7']);
    },
  );

  it('takes over an assignment that a toolstack has made to this guest', () => {
    const { calls, asked } = hypervisor({ 'assign 7': [EBUSY, 0] });
    assign(calls, 7, nic, false);
    expect(asked.slice(0, 3)).toEqual(['assign 7', 'deassign 7', 'assign 7']);
  });

  it('leaves a function alone that is assigned to another guest', () => {
    const { calls, asked } = hypervisor({ 'assign 7': EBUSY, 'deassign 7': ENODEV });
    expect(() => assign(calls, 7, nic, false)).toThrow(
      expect.objectContaining({ reason: 'FUNCTION-IN-USE' }),
    );
    expect(asked).toEqual(['assign 7', 'deassign 7']);
  });

  it('refuses a guest without an IOMMU context, unless told to do without', () => {
    const refusing = hypervisor({ 'assign 7': EOPNOTSUPP });
    expect(() => assign(refusing.calls, 7, nic, false)).toThrow(
      expect.objectContaining({ reason: 'NO-PASSTHROUGH', remedy: expect.stringContaining('passthrough') }),
    );
    const trusting = hypervisor({ 'assign 7': EOPNOTSUPP });
    assign(trusting.calls, 7, nic, true);
    expect(trusting.asked).toContain('irq 23 true');
  });
});

describe('revoke', () => {
  it('takes everything but the assignment, last given first', () => {
    const { calls, asked } = hypervisor();
    revoke(calls, 7, nic);
    expect(asked).toEqual(['irq 23 false', 'unmap 23', 'ports c000+20 false', 'memory febc0000+20000 false']);
  });

  it('leaves the guest what its other functions need: their line, and pages with their registers', () => {
    const memory = { index: 1, kind: 'memory32', prefetchable: false } as const;
    const other = {
      sbdf: makeSbdf(0, 3, 0, 1),
      irq: 23,
      resources: [{ ...memory, start: 0xfebc_1800n, size: 0x100n }],
    };
    const { calls, asked } = hypervisor();
    revoke(calls, 7, nic, [other]);
    expect(asked).toEqual([
      'ports c000+20 false',
      'memory febc0000+1000 false',
      'memory febc2000+1e000 false',
    ]);
    const elsewhere = { ...other, irq: 16, resources: [{ ...memory, start: 0xfebe_0000n, size: 0x100n }] };
    const apart = hypervisor();
    revoke(apart.calls, 7, nic, [elsewhere]);
    expect(apart.asked).toContain('unmap 23');
    expect(apart.asked).toContain('memory febc0000+20000 false');
  });

  it('goes on after a failure, and tells of the first', () => {
    const { calls, asked } = hypervisor({ 'ports c000+20 false': EPERM });
    expect(() => revoke(calls, 7, nic)).toThrow(
      expect.objectContaining({ reason: 'HYPERCALL-FAILED', message: expect.stringContaining('0xc000') }),
    );
    expect(asked).toContain('memory febc0000+20000 false');
  });

  it('finds nothing to take from a domain that is gone, nor what a toolstack has taken already', () => {
    const gone = hypervisor({
      'irq 23 false': ESRCH,
      'unmap 23': ESRCH,
      'ports c000+20 false': ESRCH,
      'memory febc0000+20000 false': ESRCH,
    });
    expect(() => revoke(gone.calls, 7, nic)).not.toThrow();
    const taken = hypervisor({ 'irq 23 false': EINVAL, 'unmap 23': EINVAL });
    expect(() => revoke(taken.calls, 7, nic)).not.toThrow();
  });
});

describe('deassign', () => {
  it('is content when the domain does not have it, is gone, or never could have had it', () => {
    for (const result of [0, ENODEV, ESRCH, EOPNOTSUPP, ENOSYS]) {
      const { calls, asked } = hypervisor({ 'deassign 7': result });
      expect(() => deassign(calls, 7, sbdf)).not.toThrow();
      expect(asked).toEqual(['deassign 7']);
    }
  });

  it('tells why the function stays with the guest, and how to get it back', () => {
    const { calls } = hypervisor({ 'deassign 7': EPERM });
    expect(() => deassign(calls, 7, sbdf)).toThrow(
      expect.objectContaining({
        reason: 'HYPERCALL-FAILED',
        message: 'Xen does not take the assignment of 0000:03:00.0 from domain 7: EPERM',
        remedy: expect.stringMatching(/destroy domain 7.*pciback reset 0000:03:00\.0/) as string,
      }),
    );
  });
});

it('knows the domain that owns what nobody may use', () => {
  expect(quarantineDomid).toBe(32753);
});
