/** A state directory that cannot be written, through the whole life of guests and functions. */
import { join } from 'node:path';
import { type PciBackendOptions, formatSbdf } from 'pciback';
import { describe, expect, onTestFinished, test } from 'vitest';
import { Registry, contextOf, stateOf } from '../../src/backend/registry.ts';
import { ringStore } from '../../src/backend/resume.ts';
import { formatSbdf as nameOf } from '../../src/address.ts';
import { type StateFiles, stateFiles } from '../../src/host/state-files.ts';
import { ModelFault } from '../../src/host/index.ts';
import { XenbusState } from '../../src/xenbus/index.ts';
import { failure } from '../backend/disk.ts';
import { Host } from './host.ts';
import { Script, listing } from './script.ts';
import { e1000e, igb, nvme } from './surroundings.ts';

const { Closing, Closed, Connected, Initialising, Initialised, Reconfiguring } = XenbusState;

type Fails = (operation: string, path: string) => string | undefined;

/** The real files, but for those operations that are to fail. */
class FaultyFiles implements StateFiles {
  fails: Fails = () => undefined;
  /** Writes and removals that were done. */
  changes = 0;

  makeDirectory(path: string): void {
    this.#attempt('makeDirectory', path);
    stateFiles.makeDirectory(path);
  }
  list(directory: string): readonly string[] {
    return stateFiles.list(directory);
  }
  read(path: string): Uint8Array {
    return stateFiles.read(path);
  }
  write(path: string, contents: Uint8Array): void {
    this.#attempt('write', path);
    stateFiles.write(path, contents);
  }
  remove(path: string): void {
    this.#attempt('remove', path);
    stateFiles.remove(path);
  }
  setAside(path: string): void {
    this.#attempt('setAside', path);
    stateFiles.setAside(path);
  }

  #attempt(operation: string, path: string): void {
    const code = this.fails(operation, path);
    if (code) throw failure(code);
    this.changes++;
  }
}

async function begin(fails: Fails): Promise<{ readonly host: Host; readonly files: FaultyFiles }> {
  const files = new FaultyFiles();
  files.fails = fails;
  const options: Partial<PciBackendOptions> = { stateFiles: files };
  const host = await Host.start([nvme, e1000e], options);
  onTestFinished(() => host[Symbol.asyncDispose]());
  return { host, files };
}

const answers = { igb: 0x10c9_8086, nvme: 0x0010_1b36, e1000e: 0x10d3_8086 } as const;

/** Every step of the life of a function, with a neighbour that has to be answered after each. */
async function wholeLife(host: Host): Promise<void> {
  const { backend } = host;
  const neighbour = await Script.begin(host, 2);
  await neighbour.connect(nvme);
  const allIsWell = async (): Promise<void> => {
    expect(await neighbour.read(0)).toEqual({ err: 0, value: answers.nvme });
    const { state, functions } = backend.status();
    expect(state).toBe('ready');
    expect(functions.find(({ sbdf }) => sbdf === formatSbdf(nvme))).toMatchObject({ owner: 2 });
  };
  await backend.hide(igb);
  await allIsWell();
  const guest = await Script.begin(host, 1);
  await guest.connect(e1000e);
  await guest.reconfigure(listing(1, igb));
  expect(await guest.read(1)).toEqual({ err: 0, value: answers.igb });
  await allIsWell();
  await backend.addQuirk({ sbdf: igb, offset: 0xf0, size: 4, mask: 1 });
  // The guest resets it, and its worker dies.
  await guest.write(1, 0xa8, 2, 0x8000);
  const adopted = host.count('guest.adopted');
  await backend.killWorker(1);
  await host.untilEvents('both guests to be adopted', 'guest.adopted', adopted + 2);
  expect(await guest.read(0)).toEqual({ err: 0, value: answers.e1000e });
  await allIsWell();
  // A function is detached, and refuses to be reset.
  const hardware = host.hardware(igb);
  hardware.faults = ModelFault.resetFails;
  await guest.writeBack({ 'state-1': Closing, state: Reconfiguring });
  await guest.writeFront({ state: Reconfiguring });
  await guest.untilBack('state', 8);
  await guest.writeFront({ state: Connected });
  await guest.untilBack('state', Connected);
  expect(host.function(igb)).toEqual({ state: 'quarantined', owner: null });
  hardware.faults = ModelFault.none;
  await backend.reset(igb);
  await allIsWell();
  // The front-end closes and starts over.
  for (const state of [Closing, Closed]) {
    await guest.writeFront({ state });
    await guest.untilBack('state', state);
  }
  await guest.writeFront({ state: Initialising });
  await guest.untilBack('state', Initialised);
  await guest.publish();
  await guest.untilBack('state', Connected);
  expect(await guest.read(0)).toEqual({ err: 0, value: answers.e1000e });
  await guest[Symbol.asyncDispose]();
  await host.untilHidden(e1000e, igb);
  // Handed to another guest.
  const heir = await Script.begin(host, 3);
  await heir.connect(e1000e);
  expect(await heir.read(0)).toEqual({ err: 0, value: answers.e1000e });
  await backend.unhide(igb);
  await allIsWell();
}

/** What is on disk says the same as the back-end does. */
function expectComplete(host: Host): void {
  const damaged: string[] = [];
  const onDamage = (key: string): void => void damaged.push(key);
  const stored = new Registry(join(host.directory, 'state/function'), onDamage);
  const { functions } = host.backend.status();
  const listed = stored.entries().map((entry) => ({
    sbdf: nameOf(entry.facts.sbdf),
    state: stateOf(entry),
    owner: contextOf(entry).owner,
  }));
  const told = functions.map(({ sbdf, state, owner }) => ({ sbdf, state, owner }));
  const byName = (one: { sbdf: string }, other: { sbdf: string }): number => (one.sbdf < other.sbdf ? -1 : 1);
  expect(listed.sort(byName)).toEqual(told.sort(byName));
  expect([...ringStore(join(host.directory, 'state/ring')).load(onDamage).keys()].sort()).toEqual(['2', '3']);
  expect(damaged).toEqual([]);
}

const told = (host: Host): string[] =>
  host.events.map(({ type }) => type).filter((type) => type.startsWith('state.'));

describe.each(['ENOSPC', 'EIO', 'EROFS', 'EACCES', 'EISDIR'])('%s', (code) => {
  test('the first time that each file is written or removed: nobody notices, and all is saved in the end', async () => {
    const failed = new Set<string>();
    const { host } = await begin((operation, path) => {
      const key = `${operation} ${path}`;
      if (failed.has(key)) return undefined;
      failed.add(key);
      return code;
    });
    await wholeLife(host);
    await host.untilStatus('all to be saved', ({ stateNotSaved }) => stateNotSaved === null);
    await expect.poll(() => told(host).at(-1)).toBe('state.saved');
    expect(failed.size).toBeGreaterThan(8);
    await expect.poll(() => expectComplete(host)).toBe(undefined);
  });

  test('of every write: told once, with path and reason, until it is over', async () => {
    let broken = true;
    const { host } = await begin(() => (broken ? code : undefined));
    await wholeLife(host);
    expect(told(host)).toEqual(['state.notSaved']);
    const { stateNotSaved } = host.backend.status();
    expect(stateNotSaved).toMatchObject({ error: expect.stringMatching(`^${code}: `) as string });
    expect(stateNotSaved?.path.startsWith(join(host.directory, 'state/'))).toBe(true);
    expect(stateNotSaved?.files).toBeGreaterThan(2);
    broken = false;
    await host.untilStatus('all to be saved', (status) => status.stateNotSaved === null);
    expect(told(host)).toEqual(['state.notSaved', 'state.saved']);
    expectComplete(host);
  });
});

test('a guest that comes and goes again and again is not written down each time', async () => {
  const { host, files } = await begin(() => undefined);
  const guest = await Script.begin(host, 1);
  await guest.connect(e1000e);
  const flaps = 1000;
  const before = files.changes;
  const began = performance.now();
  for (let flap = 0; flap < flaps; flap++) {
    for (const state of [Closing, Closed]) {
      await guest.writeFront({ state });
      await guest.untilBack('state', state);
    }
    await guest.writeFront({ state: Initialising });
    await guest.untilBack('state', Initialised);
    await guest.publish();
    await guest.untilBack('state', Connected);
  }
  const seconds = (performance.now() - began) / 1000;
  const writes = files.changes - before;
  console.log(`${flaps} flaps in ${seconds.toFixed(1)} s: ${writes} writes`);
  // Two files, each four times at once and twice a second.
  expect(writes).toBeLessThanOrEqual(2 * (4 + 2 * seconds + 2));
  expect(await guest.read(0)).toEqual({ err: 0, value: answers.e1000e });
  const { ref, port } = guest.ring;
  await expect
    .poll(() =>
      ringStore(join(host.directory, 'state/ring'))
        .load(() => undefined)
        .get('1'),
    )
    .toMatchObject({ grantRef: ref, port });
  const stored = (): string | undefined => {
    const registry = new Registry(join(host.directory, 'state/function'), () => undefined);
    const entry = registry.entries().find(({ facts }) => nameOf(facts.sbdf) === formatSbdf(e1000e));
    return entry && stateOf(entry);
  };
  await expect.poll(stored).toBe('connected');
  const after = files.changes;
  await host.untilStatus('it to rest', () => files.changes === after);
}, 300_000);
