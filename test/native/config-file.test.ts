import { mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { nativeAddon, type NativeConfigFile } from '../../src/host/native.ts';

function file(bytes: number): string {
  const directory = mkdtempSync(join(tmpdir(), 'config-file-'));
  onTestFinished(() => rmSync(directory, { recursive: true }));
  const path = join(directory, 'config');
  writeFileSync(
    path,
    Uint8Array.from({ length: bytes }, (_, offset) => 0xf0 ^ offset),
  );
  return path;
}

function open(path: string): NativeConfigFile {
  const { ConfigFile } = nativeAddon();
  const config = new ConfigFile(path);
  onTestFinished(() => config.close());
  return config;
}

test.each([256, 4096])('%i bytes', (length) => {
  const config = open(file(length));
  expect(config.length).toBe(length);
  expect(config.read(length - 1, 1)).toBe(0x0f);
  expect(config.read(length - 4, 4)).toBe(0x0f0e_0d0c);
});

test('reads are little-endian and unsigned', () => {
  const config = open(file(256));
  expect(config.read(0, 1)).toBe(0xf0);
  expect(config.read(2, 2)).toBe(0xf3f2);
  expect(config.read(4, 4)).toBe(0xf7f6_f5f4);
});

test.each([
  [1, 0x1_23, [0x23]],
  [2, -2, [0xfe, 0xff]],
  [4, -2, [0xfe, 0xff, 0xff, 0xff]],
  [4, 0xfedc_ba98, [0x98, 0xba, 0xdc, 0xfe]],
])('a write of %i bytes changes no others', (size, value, bytes) => {
  const path = file(256);
  const before = [...readFileSync(path)];
  expect(open(path).write(8, size, value)).toBe(true);
  expect([...readFileSync(path)]).toEqual(before.toSpliced(8, size, ...bytes));
});

test('registers that are not there read as ones', () => {
  const path = file(4096);
  const config = open(path);
  truncateSync(path, 258);
  expect(config.read(256, 2)).toBe(0xf1f0);
  expect(config.read(256, 4)).toBe(0xffff_ffff);
  expect(config.read(258, 2)).toBe(0xffff);
  expect(config.read(4095, 1)).toBe(0xff);
});

test('what is closed reads as ones and keeps nothing', () => {
  const path = file(256);
  const before = readFileSync(path);
  const config = open(path);
  config.close();
  config.close();
  expect([config.read(0, 1), config.read(0, 2), config.read(0, 4)]).toEqual([0xff, 0xffff, 0xffff_ffff]);
  expect(config.write(0, 4, 0)).toBe(false);
  expect(readFileSync(path)).toEqual(before);
});

test('its functions work without it', () => {
  const { read, write } = open(file(256));
  expect(write(8, 2, 0x1234)).toBe(true);
  expect(read(8, 2)).toBe(0x1234);
});

test.each([
  [0, 0],
  [0, 3],
  [0, 8],
  [1, 2],
  [2, 4],
  [256, 1],
  [-4, 4],
  [0xffff_fffc, 4],
])('an access at %i of %i bytes is refused', (offset, size) => {
  const config = open(file(256));
  expect(() => config.read(offset, size)).toThrow(RangeError);
  expect(() => config.write(offset, size, 0)).toThrow(RangeError);
});

test.each([
  [0, 'EACCES'],
  [64, 'EACCES'],
  [300, 'EINVAL'],
  [4097, 'EINVAL'],
])('a file of %i bytes is no configuration space: %s', (length, code) => {
  const path = file(length);
  expect(() => open(path)).toThrow(expect.objectContaining({ code, subject: path }));
});

test('what is no file', () => {
  expect(() => open(join(tmpdir(), 'there', 'is', 'none'))).toThrow(
    expect.objectContaining({ code: 'ENOENT' }),
  );
  expect(() => open('/dev/null')).toThrow(expect.objectContaining({ code: 'EINVAL' }));
  expect(() => open('')).toThrow(TypeError);
});
