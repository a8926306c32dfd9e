import { describe, expect, it } from 'vitest';
import { Fence, isEnding } from '../../src/backend/fence.ts';

/** The reason for which a fence refuses; undefined when the session may go on. */
const refusal = (fence: Fence): string | undefined => {
  try {
    fence.check();
    return undefined;
  } catch (error) {
    return isEnding(error) ? (error as { reason: string }).reason : 'another error';
  }
};

describe('a fence', () => {
  it('is open until the kernel’s driver is bound, and closed from then on', () => {
    const serves = new Set<number>();
    const fence = new Fence({ kernelServes: (domid) => serves.has(domid) }, 5);
    serves.add(6);
    expect([refusal(fence), fence.isClosed]).toEqual([undefined, false]);
    serves.add(5);
    expect([refusal(fence), fence.isClosed]).toEqual(['KERNEL-BACKEND', true]);
    serves.clear();
    expect([refusal(fence), fence.isClosed]).toEqual(['KERNEL-BACKEND', true]);
  });

  it('stays closed when a session was left, whatever the kernel does then', () => {
    const fence = new Fence({ kernelServes: () => false }, 5);
    fence.close();
    expect([refusal(fence), fence.isClosed]).toEqual(['KERNEL-BACKEND', true]);
  });
});
