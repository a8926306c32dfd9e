import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pack } from 'msgpackr';
import { expect, onTestFinished, test } from 'vitest';
import { type Sbdf, makeSbdf } from '../../src/address.ts';
import { PcibackError } from '../../src/errors.ts';
import { makePool } from '../../src/backend/pool.ts';
import { Registry } from '../../src/backend/registry.ts';
import {
  type ServedRing,
  assignmentsOf,
  resumeGuests,
  ringStore,
  endUnclaimed,
} from '../../src/backend/resume.ts';
import type { BackendEvent } from '../../src/monitor/index.ts';
import { defaultMode } from '../../src/config-space/index.ts';
import { sampleFunction } from '../../src/host/index.ts';
import { lastDomid } from '../../src/xenbus/index.ts';
import { LoopbackDirectory } from '../host/loopback-setting.ts';
import { seizedIn, snapshotOf } from './assignment.ts';

const first = makeSbdf(0, 3, 0, 0);
const second = makeSbdf(0, 4, 0, 0);
const guestAddress = makeSbdf(0, 0, 0, 0);

type Standing = Parameters<typeof snapshotOf>[2];

function begin() {
  const directory = new LoopbackDirectory();
  const open = () => new Registry(directory.in('state/function'), () => expect.unreachable());
  const registry = open();
  const give = (sbdf: Sbdf, domid: number, value: Standing, at: Sbdf | null = guestAddress): void => {
    const facts = sampleFunction(sbdf);
    registry.add({ facts, former: null, wasDriven: false }, seizedIn(directory.path, facts));
    registry.claim(sbdf, domid);
    registry.update(sbdf, snapshotOf(sbdf, domid, value, at));
  };
  return { directory, registry, give, open };
}

test.each<Standing>(['bound', { connected: 'serving' }, { connected: 'flr' }, { connected: 'dead' }])(
  'a function that stands at %j goes on as it is recorded',
  (value) => {
    const { registry, give, open } = begin();
    give(first, 5, value);
    give(second, 6, value);
    registry.trust(first, true);
    const { mode } = registry.addQuirk({ sbdf: first, offset: 0xf0, size: 4, mask: 1 });
    const { seized, snapshot } = registry.get(first) ?? expect.unreachable();
    const expected = [{ sbdf: first, guestAddress, mode, snapshot, seized }];
    expect(mode).toMatchObject({ permissive: true, quirks: [{ offset: 0xf0 }] });
    expect(assignmentsOf(registry, 5)).toEqual(expected);
    // As a worker of the next daemon is sent it.
    expect(structuredClone(assignmentsOf(open(), 5))).toEqual(expected);
    expect(assignmentsOf(registry, 6)).toMatchObject([{ sbdf: second, mode: defaultMode }]);
    expect(assignmentsOf(registry, 7)).toEqual([]);
  },
);

test.each<Standing>(['binding', 'reset', 'hidden', 'quarantined'])(
  'a function that stands at %j is nothing to go on with',
  (value) => {
    const { registry, give } = begin();
    give(first, 5, value);
    give(second, 5, 'bound');
    expect(assignmentsOf(registry, 5).map(({ sbdf }) => sbdf)).toEqual([second]);
  },
);

test('neither is one without a place on the bus of its guest', () => {
  const { registry, give } = begin();
  give(first, 5, 'bound', null);
  expect(assignmentsOf(registry, 5)).toEqual([]);
});

test('a ring is found as it was recorded', () => {
  const { directory } = begin();
  const path = directory.in('state/ring');
  const ring: ServedRing = { grantRef: 8, port: 2, localPort: 0 };
  ringStore(path).put('5', ring);
  ringStore(path).put('6', { ...ring, grantRef: 0xffff_ffff });
  ringStore(path).put('7', ring);
  ringStore(path).delete('7');
  expect(ringStore(path).load(() => expect.unreachable())).toEqual(
    new Map([
      ['5', ring],
      ['6', { ...ring, grantRef: 0xffff_ffff }],
    ]),
  );
});

test.each([
  3,
  null,
  'ring',
  [],
  { grantRef: 8, port: 2 },
  { grantRef: 8, localPort: 1 },
  { grantRef: '8', port: 2, localPort: 1 },
])('a record of another shape is damaged: %j', (value) => {
  const { directory } = begin();
  const path = directory.in('state/ring');
  const rings = ringStore(path);
  const ring: ServedRing = { grantRef: 8, port: 2, localPort: 1 };
  rings.put('6', ring);
  writeFileSync(join(path, '5'), pack(value));
  const damaged: string[] = [];
  expect(rings.load((key) => damaged.push(key))).toEqual(new Map([['6', ring]]));
  expect(damaged).toEqual(['5']);
});

test('workers go on with the guests that have functions, and with nobody else', async () => {
  const { directory, registry, give } = begin();
  give(first, 5, { connected: 'serving' });
  give(second, 6, 'reset');
  const pool = makePool(1, join(import.meta.dirname, 'obedient-worker.mjs'));
  onTestFinished(() => pool.destroy());
  const ring = { grantRef: 8, port: 2 };
  const platform = { domainIdentity: (domid: number): string => `the domain with the id ${domid}` };
  const domain = platform.domainIdentity(5);
  const names = ['5', '6', '7', '05', ' 5', '5.new', 'five', '-5', String(lastDomid + 1)];
  const rings = ringStore(directory.in('state/ring'));
  const events: BackendEvent[] = [];
  const resumed = resumeGuests(
    {
      platform,
      pool,
      where: { kind: 'loopback', directory: directory.path },
      registry,
      rings,
      emit: (event) => events.push(event),
    },
    new Map(names.map((name) => [name, { ...ring, localPort: 1, domain }])),
  );
  expect([...resumed.keys()]).toEqual([5]);
  expect(await resumed.get(5)?.takeResumption()).toEqual({ functions: [first], ring });
  // What is reported before a session listens is told all the same.
  expect(events.map(({ type, domid }) => [type, domid])).toEqual([
    ['request.abandoned', 5],
    ['request.abandoned', 5],
  ]);

  rings.put('5', { ...ring, localPort: 1 });
  await endUnclaimed(resumed, rings);
  expect(resumed.size).toBe(0);
  expect(rings.load(() => {}).size).toBe(0);
});

test.each<[string, Pick<ServedRing, 'domain'>, () => string | null]>([
  ['has ended', { domain: 'former' }, () => null],
  ['has another with its id', { domain: 'former' }, () => 'present'],
  ['was not noted', {}, () => 'present'],
  ['was noted as none', { domain: null }, () => null],
  [
    'cannot be asked for',
    { domain: 'former' },
    () => {
      throw new PcibackError('HYPERCALL-FAILED', 'Xen does not say', 'ask again');
    },
  ],
])('no worker goes on with a guest whose domain %s', (_, noted, domainIdentity) => {
  const { directory, registry, give } = begin();
  give(first, 5, { connected: 'serving' });
  const pool = makePool(1, join(import.meta.dirname, 'obedient-worker.mjs'));
  onTestFinished(() => pool.destroy());
  const parts = {
    platform: { domainIdentity },
    pool,
    where: { kind: 'loopback', directory: directory.path },
    registry,
    rings: ringStore(directory.in('state/ring')),
    emit: () => expect.unreachable(),
  } as const;
  const served = new Map([['5', { grantRef: 8, port: 2, localPort: 1, ...noted }]]);
  expect(resumeGuests(parts, served).size).toBe(0);
});

test('a function that is being taken from its guest is not gone on with, whatever its machine has reported', () => {
  const { registry, give } = begin();
  give(first, 5, { connected: 'serving' });
  expect(assignmentsOf(registry, 5)).toHaveLength(1);
  registry.leave(first);
  expect(assignmentsOf(registry, 5)).toEqual([]);
});
