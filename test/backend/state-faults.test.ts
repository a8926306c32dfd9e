/**
 * Every write of the state directory fails, at every step of a guest's and a function's life: nobody who reports a step is told of it,
 * and whoever dies after any step leaves a successor that knows whose each function is.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { makeSbdf } from '../../src/address.ts';
import { type Life, lifeOf, readLife, writeLife } from '../../src/backend/life-note.ts';
import { LifeNotes } from '../../src/backend/life-notes.ts';
import { Registry } from '../../src/backend/registry.ts';
import { ringStore } from '../../src/backend/resume.ts';
import { StateDirectory } from '../../src/backend/state-directory.ts';
import { recordSize } from '../../src/config-space/index.ts';
import { sampleFunction } from '../../src/host/index.ts';
import type { BackendEvent } from '../../src/monitor/index.ts';
import { seizedIn, snapshotOf } from './assignment.ts';
import { Disk, failure } from './disk.ts';

const models = mkdtempSync(join(tmpdir(), 'pciback-faults-'));
afterAll(() => rmSync(models, { recursive: true, force: true }));

const [first, second] = [makeSbdf(0, 3, 0, 0), makeSbdf(0, 4, 0, 0)];
const functions = [first, second];
const taken = functions.map((sbdf) => {
  const facts = sampleFunction(sbdf);
  return [{ facts, former: null, wasDriven: false }, seizedIn(models, facts)] as const;
});

const codes = ['ENOSPC', 'EIO', 'EROFS', 'EACCES', 'EISDIR'];

/** A daemon as far as its state goes, on a disk and with records that outlive it. */
class Daemon {
  readonly events: BackendEvent[] = [];
  readonly state: StateDirectory;
  readonly registry: Registry;
  readonly rings: ReturnType<typeof ringStore>;

  constructor(disk: Disk, records: Map<number, ArrayBuffer> | undefined) {
    this.state = new StateDirectory('/state', (event) => this.events.push(event), disk);
    const mapRecord = (sbdf: number): ArrayBuffer => {
      const record = records?.get(sbdf) ?? new ArrayBuffer(recordSize);
      if (!records) throw failure('ENOSPC');
      records.set(sbdf, record);
      return record;
    };
    const { saver, files } = this.state;
    const options = { saver, files, notes: new LifeNotes({ mapRecord }, this.state, () => {}) };
    this.registry = new Registry('/state/function', () => {}, options);
    this.rings = ringStore('/state/ring', { saver, files });
  }

  /** Whose the functions are, and how they stand. */
  get lives(): readonly (Life | undefined)[] {
    return functions.map((sbdf) => {
      const entry = this.registry.get(sbdf);
      return entry && lifeOf(entry);
    });
  }
}

const ring = (grantRef: number) => ({ grantRef, port: 2, localPort: 3 });

/** One step after the other, as sessions and workers report them. */
const steps: readonly (readonly [name: string, run: (daemon: Daemon) => void | Promise<void>])[] = [
  ...taken.map(([facts, seized]) => ['hide', ({ registry }: Daemon) => registry.add(facts, seized)] as const),
  ['claim', ({ registry }) => void registry.claim(first, 5)],
  ['bind', ({ registry }) => registry.update(first, snapshotOf(first, 5, 'binding'))],
  ['bound', ({ registry }) => registry.update(first, snapshotOf(first, 5, 'bound'))],
  ['ring', ({ rings }) => rings.put('5', ring(8), 'soon')],
  ['connect', ({ registry }) => registry.update(first, snapshotOf(first, 5, { connected: 'serving' }))],
  ['hot-plug', ({ registry }) => void registry.claim(second, 5)],
  ['bound, too', ({ registry }) => registry.update(second, snapshotOf(second, 5, 'bound'))],
  ['permissive', ({ registry }) => void registry.trust(second, true)],
  ['quirk', ({ registry }) => void registry.addQuirk({ sbdf: second, offset: 0xf0, size: 4, mask: 1 })],
  [
    'reset for the guest',
    ({ registry }) => registry.update(first, snapshotOf(first, 5, { connected: 'flr' })),
  ],
  ['another worker', ({ rings }) => rings.put('5', ring(9), 'soon')],
  ['detach', ({ registry }) => registry.leave(first)],
  ['taken back', ({ registry }) => registry.update(first, snapshotOf(first, 5, 'reset'))],
  ['hidden', ({ registry }) => registry.update(first, hidden(first))],
  ['handed to another', ({ registry }) => void registry.claim(first, 6)],
  ['bound there', ({ registry }) => registry.update(first, snapshotOf(first, 6, 'bound'))],
  ['closed', ({ rings }) => rings.delete('5', 'soon')],
  [
    'not to be reset',
    ({ registry }) => registry.quarantine(second, { reason: 'RESET-FAILED', message: 'it is' }),
  ],
  ['closed for good', ({ rings }) => rings.delete('5', 'now')],
  ['reset by hand', ({ registry }) => registry.update(second, hidden(second))],
  ['unhide', ({ registry }) => registry.giveUp(second, false, async () => {})],
];

const hidden = (sbdf: typeof first) => {
  const scratch = new Registry('/nowhere', () => {}, { files: new Disk() });
  const [facts, seized] = taken[functions.indexOf(sbdf)] ?? expect.unreachable();
  scratch.add(facts, seized);
  return scratch.get(sbdf)?.snapshot ?? expect.unreachable();
};

/** Lives that life; `after` is called after each step. */
async function live(disk: Disk, records: Map<number, ArrayBuffer>, after: (daemon: Daemon) => void) {
  const daemon = new Daemon(disk, records);
  for (const [, run] of steps) {
    await run(daemon);
    after(daemon);
  }
  return daemon;
}

/** What a successor finds that starts from this very moment, with a disk that works. */
function successor(disk: Disk, records: Map<number, ArrayBuffer> | undefined): Daemon {
  const copy = new Disk();
  for (const [path, contents] of disk.contents) copy.contents.set(path, contents);
  const copied = records && new Map([...records].map(([sbdf, record]) => [sbdf, record.slice(0)]));
  return new Daemon(copy, copied);
}

async function changesOfALife(): Promise<number> {
  const disk = new Disk();
  await live(disk, new Map(), () => {});
  return disk.changes;
}

function expectComplete(daemon: Daemon, disk: Disk): void {
  disk.fails = () => undefined;
  expect(daemon.state.saver.flush()).toBe(true);
  expect(daemon.state.saver.unsaved).toBe(null);
  // Without what is noted in records: the files have to say it all.
  const next = successor(disk, undefined);
  expect(structuredClone(next.registry.entries())).toEqual(structuredClone(daemon.registry.entries()));
  expect(next.rings.load(() => expect.unreachable())).toEqual(new Map());
  daemon.state.saver.close();
}

describe.each(codes)('%s', (code) => {
  test('of any one write: told once, and complete when it can be written again', async () => {
    const changes = await changesOfALife();
    expect(changes).toBeGreaterThanOrEqual(20);
    for (let failing = 1; failing <= changes; failing++) {
      const disk = new Disk();
      disk.fails = (change) => (change === failing ? code : undefined);
      const daemon = await live(disk, new Map(), () => {});
      expect(daemon.events.filter(({ type }) => type === 'state.notSaved')).toHaveLength(1);
      expectComplete(daemon, disk);
      expect(daemon.events.map(({ type }) => type)).toEqual(['state.notSaved', 'state.saved']);
    }
  });

  test('of every write from some step on: whoever dies leaves a successor that knows whose each function is', async () => {
    const changes = await changesOfALife();
    for (let failing = 1; failing <= changes; failing++) {
      const disk = new Disk();
      const records = new Map<number, ArrayBuffer>();
      disk.fails = (change) => (change >= failing ? code : undefined);
      const daemon = await live(disk, records, (now) => {
        const { lives, registry } = successor(disk, records);
        // What could never be written down is not known, and is reset before anybody gets it.
        const expected = now.lives.map((life, index) => (lives[index] === undefined ? undefined : life));
        expect(lives).toEqual(expected);
        for (const { facts } of registry.entries()) {
          const { owner = null } = lives[functions.indexOf(facts.sbdf)] ?? {};
          expect(registry.ownerOf(facts.sbdf) ?? null).toBe(owner);
        }
        if (failing > 4) expect(registry.get(first)).toBeDefined();
      });
      expectComplete(daemon, disk);
      expect(daemon.events.map(({ type }) => type)).toEqual(['state.notSaved', 'state.saved']);
    }
  });
});

test('a record that cannot be had is told, and made when it can be', async () => {
  const disk = new Disk();
  let broken = true;
  const events: BackendEvent[] = [];
  const state = new StateDirectory('/state', (event) => events.push(event), disk);
  const record = new ArrayBuffer(recordSize);
  const mapRecord = (): ArrayBuffer => {
    if (broken) throw failure('ENOSPC');
    return record;
  };
  const notes = new LifeNotes({ mapRecord }, state, () => {});
  const life: Life = { phase: 'exported', owner: 5, guestAddress: first };
  expect(notes.lifeOf(first)).toBe(undefined);
  notes.note(first, { ...life, phase: 'leaving' });
  notes.note(first, life);
  expect(state.saver.unsaved).toMatchObject({ path: '/state/record/0000:03:00.0' });
  broken = false;
  expect(state.saver.flush()).toBe(true);
  expect(readLife(record)).toEqual(life);
  expect(events.map(({ type }) => type)).toEqual(['state.notSaved', 'state.saved']);
});

test('what is noted is read as it was noted, and nonsense as nothing', () => {
  const record = new ArrayBuffer(recordSize);
  expect(readLife(record)).toBe(undefined);
  const lives: Life[] = [
    { phase: 'hidden', owner: null, guestAddress: null },
    { phase: 'returned', owner: null, guestAddress: null },
    { phase: 'exported', owner: 32_751, guestAddress: makeSbdf(0xffff, 0xff, 0x1f, 7) },
    { phase: 'exported', owner: 1, guestAddress: makeSbdf(0, 0, 0, 0) },
    { phase: 'leaving', owner: 1, guestAddress: null },
  ];
  for (const life of lives) {
    writeLife(record, life);
    expect(readLife(record)).toEqual(life);
  }
  for (const word of [Number.NaN, -1, 0.5, 2 ** 60, 2 ** 52 + 2 ** 51, Infinity]) {
    new Float64Array(record, 0x60, 1)[0] = word;
    expect(readLife(record)).toBe(undefined);
  }
});
