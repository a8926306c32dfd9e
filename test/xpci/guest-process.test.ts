import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { GuestGone, type GuestEvent, type GuestProcessOptions } from '../../src/xpci/index.ts';
import { networkAdapter } from './fake-host.ts';
import { TinyBackend } from './tiny-backend.ts';

async function connected(options: Partial<GuestProcessOptions> = {}) {
  const backend = await TinyBackend.start();
  backend.host.add(0, 0, networkAdapter());
  const guest = await backend.startGuest(5, options);
  await backend.offer(5);
  await guest.connected();
  return { backend, guest };
}

test.each(['linux', 'netbsd', 'minios'] as const)(
  'a %s guest connects over the real wire and finds its function',
  async (variant) => {
    const { backend, guest } = await connected({ variant });
    await using _ = backend;
    const status = await guest.call('status', {});
    expect(status).toMatchObject({ domid: 5, variant, connected: true, lost: 0 });
    expect(status.functions).toMatchObject([
      {
        address: '0000:00:00.0',
        vendor: 0x8086,
        bars: [{ size: '0x20000' }, { base: '0x1c0000000', size: '0x4000' }, { kind: 'io' }, { kind: 'rom' }],
        msixEntries: 5,
        interrupts: { mode: 'intx', vectors: [17] },
      },
    ]);
  },
);

test('MSI-X vectors arrive, and the interrupts on them', async () => {
  const { backend, guest } = await connected();
  await using _ = backend;
  expect(await guest.call('enable', {})).toEqual({ enabled: ['0000:00:00.0'] });
  const { vectors } = await guest.call('enableMsix', { count: 3 });
  expect(vectors).toEqual({ '0000:00:00.0': [0x37, 0x38, 0x39] });
  const { pirqs } = await guest.call('interrupts', {});
  expect(pirqs.map(({ events }) => events)).toEqual([0, 0, 0]);
  backend.hypervisor.claimPirq(5, 0x38);
  expect(backend.hypervisor.raisePirq(5, 0x38)).toBe(true);
  expect((await guest.call('interrupts', {})).pirqs.map(({ events }) => events)).toEqual([0, 1, 0]);
  expect((await guest.call('listing', {})).lines).toContain('    Interrupt: MSI-X, 3 vectors, pirq 55-57');
  expect(await guest.call('disableInterrupts', {})).toEqual({ modes: { '0000:00:00.0': 'intx' } });
});

test('a load counts its requests and loses none', async () => {
  const { backend, guest } = await connected();
  await using _ = backend;
  const load = guest.call('load', { seconds: 60 });
  const before = backend.host.log.length;
  await expect.poll(() => backend.host.log.length).toBeGreaterThan(before + 100);
  await guest.call('stopLoad', {});
  const report = await load;
  expect(report).toMatchObject({ lost: 0, wrong: 0, examples: [] });
  expect(report.requests).toBeGreaterThan(10);
});

test('a load notices answers that are wrong', async () => {
  const { backend, guest } = await connected();
  await using _ = backend;
  const load = guest.call('load', { seconds: 30 });
  const changed = networkAdapter();
  changed.write(0x02, 2, 0xbad);
  backend.host.add(0, 0, changed);
  const before = backend.host.log.length;
  await expect.poll(() => backend.host.log.length).toBeGreaterThan(before + 100);
  await guest.call('stopLoad', {});
  const report = await load;
  expect(report.wrong).toBeGreaterThan(0);
  expect(report.examples).toContain('0x0/4: 0xbad8086, not 0x10d38086');
});

test('a load notices requests that are not answered', async () => {
  const { backend, guest } = await connected({ patience: 500 });
  await using _ = backend;
  const load = guest.call('load', { seconds: 60 });
  backend.isDeaf = true;
  await expect.poll(async () => (await guest.call('status', {})).lost).toBeGreaterThan(0);
  await guest.call('stopLoad', {});
  expect((await load).lost).toBeGreaterThan(0);
});

test('a guest is hostile on command, and reports each attempt', async () => {
  const { backend, guest } = await connected();
  await using _ = backend;
  const only = ['relocate-bar', 'offset-negative', 'rewrite-offset', 'forge-aer', 'event-storm'];
  const { results } = await guest.call('hostile', { only });
  const verdicts = Object.fromEntries(results.map(({ name, verdict }) => [name, verdict]));
  // The back-end of this test has no filter, but it copies its requests.
  expect(verdicts).toEqual({
    'relocate-bar': 'breached',
    'offset-negative': 'refused',
    'rewrite-offset': 'contained',
    'forge-aer': 'contained',
    'event-storm': 'contained',
  });
  const attempts: GuestEvent[] = [];
  guest.events.subscribe((event) => event.type === 'attempt' && attempts.push(event));
  expect(attempts).toHaveLength(5);
});

test('a shutdown closes in step with the back-end, and leaves no page behind', async () => {
  const { backend, guest } = await connected();
  await using _ = backend;
  expect(readdirSync(join(backend.directory, 'gnt/5'))).toEqual(['8']);
  const exit = guest.shutdown();
  await backend.frontEndState(5, '5');
  await backend.setState(5, 5);
  await backend.frontEndState(5, '6');
  await backend.setState(5, 6);
  expect(await exit).toMatchObject({ code: 0, errors: '' });
  expect(readdirSync(join(backend.directory, 'gnt/5'))).toEqual([]);
});

test('a guest that is killed is gone at once, for those who wait for it too', async () => {
  const { backend, guest } = await connected();
  await using _ = backend;
  const waiting = guest.until(({ type }) => type === 'panic');
  const load = guest.call('load', { seconds: 60 });
  const outcomes = Promise.allSettled([waiting, load]);
  expect(await guest.kill()).toMatchObject({ signal: 'SIGKILL' });
  for (const outcome of await outcomes) {
    expect(outcome).toMatchObject({ status: 'rejected', reason: expect.any(GuestGone) });
  }
  await expect(guest.call('status', {})).rejects.toThrow(GuestGone);
  expect(existsSync(join(backend.directory, 'gnt/5/8'))).toBe(true);
});

test('a command that makes no sense is an error, not the end', async () => {
  const { backend, guest } = await connected();
  await using _ = backend;
  await expect(guest.call('enable', { address: '0000:00:1f.7' })).rejects.toThrow('no function');
  await expect(guest.call('nonsense' as 'status', {})).rejects.toThrow('no command "nonsense"');
  expect((await guest.call('status', {})).connected).toBe(true);
});

test('a guest that was never given a device ends on request', async () => {
  await using backend = await TinyBackend.start();
  const guest = await backend.startGuest(5);
  await guest.until(({ type }) => type === 'started');
  expect((await guest.kill('SIGTERM')).code).toBe(0);
});
