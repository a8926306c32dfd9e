/** Where a daemon keeps its state, what others may have put there, and what it makes of state that it cannot read. */
import {
  existsSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { beforeEach, describe, expect, it, onTestFinished } from 'vitest';
import { createDomain } from '../../src/xpci/index.ts';
import { LoopbackHost } from '../foreign/daemon.ts';
import { TestGuest } from './front-end.ts';
import { run } from './run.ts';

const adapter = '0000:03:00.0';
const storage = '0000:04:00.0';

let host: LoopbackHost;
beforeEach(async () => {
  host = await LoopbackHost.make();
  onTestFinished(() => host[Symbol.asyncDispose]());
});

async function guestWith(domid: number, ...functions: readonly string[]): Promise<TestGuest> {
  await createDomain(host.directory, domid);
  await host.pciback('attach', String(domid), ...functions);
  return TestGuest.start(host.directory, domid);
}

const modeOf = (path: string): number => lstatSync(path).mode & 0o777;

/** Every file and directory below this one, without what is mapped or locked by others. */
const below = (directory: string): string[] => readdirSync(directory, { recursive: true }).map(String).sort();

describe('the state directory', () => {
  it('is one thing: --state-dir moves all of it, and the other commands find the daemon', async () => {
    const elsewhere = join(host.directory, '../elsewhere');
    await host.serve(`(${adapter})`, '--state-dir', elsewhere);
    const guest = await guestWith(5, adapter);
    expect(guest.config.read(0, 4)).not.toBe(0xffff_ffff);
    expect(below(join(host.directory, 'state'))).toEqual(['control.sock']);
    const kept = ['function', 'model', 'record', 'ring'];
    expect(below(elsewhere)).toEqual(
      [...kept, 'lock', 'ring/5', 'stand-in', ...kept.slice(0, 3).map((each) => join(each, adapter))].sort(),
    );
    for (const name of kept) expect(modeOf(join(elsewhere, name))).toBe(0o700);
    for (const name of ['lock', `function/${adapter}`, `record/${adapter}`, `model/${adapter}`, 'ring/5'])
      expect([name, modeOf(join(elsewhere, name))]).toEqual([name, 0o600]);
    expect(await host.pciback('status')).toContain('domain 5');
    // The next daemon goes on with it there.
    await host.stop('SIGKILL');
    await host.serve('', '--state-dir', elsewhere);
    expect(guest.config.read(0, 4)).not.toBe(0xffff_ffff);
    expect(await host.pciback('status')).toContain('domain 5');
  });
});

describe('what others have put in the place of its names', () => {
  it.each([
    'dom/0',
    'dom/0.new',
    `state/function/${adapter}`,
    `state/function/${adapter}.new`,
    'state/ring/5',
    'state/ring/5.new',
  ])('is replaced and not followed: %s', async (name) => {
    const victim = join(host.directory, '../victim');
    writeFileSync(victim, 'untouched', { mode: 0o644 });
    const planted = join(host.directory, name);
    mkdirSync(join(planted, '..'), { recursive: true });
    symlinkSync(victim, planted);
    await host.serve('');
    await host.pciback('hide', adapter);
    const guest = await guestWith(5, adapter);
    expect(guest.config.read(0, 4)).not.toBe(0xffff_ffff);
    expect([readFileSync(victim, 'utf8'), modeOf(victim)]).toEqual(['untouched', 0o644]);
    expect(existsSync(planted) && lstatSync(planted).isSymbolicLink()).toBe(false);
  });

  it.each([
    ['state/lock', 'serve'],
    ['state', 'serve'],
    ['dom', 'serve'],
    ['evt', 'serve'],
    ['gnt', 'serve'],
    [`state/model/${adapter}`, 'hide'],
    ['state/model', 'hide'],
  ])('is refused in one line: %s, by %s', async (name, command) => {
    const target = join(host.directory, '../elsewhere');
    const isFolder = !/lock|:/.test(name);
    if (isFolder) mkdirSync(target);
    else writeFileSync(target, 'untouched');
    const planted = join(host.directory, name);
    mkdirSync(join(planted, '..'), { recursive: true });
    symlinkSync(target, planted);
    const env = { PCIBACK_LOOPBACK: host.directory };
    if (command === 'hide') await host.serve('');
    const words = command === 'hide' ? ['hide', adapter] : ['serve'];
    const { code, stderr } = await run(words, env);
    expect(stderr).toMatch(/^pciback: BAD-(DIRECTORY|FILE): [^\n]*\n$/);
    expect(code).not.toBe(0);
    if (isFolder) expect(readdirSync(target)).toEqual([]);
    else expect(readFileSync(target, 'utf8')).toBe('untouched');
  });
});

describe('state that cannot be read', () => {
  /** A daemon that was killed with both functions hidden, and a guest that has one of them. */
  async function killed(): Promise<{ guest: TestGuest; state: string }> {
    await host.serve(`(${adapter})(${storage})`);
    const guest = await guestWith(5, adapter);
    await host.stop('SIGKILL');
    return { guest, state: join(host.directory, 'state') };
  }

  const damages: Readonly<Record<string, (path: string) => void>> = {
    'of another kind': (path) => writeFileSync(path, Buffer.from([0x81, 0xa1, 0x61, 0x01])),
    'cut short': (path) => writeFileSync(path, readFileSync(path).subarray(0, 100)),
    empty: (path) => writeFileSync(path, ''),
    'a directory': (path) => {
      rmSync(path);
      mkdirSync(path);
    },
    'a link': (path) => {
      rmSync(path);
      symlinkSync('/dev/zero', path);
    },
  };

  it.each(Object.entries(damages))('is told, and left as it is: %s', async (_, damage) => {
    const { guest, state } = await killed();
    const damaged = [`function/${storage}`, 'ring/7'];
    writeFileSync(join(state, 'ring/7'), 'x'.repeat(200));
    for (const name of damaged) damage(join(state, name));
    await host.serve('');
    const told = host.reported.filter(({ reason }) => reason === 'STATE-DAMAGED');
    expect(told).toHaveLength(2);
    expect(guest.config.read(0, 4)).not.toBe(0xffff_ffff);
    for (const name of damaged) expect(lstatSync(join(state, name), { throwIfNoEntry: false })).toBeDefined();
    // A function of which nothing is known is hidden, and reset, anew; what was there is kept beside it.
    expect(await host.pciback('hide', storage)).toBe(`${storage} hidden\n`);
    await host.until(({ type, subject }) => type === 'reset.completed' && subject === storage);
    expect(readdirSync(join(state, 'function')).sort()).toEqual([adapter, storage, `${storage}.damaged`]);
  });
});
