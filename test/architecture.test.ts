/** Arrows between rooms point one way. Which import which is read from the sources, so that the rule cannot be forgotten. */
import { readFileSync, readdirSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';

const root = fileURLToPath(new URL('..', import.meta.url));

interface Import {
  readonly from: string;
  readonly to: string;
  readonly typeOnly: boolean;
}

function sources(folder: string): string[] {
  return readdirSync(join(root, folder), { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) return sources(path);
    return path.endsWith('.ts') ? [path] : [];
  });
}

const statement = /^(?:import|export)\s+(type\s)?[^;]*?from\s+'([^']+)'|^import\s+'([^']+)'/gm;

/** Import types only, and nothing is loaded: a pure room may name the shape of something that it never touches. */
function importsOf(file: string): Import[] {
  const text = readFileSync(join(root, file), 'utf8');
  return [...text.matchAll(statement)].map(([, typeOnly, from, bare]) => {
    const specifier = from ?? bare ?? '';
    const to = specifier.startsWith('.')
      ? relative(root, resolve(root, dirname(file), specifier))
      : specifier;
    return { from: file, to, typeOnly: typeOnly !== undefined };
  });
}

const all = ['src', 'machines', 'workers'].flatMap(sources).flatMap(importsOf);

/** `src/ring/layout.ts` is in the room `ring`, `machines/guest.ts` in `machines`, a package in none. */
function room(path: string): string {
  const [top = '', second = '', ...rest] = path.split('/');
  if (top === 'machines' || top === 'workers') return top;
  if (top !== 'src') return '';
  return rest.length > 0 ? second : second.replace(/\.ts$/, '');
}

const packagesOf = (imports: readonly Import[]): string[] => [
  ...new Set(imports.filter(({ to }) => room(to) === '').map(({ to }) => to)),
];
const inRoom = (name: string): Import[] => all.filter(({ from }) => room(from) === name);
const offending = (imports: readonly Import[], allowed: readonly string[]): string[] =>
  imports
    .filter(({ from, to }) => room(to) !== '' && room(to) !== room(from) && !allowed.includes(room(to)))
    .map(({ from, to }) => `${from} -> ${to}`);

test('the scan sees the sources', () => {
  expect(all.length).toBeGreaterThan(100);
  expect(inRoom('backend').some(({ to }) => to === 'machines/supervisor.ts')).toBe(true);
});

const pure = ['address', 'errors', 'text', 'config-space', 'topology', 'xenbus', 'ring'];

describe('rooms without input or output', () => {
  test.each(pure)('%s imports other pure rooms only', (name) => {
    const loaded = inRoom(name).filter(({ typeOnly }) => !typeOnly);
    expect(offending(loaded, pure)).toEqual([]);
    expect(packagesOf(loaded).filter((specifier) => specifier !== 'rxjs')).toEqual([]);
  });

  test('what they import only as a type comes from the platform’s interface', () => {
    const shapes = pure.flatMap(inRoom).filter(({ typeOnly }) => typeOnly);
    expect(offending(shapes, pure).filter((arrow) => !arrow.endsWith('-> src/host/platform.ts'))).toEqual([]);
  });

  test('machines import pure rooms and xstate; only the drawings are written to a file', () => {
    expect(offending(inRoom('machines'), pure)).toEqual([]);
    const imports = inRoom('machines').filter(({ from }) => from !== 'machines/write-document.ts');
    expect(packagesOf(imports)).toEqual(['xstate']);
  });
});

test('only the host room knows the native addon', () => {
  const text = (file: string): string => readFileSync(join(root, file), 'utf8');
  const users = ['src', 'machines', 'workers']
    .flatMap(sources)
    .filter((file) => text(file).includes('pciback.node'));
  expect(users.every((file) => room(file) === 'host')).toBe(true);
});

test('the host knows nothing of guests', () => {
  expect(offending(inRoom('host'), pure)).toEqual([]);
});

test('xenstore knows nothing of PCI', () => {
  expect(offending(inRoom('xenstore'), ['deadline', 'errors', 'unix-socket'])).toEqual([]);
});

test('the guest’s side never sees the filter or the machines', () => {
  expect(
    offending(inRoom('xpci'), [
      'address',
      'errors',
      'text',
      'ring',
      'topology',
      'xenbus',
      'xenstore',
      'host',
    ]),
  ).toEqual([]);
});

test('a toolstack needs addresses, xenbus and xenstore', () => {
  expect(offending(inRoom('toolstack'), ['address', 'errors', 'text', 'xenbus', 'xenstore'])).toEqual([]);
});

test('the doctor judges what the host, the toolstack’s grammars and xenstore tell', () => {
  const known = ['address', 'errors', 'config-space', 'topology', 'xenbus', 'toolstack', 'host'];
  expect(offending(inRoom('doctor'), [...known, 'xenstore'])).toEqual([]);
  const judging = inRoom('doctor').filter(
    ({ from, typeOnly }) => !typeOnly && !from.startsWith('src/doctor/gather') && !from.endsWith('/index.ts'),
  );
  expect(packagesOf(judging)).toEqual([]);
  expect(judging.filter(({ to }) => to.startsWith('src/doctor/gather'))).toEqual([]);
});

test('workers join machines, ring and host, and never talk to xenstore', () => {
  expect(
    offending(inRoom('workers'), ['address', 'errors', 'config-space', 'host', 'ring', 'machines']),
  ).toEqual([]);
});

test('nobody but the library and its parts imports the back-end', () => {
  const users = all.filter(({ from, to }) => room(to) === 'backend' && room(from) !== 'backend');
  expect([...new Set(users.map(({ from }) => room(from)))].filter((name) => name !== 'index')).toEqual([]);
});

describe('the command line', () => {
  const doors = inRoom('cli').filter(({ to }) => room(to) !== '' && room(to) !== 'cli');
  /** Behind these is what most commands need, and nothing else that would have to be loaded. */
  const sideDoors = new Set([
    'src/errors.ts',
    'src/package.ts',
    'src/text.ts',
    'src/host/output-thread.ts',
    'src/host/functions.ts',
    'src/toolstack/grammars.ts',
    'src/toolstack/nearest.ts',
  ]);

  test('enters by the front doors and few side doors', () => {
    const others = doors.map(({ to }) => to).filter((to) => !to.endsWith('/index.ts'));
    expect(others.filter((to) => !sideDoors.has(to))).toEqual([]);
  });

  test('loads the back-end only to run it', () => {
    const users = doors.filter(({ to, typeOnly }) => to === 'src/index.ts' && !typeOnly);
    expect(users.filter(({ from }) => !from.startsWith('src/cli/demo/'))).toEqual([]);
  });
});

/** The files that importing this one loads, and the packages. */
function reachedFrom(file: string): readonly string[] {
  const reached = new Set([file]);
  for (const each of reached) {
    for (const { from, to, typeOnly } of all) if (from === each && !typeOnly) reached.add(to);
  }
  return [...reached];
}

describe('behind the side doors', () => {
  test('grammars are text in, facts out', () => {
    const rooms = new Set(reachedFrom('src/toolstack/grammars.ts').map(room));
    expect([...rooms].toSorted()).toEqual(['address', 'errors', 'text', 'toolstack']);
  });

  test('functions are listed without the native addon and without packages', () => {
    const reached = reachedFrom('src/host/functions.ts');
    expect(reached).toContain('src/host/sysfs.ts');
    expect(reached).not.toContain('src/host/native.ts');
    expect(reached.filter((to) => room(to) === '' && !to.startsWith('node:'))).toEqual([]);
  });
});
