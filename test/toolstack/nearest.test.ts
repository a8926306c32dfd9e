import { expect, it } from 'vitest';
import { nearest } from '../../src/toolstack/nearest.ts';

const commands = ['demo', 'serve', 'list', 'attach', 'detach', 'status'];

it.each([
  ['lsit', 'list'],
  ['atach', 'attach'],
  ['detahc', 'detach'],
  ['STATUS', 'status'],
  ['sevre', 'serve'],
  ['list', 'list'],
])('%s is meant to be %s', (word, meant) => {
  expect(nearest(word, commands)).toBe(meant);
});

it.each(['', 'x', 'frobnicate', 'reset'])('%j is near nothing', (word) => {
  expect(nearest(word, commands)).toBeUndefined();
});
