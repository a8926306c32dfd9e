/** What others may have put in the place of a file or a directory is never followed, opened or written through. */
import {
  chownSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { makeNamedDirectory, makeSharedDirectory, stateFiles } from '../../src/host/state-files.ts';

function newDirectory(): string {
  const directory = mkdtempSync(join(tmpdir(), 'pciback-files-'));
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

/** A file that must stay as it is, wherever a link to it is. */
function victimIn(directory: string): string {
  const victim = join(directory, 'victim');
  writeFileSync(victim, 'untouched', { mode: 0o644 });
  return victim;
}

const modeOf = (path: string): number => lstatSync(path).mode & 0o777;
const failing = (code: string) => expect.objectContaining({ code }) as Error;

describe('a file', () => {
  test('is replaced as a whole, for this user only', () => {
    const file = join(newDirectory(), 'file');
    stateFiles.write(file, 'one');
    stateFiles.write(file, 'two');
    expect(readFileSync(file, 'utf8')).toBe('two');
    expect(modeOf(file)).toBe(0o600);
  });

  test.each(['file', 'file.new'])('is not written through a link at %s', (name) => {
    const directory = newDirectory();
    const victim = victimIn(directory);
    symlinkSync(victim, join(directory, name));
    stateFiles.write(join(directory, 'file'), 'secret');
    expect(readFileSync(victim, 'utf8')).toBe('untouched');
    expect(modeOf(victim)).toBe(0o644);
    expect(lstatSync(join(directory, 'file')).isFile()).toBe(true);
    expect(readdirSync(directory).sort()).toEqual(['file', 'victim']);
  });

  test('is written beside what a killed process has left', () => {
    const directory = newDirectory();
    writeFileSync(join(directory, 'file.new'), 'half', { mode: 0o666 });
    stateFiles.write(join(directory, 'file'), 'whole');
    expect(modeOf(join(directory, 'file'))).toBe(0o600);
    expect(readdirSync(directory)).toEqual(['file']);
  });

  test.each(['file', 'file.new'])('is not written where a directory is: %s', (name) => {
    const directory = newDirectory();
    mkdirSync(join(directory, name));
    expect(() => stateFiles.write(join(directory, 'file'), 'x')).toThrow(failing('EISDIR'));
    expect(readdirSync(directory)).toEqual([name]);
  });

  test('is not read through a link, nor from a directory or a FIFO', () => {
    const directory = newDirectory();
    symlinkSync(victimIn(directory), join(directory, 'link'));
    mkdirSync(join(directory, 'directory'));
    expect(() => stateFiles.read(join(directory, 'link'))).toThrow(failing('ELOOP'));
    expect(() => stateFiles.read(join(directory, 'directory'))).toThrow(failing('EISDIR'));
    expect(() => stateFiles.read('/dev/zero')).toThrow(failing('EISDIR'));
  });

  test('that has no end is not read to it', () => {
    const file = join(newDirectory(), 'file');
    writeFileSync(file, new Uint8Array(0x10_0001));
    expect(() => stateFiles.read(file)).toThrow(failing('EFBIG'));
  });

  test.runIf(process.geteuid?.() === 0)('of another user is not read', () => {
    const file = join(newDirectory(), 'file');
    writeFileSync(file, 'planted');
    chownSync(file, 65_534, 65_534);
    expect(() => stateFiles.read(file)).toThrow(failing('EPERM'));
  });

  test('that is not there is removed already; a link is removed, not what it leads to', () => {
    const directory = newDirectory();
    const victim = victimIn(directory);
    symlinkSync(victim, join(directory, 'link'));
    stateFiles.remove(join(directory, 'link'));
    stateFiles.remove(join(directory, 'link'));
    expect(readdirSync(directory)).toEqual(['victim']);
  });

  test('is set aside whatever it is', () => {
    const directory = newDirectory();
    mkdirSync(join(directory, 'file'));
    stateFiles.setAside(join(directory, 'file'));
    stateFiles.setAside(join(directory, 'file'));
    expect(readdirSync(directory)).toEqual(['file.damaged']);
  });
});

describe('a directory', () => {
  test('is made for this user only, with what is missing above it', () => {
    const path = join(newDirectory(), 'a/b/c');
    stateFiles.makeDirectory(path);
    stateFiles.makeDirectory(path);
    expect([modeOf(path), modeOf(join(path, '..'))]).toEqual([0o700, 0o700]);
  });

  test.each([
    ['one of ours', (path: string) => stateFiles.makeDirectory(path), 'ELOOP'],
    ['a shared one', makeSharedDirectory, 'ELOOP'],
  ] as const)('in the place of which is a link is refused: %s', (_, make, code) => {
    const directory = newDirectory();
    mkdirSync(join(directory, 'elsewhere'));
    symlinkSync(join(directory, 'elsewhere'), join(directory, 'link'));
    expect(() => make(join(directory, 'link'))).toThrow(failing(code));
  });

  test('that an administrator named may be reached through a link', () => {
    const directory = newDirectory();
    mkdirSync(join(directory, 'elsewhere'));
    symlinkSync(join(directory, 'elsewhere'), join(directory, 'link'));
    expect(() => makeNamedDirectory(join(directory, 'link'))).not.toThrow();
  });

  test.each([(path: string) => stateFiles.makeDirectory(path), makeNamedDirectory, makeSharedDirectory])(
    'is not what is none',
    (make) => {
      const file = victimIn(newDirectory());
      expect(() => make(file)).toThrow(failing('ENOTDIR'));
    },
  );

  test.runIf(process.geteuid?.() === 0)('of another user is refused', () => {
    const path = join(newDirectory(), 'theirs');
    mkdirSync(path);
    chownSync(path, 65_534, 65_534);
    expect(() => stateFiles.makeDirectory(path)).toThrow(failing('EPERM'));
    expect(() => makeNamedDirectory(path)).toThrow(failing('EPERM'));
    expect(() => makeSharedDirectory(path)).not.toThrow();
    expect(existsSync(path)).toBe(true);
  });
});
