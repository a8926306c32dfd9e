import { chmodSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { linuxHost } from '../../src/host/host-root.ts';
import { temporaryDirectory } from './support/tree.ts';

describe('writing an attribute', () => {
  it('neither truncates nor reads it: attributes have no length, and many cannot be read', async () => {
    const path = join(temporaryDirectory(), 'unbind');
    writeFileSync(path, 'abcdef');
    chmodSync(path, 0o200);
    await linuxHost.write(path, 'xyz');
    chmodSync(path, 0o600);
    expect(readFileSync(path, 'latin1')).toBe('xyzdef');
  });

  it('does not make one that is missing', async () => {
    const path = join(temporaryDirectory(), 'unbind');
    await expect(linuxHost.write(path, '1')).rejects.toMatchObject({ code: 'ENOENT' });
    expect(existsSync(path)).toBe(false);
  });

  it('tells what the operating system said', async () => {
    const path = join(temporaryDirectory(), 'unbind');
    mkdirSync(path);
    await expect(linuxHost.write(path, '1')).rejects.toMatchObject({ code: 'EISDIR' });
  });
});
