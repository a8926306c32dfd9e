import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { devicesBelow } from '../../../src/host/uses/devices.ts';
import { put } from '../support/devices.ts';
import { temporaryDirectory } from '../support/tree.ts';

describe('the devices below a directory', () => {
  it('are looked for up to a limit, and it is told when there are more', () => {
    const directory = temporaryDirectory();
    for (const name of ['a', 'b', 'c']) put(join(directory, name, 'power/control'), 'auto');
    expect(devicesBelow(directory, 7)).toEqual({ devices: [], truncated: false });
    expect(devicesBelow(directory, 6)).toEqual({ devices: [], truncated: true });
  });

  it('are none where the directory has gone', () => {
    expect(devicesBelow(join(temporaryDirectory(), 'gone'))).toEqual({ devices: [], truncated: false });
  });
});
