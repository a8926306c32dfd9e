import { mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { FileStore } from '../../src/backend/store.ts';

const isText = (value: unknown): value is string => typeof value === 'string';

function begin(): string {
  const directory = mkdtempSync(join(tmpdir(), 'pciback-store-'));
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }));
  return join(directory, 'texts');
}

const open = (path: string): FileStore<string> => new FileStore(path, isText);
const load = (path: string): [Map<string, string>, string[]] => {
  const damaged: string[] = [];
  return [open(path).load((key) => damaged.push(key)), damaged];
};

test('what is stored is found, and what has not changed is not written again', () => {
  const path = begin();
  const store = open(path);
  store.put('a', 'one');
  const { ino } = statSync(join(path, 'a'));
  store.put('a', 'one');
  expect(statSync(join(path, 'a')).ino).toBe(ino);
  store.put('a', 'two');
  store.put('b', 'x');
  store.delete('b');
  store.delete('b');
  expect(load(path)).toEqual([new Map([['a', 'two']]), []]);
});

test('what is damaged is told, left, and set aside when something else takes its place', () => {
  const path = begin();
  open(path).put('a', 'one');
  writeFileSync(join(path, 'b'), 'no text');
  mkdirSync(join(path, 'c'));
  symlinkSync('/dev/null', join(path, 'd'));
  writeFileSync(join(path, 'e.new'), 'half');
  const damaged: string[] = [];
  const store = open(path);
  expect(store.load((key) => damaged.push(key))).toEqual(new Map([['a', 'one']]));
  expect(damaged.sort()).toEqual(['b', 'c', 'd']);
  for (const key of damaged) store.put(key, 'new');
  expect(readdirSync(path).sort()).toEqual(
    ['a', 'b', 'b.damaged', 'c', 'c.damaged', 'd', 'd.damaged', 'e.new'].sort(),
  );
  expect(load(path)[1]).toEqual([]);
});

test('a directory that is not there holds nothing; one that is none is told', () => {
  const path = begin();
  expect(load(path)).toEqual([new Map(), []]);
  writeFileSync(path, '');
  expect(load(path)).toEqual([new Map(), ['.']]);
});

test('a directory that was removed is made again', () => {
  const path = begin();
  const store = open(path);
  store.put('a', 'one');
  rmSync(path, { recursive: true });
  store.put('b', 'two');
  expect(store.isSaved('b')).toBe(false);
  store.put('b', 'two');
  expect(load(path)[0]).toEqual(new Map([['b', 'two']]));
});
