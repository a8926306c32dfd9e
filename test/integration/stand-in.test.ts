/** A second process takes over when the daemon dies, and whoever is started then takes over from that. */
import { once } from 'node:events';
import { rmSync } from 'node:fs';
import { text } from 'node:stream/consumers';
import type { LoadReport } from 'pciback/xpci';
import { describe, expect, test } from 'vitest';
import { StandInHost } from './stand-in-host.ts';
import { Script } from './script.ts';
import { e1000e, nvme, within, xhci } from './surroundings.ts';

/** A request is lost that no back-end answers as long as the front-end waits for it. */
const unharmed = (report: LoadReport, what: string): void => {
  console.log(`${what}: ${report.requests} requests, the longest took ${report.longest.toFixed(1)} ms`);
  expect(report).toMatchObject({ lost: 0, wrong: 0, examples: [] });
  expect(report.requests).toBeGreaterThan(20);
};

describe('a daemon with a stand-in', () => {
  test('killed again and again under load: no request is lost, until it looks like a crash loop', async () => {
    await using host = await StandInHost.start(nvme, e1000e, xhci);
    const guests = [await host.boot(1, [nvme, e1000e]), await host.boot(2, [xhci])];
    const loads = guests.map((guest) => guest.call('load', { seconds: 60 }));
    const xenstored = host.xenstoreds();
    for (let death = 1; death <= 3; death += 1) {
      const standIn = await host.untilStandIns(death);
      const { pid } = await host.status();
      process.kill(pid, 'SIGKILL');
      expect(await host.untilSuccessions(death)).toBe(standIn);
      expect(host.count('guest.adopted')).toBe(2 * death);
      expect(await host.status()).toMatchObject({ pid: standIn, tookOver: true, state: 'ready' });
    }
    // Where a daemon takes long to start, each has served for long enough by then to be no part of a loop.
    const isLoop = host.longestTerm() < 8_000;
    if (isLoop) await host.until('an end of it', ({ reason }) => reason === 'CRASH-LOOP');
    else await host.untilStandIns(4);
    if (isLoop) expect(await host.status()).toMatchObject({ standIn: null });
    for (const guest of guests) await guest.call('stopLoad', {});
    for (const load of loads) unharmed(await load, '3 daemons killed');
    expect(host.ports()).toHaveLength(2);
    expect(host.xenstoreds()).toEqual(xenstored);
    expect(host.processes()).toHaveLength(isLoop ? 1 : 2);
  });

  test('a daemon that is started while the stand-in serves is handed the guests, under load', async () => {
    await using host = await StandInHost.start(nvme, e1000e);
    const guest = await host.boot(1, [nvme, e1000e]);
    const load = guest.call('load', { seconds: 60 });
    await host.untilStandIns(1);
    process.kill((await host.status()).pid, 'SIGKILL');
    await host.untilSuccessions(1);
    await host.untilStandIns(2);
    const { process: next } = await host.serve();
    expect(await host.untilStandIns(3)).not.toBe(next.pid);
    expect(await host.status()).toMatchObject({ pid: next.pid, tookOver: false, state: 'ready' });
    await guest.call('stopLoad', {});
    unharmed(await load, 'a daemon killed, and handed over');
    expect(host.processes()).toHaveLength(2);
    expect(host.ports()).toHaveLength(1);
  });

  test('refuses another one: only a stand-in makes room', async () => {
    await using host = await StandInHost.start(nvme);
    const before = await host.status();
    const { process: second } = host.begin();
    const [said] = await Promise.all([second.stderr ? text(second.stderr) : '', once(second, 'exit')]);
    expect(said).toMatch(/^pciback: DAEMON-RUNNING: /);
    expect(await host.status()).toMatchObject({ pid: before.pid, standIn: before.standIn });
  });

  test('ends it, when it is told to end', async () => {
    const host = await StandInHost.start(nvme);
    try {
      const { pid } = await host.status();
      process.kill(pid, 'SIGKILL');
      const heir = await host.untilSuccessions(1);
      await host.untilStandIns(2);
      process.kill(heir, 'SIGTERM');
      await host.until('the end', ({ type, to }) => type === 'backend.state' && to === 'stopped');
      await expect.poll(() => host.processes()).toEqual([]);
      await expect.poll(() => host.xenstoreds()).toEqual([]);
      expect(host.count('backend.standIn')).toBe(3);
    } finally {
      await host[Symbol.asyncDispose]();
    }
  });

  test('says when no stand-in lives, and serves on', async () => {
    await using host = await StandInHost.start(nvme);
    await using guest = await Script.begin(host, 1);
    await guest.connect(nvme);
    for (const started of [1, 2, 3]) process.kill(await host.untilStandIns(started), 'SIGTERM');
    await host.until('it to be told', ({ reason }) => reason === 'NO-STAND-IN');
    expect(await host.status()).toMatchObject({ standIn: null, state: 'ready' });
    expect(await guest.read(0)).toEqual({ err: 0, value: 0x0010_1b36 });
    expect(host.processes()).toHaveLength(1);
  });
});

describe('a stand-in', () => {
  test('takes over although nobody reads what it prints', async () => {
    await using host = await StandInHost.start(nvme);
    await using guest = await Script.begin(host, 1);
    await guest.connect(nvme);
    const { pid, standIn } = await host.status();
    host.deafen();
    process.kill(pid, 'SIGKILL');
    expect(await guest.read(0)).toEqual({ err: 0, value: 0x0010_1b36 });
    await expect
      .poll(() => host.status().catch(() => undefined))
      .toMatchObject({ pid: standIn, state: 'ready' });
    await expect.poll(() => host.status()).toMatchObject({ standIn: expect.any(Number) });
  });

  test('that took over ends when its directory is removed', async () => {
    await using host = await StandInHost.start(nvme);
    process.kill((await host.status()).pid, 'SIGKILL');
    await host.untilSuccessions(1);
    rmSync(host.directory, { recursive: true });
    await within(host.silence(), () => 'the last one to end');
    expect(host.processes()).toEqual([]);
  });
});
