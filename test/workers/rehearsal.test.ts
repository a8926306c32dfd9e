import { expect, test } from 'vitest';
import { rehearse } from '../../workers/rehearsal.ts';

test('comes to its end, and may be repeated', async () => {
  await expect(rehearse()).resolves.toBeUndefined();
  await expect(rehearse()).resolves.toBeUndefined();
});
