import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { document } from '../../machines/document.ts';

test('the drawn machines are the machines: run `npm run docs` after a change', () => {
  expect(readFileSync(new URL('../../machines/README.md', import.meta.url), 'utf8')).toBe(document());
});
