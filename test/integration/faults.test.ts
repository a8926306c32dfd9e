/** What may break while guests are served, and what they notice of it. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { rmSync, truncateSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { LoadReport } from 'pciback/xpci';
import { describe, expect, test } from 'vitest';
import { Header } from '../../src/config-space/bits.ts';
import { Command, OpWord, opSize } from '../../src/ring/layout.ts';
import { XenbusState } from '../../src/xenbus/index.ts';
import { Host } from './host.ts';
import { Script, listing } from './script.ts';
import { e1000e, igb, nvme, within, xhci } from './surroundings.ts';

const { Initialising, Initialised, Connected, Closing, Closed, Reconfiguring } = XenbusState;

/** Linux's front-end gives a request up after 2 s. A machine that others keep busy is given ten times that. */
const unharmed = (report: LoadReport): void => {
  expect(report).toMatchObject({ lost: 0, wrong: 0, examples: [] });
  expect(report.requests).toBeGreaterThan(20);
  expect(report.longest).toBeLessThan(20_000);
};

const deaths = (host: Host): number => host.events.filter(({ type }) => type === 'worker.died').length;

describe('a worker that dies', () => {
  test('again and again under load: nothing is lost', async () => {
    await using host = await Host.start([nvme, e1000e]);
    const guest = await host.boot(1, [nvme, e1000e]);
    await guest.call('enable', {});
    await guest.call('enableMsix', {});
    await guest.call('interrupts', {});
    const load = guest.call('load', { seconds: 60 });
    for (let death = 1; death <= 10; death += 1) {
      await host.backend.killWorker(1);
      await host.untilEvents('a worker to take over', 'guest.adopted', death);
      await host.untilAnswered(guest);
    }
    await guest.call('stopLoad', {});
    unharmed(await load);
    expect(deaths(host)).toBe(10);
    // Vectors that were bound before are still those of the function.
    expect(host.backend.signal(nvme)).toBe(7);
    const { pirqs } = await guest.call('interrupts', { address: '0000:00:00.0' });
    expect(pirqs.map(({ events }) => events)).toEqual([1, 1, 1, 1, 1, 1, 1]);
    expect(host.ports()).toHaveLength(1);
  });

  test('with two guests on it: both are served by the next one', async () => {
    await using host = await Host.start([nvme, e1000e]);
    const guests = [await host.boot(1, [nvme]), await host.boot(2, [e1000e])];
    const loads = guests.map((guest) => guest.call('load', { seconds: 60 }));
    for (const domid of [1, 2, 1]) {
      const adopted = host.count('guest.adopted');
      await host.backend.killWorker(domid);
      await host.untilEvents('both to be taken over', 'guest.adopted', adopted + 2);
      await host.untilAnswered(...guests);
    }
    for (const guest of guests) await guest.call('stopLoad', {});
    for (const load of loads) unharmed(await load);
    expect(host.ports()).toHaveLength(2);
  });

  test('leaves shadows, BAR sizing and interrupts as they were', async () => {
    await using host = await Host.start([igb]);
    await using guest = await Script.begin(host, 1);
    await guest.connect(igb);
    await guest.write(0, Header.command, 2, 0x0407);
    await guest.write(0, 0x10, 4, 0xffff_ffff);
    const granted = await guest.request({ cmd: Command.enableMsi });
    expect(granted.err).toBe(0);
    await host.backend.killWorker(1);
    await host.untilEvents('a worker to take over', 'guest.adopted', 1);
    expect(await guest.read(0, Header.command, 2)).toEqual({ err: 0, value: 0x0407 });
    expect(await guest.read(0, 0x10)).toEqual({ err: 0, value: 0xfffe_0000 });
    // On already, so it is refused; the vector is the one that was granted.
    expect(await guest.request({ cmd: Command.enableMsi })).toMatchObject({ err: -5 });
    guest.ring.bindPirq(granted.value);
    expect(host.backend.signal(igb)).toBe(1);
    expect(guest.ring.pirqEvents(granted.value)).toBe(1);
    expect(await guest.request({ cmd: Command.disableMsi })).toMatchObject({ err: 0 });
    expect(await guest.request({ cmd: Command.enableMsi })).toMatchObject({ err: 0 });
  });

  test('with a request in the page: it is answered, once, by the next one', async () => {
    await using host = await Host.start([nvme]);
    await using guest = await Script.begin(host, 1);
    await guest.connect(nvme);
    const op = new Int32Array(opSize / 4);
    op[OpWord.size] = 4;
    const killed = host.backend.killWorker(1);
    await guest.ask(op);
    expect(op[OpWord.err]).toBe(0);
    expect((op[OpWord.value] ?? 0) >>> 0).toBe(0x0010_1b36);
    await killed;
  });

  test('while it resets a function for the guest: the reset is run again', async () => {
    await using host = await Host.start([igb]);
    await using guest = await Script.begin(host, 1);
    await guest.connect(igb);
    await guest.write(0, Header.command, 2, 0x0406);
    await guest.write(0, 0xa8, 2, 0x8000);
    await host.backend.killWorker(1);
    await host.until(
      'the reset to be done',
      ({ type, data }) => type === 'reset.completed' && data?.['byGuest'] === true,
    );
    expect(await guest.read(0)).toEqual({ err: 0, value: 0x10c9_8086 });
    expect(await guest.read(0, Header.command, 2)).toEqual({ err: 0, value: 0x0406 });
  });

  test('while it takes a function back: it is taken back', async () => {
    await using host = await Host.start([igb, nvme]);
    await using guest = await Script.begin(host, 1);
    await guest.connect(igb, nvme);
    await guest.writeBack({ 'state-0': Closing, state: Reconfiguring });
    await guest.writeFront({ state: Reconfiguring });
    await host.untilStatus('the reset to begin', () => host.function(igb)?.state === 'reset');
    await host.backend.killWorker(1);
    await guest.untilBack('state', 8);
    await host.untilHidden(igb);
    await guest.writeFront({ state: Connected });
    await guest.untilBack('state', Connected);
    expect(await guest.read(0)).toMatchObject({ err: -1 });
    expect(await guest.read(1)).toEqual({ err: 0, value: 0x0010_1b36 });
  });

  test('at any moment of a guest’s life: it goes on', async () => {
    await using host = await Host.start([igb, nvme, e1000e, xhci]);
    const over = new AbortController();
    const killer = (async () => {
      // Where a worker takes longer than that to take over, it gets through all the same, in the end.
      for (let killed = 0; killed < 20 && !over.signal.aborted; killed++) {
        await sleep(300 + 300 * Math.random());
        await host.backend.killWorker(Math.random() < 0.5 ? 1 : 2);
      }
    })();
    await using first = await Script.begin(host, 1);
    await using second = await Script.begin(host, 2);
    try {
      await Promise.all([first.connect(nvme, igb), second.connect(xhci)]);
      await first.reconfigure(listing(2, e1000e));
      await first.reconfigure({ 'state-0': Closing });
      await second.reconfigure(listing(1, nvme));
      for (const state of [Closing, Closed]) {
        await second.writeFront({ state });
        await second.untilBack('state', state);
      }
      await second.writeFront({ state: Initialising });
      await second.untilBack('state', Initialised);
      await second.publish();
      await second.untilBack('state', Connected);
    } finally {
      over.abort();
      await killer;
    }
    expect(await second.read(1)).toEqual({ err: 0, value: 0x0010_1b36 });
    expect(await first.read(2)).toEqual({ err: 0, value: 0x10d3_8086 });
    expect(host.function(nvme)?.owner).toBe(2);
  });

  test('as the last thing that happens to a domain that is destroyed', async () => {
    await using host = await Host.start([igb, nvme]);
    const guest = await host.boot(1, [igb, nvme]);
    await guest.kill();
    await host.destroyDomain(1);
    await host.untilStatus('the end to begin', () => host.guest(1)?.state === 'releasing');
    await host.backend.killWorker(1);
    await host.untilGone(1);
    await host.untilHidden(igb, nvme);
    expect(await host.traces(1, igb, nvme)).toEqual([]);
  });
});

describe('a guest that takes something away', () => {
  test('its page: its ring is closed, its neighbour on the same thread is served, and it may come back', async () => {
    await using host = await Host.start([igb, nvme]);
    await using guest = await Script.begin(host, 1);
    await using neighbour = await Script.begin(host, 2);
    await guest.connect(igb);
    await neighbour.connect(nvme);
    truncateSync(join(host.directory, `gnt/1/${guest.ring.ref}`), 0);
    guest.ring.notify();
    await host.until('it to be noticed', ({ domid, reason }) => domid === 1 && reason === 'PAGE-VANISHED');
    expect(await neighbour.read(0)).toEqual({ err: 0, value: 0x0010_1b36 });
    await guest.untilBack('state', Closing);
    await guest.writeFront({ state: Closed });
    await guest.untilBack('state', Closed);
    await guest.writeFront({ state: Initialising });
    await guest.untilBack('state', Initialised);
    await guest.publish();
    await guest.untilBack('state', Connected);
    expect(await guest.read(0)).toEqual({ err: 0, value: 0x10c9_8086 });
    expect(deaths(host)).toBe(0);
  });

  test('its event channel: nobody waits for it, and its requests are still answered when somebody looks', async () => {
    await using host = await Host.start([igb, nvme]);
    await using guest = await Script.begin(host, 1);
    await using neighbour = await Script.begin(host, 2);
    await guest.connect(igb);
    await neighbour.connect(nvme);
    rmSync(join(host.directory, `evt/1/${guest.ring.port}`));
    const op = new Int32Array(opSize / 4);
    op[OpWord.size] = 4;
    guest.ring.submit(op);
    await within(
      (async () => {
        while (!guest.ring.poll(op)) await neighbour.read(0);
      })(),
      () => 'an answer without a notification',
    );
    expect((op[OpWord.value] ?? 0) >>> 0).toBe(0x10c9_8086);
    await host.destroyDomain(1);
    await host.untilHidden(igb);
    expect(deaths(host)).toBe(0);
  });
});

describe('hardware that goes away', () => {
  test('while it is served, and its worker dies too: the guest fails, and others do not notice', async () => {
    await using host = await Host.start([igb, nvme]);
    await using neighbour = await Script.begin(host, 2);
    await neighbour.connect(nvme);
    {
      await using guest = await Script.begin(host, 1);
      await guest.connect(igb);
      rmSync(join(host.directory, 'state/model/0000:46:00.0'));
      await host.backend.killWorker(1);
      await guest.untilBack('state', Closing);
      expect(await guest.error()).toMatch(/0000:46:00\.0/);
      expect(await neighbour.read(0)).toEqual({ err: 0, value: 0x0010_1b36 });
    }
    expect(host.function(igb)).toEqual({ state: 'quarantined', owner: null });
  });
});

describe('xenstored', () => {
  const program = fileURLToPath(import.meta.resolve('pciback/package.json')).replace(
    'package.json',
    'dist/bundle/main.js',
  );

  async function startXenstored(directory: string): Promise<void> {
    const child = spawn(process.execPath, [program, 'xenstored', '--loopback', directory], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    await once(child.stdout, 'data');
    child.stdout.destroy();
  }

  test('dies: requests are answered all the same; an empty one in its place ends all that it does not know of', async () => {
    await using host = await Host.start([igb, nvme]);
    const guest = await Script.begin(host, 1);
    await guest.connect(igb);
    host.killXenstored();
    await host.until('it to be noticed', ({ type, to }) => type === 'backend.state' && to === 'severed');
    expect(await guest.read(0)).toEqual({ err: 0, value: 0x10c9_8086 });
    await host.backend.killWorker(1);
    await startXenstored(host.directory);
    await host.untilHidden(igb);
    await host.untilGone(1);
    expect(host.backend.status().state).toBe('ready');
    await using another = await Script.begin(host, 2);
    await another.connect(igb);
    expect(await another.read(0)).toEqual({ err: 0, value: 0x10c9_8086 });
  });

  test('dies and does not come back: the daemon can still be stopped, and gives its functions back', async () => {
    const host = await Host.start([igb]);
    try {
      const guest = await Script.begin(host, 1);
      await guest.connect(igb);
      host.killXenstored();
      await host.until('it to be noticed', ({ type, to }) => type === 'backend.state' && to === 'severed');
      await within(host.backend.stop(), () => 'the back-end to stop');
      expect(host.hardware(igb).resets).toBe(1);
      expect(host.ports()).toEqual([]);
    } finally {
      await host[Symbol.asyncDispose]();
    }
  });
});
