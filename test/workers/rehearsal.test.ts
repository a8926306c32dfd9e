import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { makeSbdf } from '../../src/address.ts';
import { prepareLoopback } from '../../src/backend/directories.ts';
import { FunctionRecord } from '../../src/config-space/index.ts';
import { openPlatform } from '../../src/host/index.ts';
import { rehearse } from '../../workers/rehearsal.ts';

const directory = mkdtempSync(join(tmpdir(), 'rehearsal-'));
prepareLoopback(directory);
afterAll(() => rmSync(directory, { recursive: true }));

describe.each(['loopback', 'rehearsal'] as const)('on a %s platform', (kind) => {
  const platform = openPlatform({ kind, directory });

  test('comes to its end with requests of all kinds answered, and may be repeated', async () => {
    for (const domid of kind === 'loopback' ? [1, 2] : [3, 4]) {
      await rehearse(platform, directory, domid);
      const record = FunctionRecord.adopt(platform.mapRecord(makeSbdf(0, domid, 0, 0)));
      expect(record?.reads).toBe(88);
      expect(record?.writes).toBe(40);
      expect(record?.failures).toBe(0);
    }
  });
});
