/** Daemons that are killed and followed by another, and daemons that end as they should. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { describe, expect, test } from 'vitest';
import { Header } from '../../src/config-space/bits.ts';
import { ringStore } from '../../src/backend/resume.ts';
import { FrontRing, ModelFault } from '../../src/host/index.ts';
import { Command, OpWord, opSize } from '../../src/ring/layout.ts';
import { XenbusState } from '../../src/xenbus/index.ts';
import { DaemonHost, pciback } from './daemon.ts';
import { Script, listing } from './script.ts';
import { e1000e, igb, nvme, rtl8139, xhci } from './surroundings.ts';

const { Initialising, Initialised, Connected, Closing, Closed, Reconfiguring, Reconfigured } = XenbusState;

const stateOf = async (host: DaemonHost, sbdf: string): Promise<string> => {
  const { functions } = await host.status();
  const found = functions.find((each) => each.sbdf === sbdf);
  return `${found?.state} ${found?.owner}`;
};

describe('a daemon that is killed', () => {
  test('under the load of guests: the next one loses nothing, answers nothing wrongly, leaks nothing', async () => {
    await using host = await DaemonHost.start(nvme, e1000e, xhci);
    // These two never give a request up, however long this machine takes to start a daemon.
    const guests = [await host.boot(1, [nvme, e1000e], 'netbsd'), await host.boot(2, [xhci], 'minios')];
    const vectors = await guests[0]?.call('enableMsix', {});
    const loads = guests.map((guest) => guest.call('load', { seconds: 60 }));
    for (let death = 1; death <= 3; death += 1) {
      await host.restart();
      expect(host.count('guest.adopted')).toBe(2);
      await host.untilAnswered(...guests);
    }
    for (const guest of guests) await guest.call('stopLoad', {});
    for (const load of loads) {
      const report = await load;
      expect(report).toMatchObject({ lost: 0, wrong: 0, examples: [] });
      expect(report.requests).toBeGreaterThan(10);
    }
    expect(host.ports()).toHaveLength(2);
    // The vectors of before are the guest's still, and can be given back and had again.
    expect(Object.values(vectors?.vectors ?? {}).map(({ length }) => length)).toEqual([7, 5]);
    expect(await guests[0]?.call('disableInterrupts', {})).toEqual({
      modes: { '0000:00:00.0': 'intx', '0000:00:01.0': 'intx' },
    });
    const again = await guests[0]?.call('enableMsix', {});
    expect(Object.values(again?.vectors ?? {}).map(({ length }) => length)).toEqual([7, 5]);
  });

  test('leaves shadows, BAR sizing and interrupts as they were', async () => {
    await using host = await DaemonHost.start(igb);
    await using guest = await Script.begin(host, 1);
    await guest.connect(igb);
    await guest.write(0, Header.command, 2, 0x0407);
    await guest.write(0, 0x14, 4, 0xffff_ffff);
    expect(await guest.request({ cmd: Command.enableMsi })).toMatchObject({ err: 0 });
    await host.restart();
    expect(await guest.read(0, Header.command, 2)).toEqual({ err: 0, value: 0x0407 });
    expect(await guest.read(0, 0x14)).toEqual({ err: 0, value: 0xfffe_0000 });
    expect(await guest.request({ cmd: Command.enableMsi })).toMatchObject({ err: -5 });
    expect(await guest.request({ cmd: Command.disableMsi })).toMatchObject({ err: 0 });
    expect(host.hardware(igb).resets).toBe(0);
  });

  test('with a request in the page: it is answered once, by the next one', async () => {
    await using host = await DaemonHost.start(igb);
    await using guest = await Script.begin(host, 1);
    await guest.connect(igb);
    await guest.write(0, Header.command, 2, 0x0406);
    await host.stop('SIGKILL');
    const op = new Int32Array(opSize / 4);
    op[OpWord.cmd] = Command.enableMsi;
    const answered = guest.ask(op);
    await host.serve();
    await answered;
    expect(op[OpWord.err]).toBe(0);
    // Had it been run twice, the second run would have been refused.
    expect(op[OpWord.value]).toBeGreaterThan(0);
    expect(host.hardware(igb).read(0x52, 2) & 1).toBe(1);
  });

  test('while it takes over from another one that was killed', async () => {
    await using host = await DaemonHost.start(nvme, e1000e);
    const guest = await host.boot(1, [nvme, e1000e], 'netbsd');
    const load = guest.call('load', { seconds: 60 });
    await host.stop('SIGKILL');
    for (const state of ['opening', 'adopting']) {
      await host.begin();
      await host.until(`it to be ${state}`, ({ type, to }) => type === 'backend.state' && to === state);
      await host.stop('SIGKILL');
    }
    await host.serve();
    await guest.call('stopLoad', {});
    expect(await load).toMatchObject({ lost: 0, wrong: 0 });
    expect(host.ports()).toHaveLength(1);
  });

  test('in the middle of a handshake: the next one goes on with it', async () => {
    await using host = await DaemonHost.start(nvme, e1000e, xhci);
    await using guest = await Script.begin(host, 1);
    await guest.create(nvme);
    await guest.untilBack('state', Initialised);
    await host.stop('SIGKILL');
    await guest.writeBack(listing(1, e1000e));
    await guest.publish();
    await host.serve();
    await guest.untilBack('state', Connected);
    await guest.writeFront({ state: Connected });
    expect(await guest.read(1)).toEqual({ err: 0, value: 0x10d3_8086 });

    await guest.writeBack({ 'state-0': Closing, ...listing(2, xhci), state: Reconfiguring });
    await host.stop('SIGKILL');
    await guest.writeFront({ state: Reconfiguring });
    await host.serve();
    await guest.untilBack('state', Reconfigured);
    await host.restart();
    await guest.writeFront({ state: Connected });
    await guest.untilBack('state', Connected);
    // The newcomer has taken the place of the one that went.
    expect(await guest.all()).toMatchObject({ 'vdev-2': '0000:00:00.00', 'state-2': '3' });
    expect(await guest.read(0)).toEqual({ err: 0, value: 0x000d_1b36 });
    expect(await guest.read(1)).toEqual({ err: 0, value: 0x10d3_8086 });
    expect(await stateOf(host, '0000:42:00.0')).toBe('hidden null');

    await guest.writeFront({ state: Closing });
    await guest.untilBack('state', Closing);
    await host.restart();
    await guest.writeFront({ state: Closed });
    await guest.untilBack('state', Closed);
    await host.restart();
    await guest.writeFront({ state: Initialising });
    await guest.untilBack('state', Initialised);
    await guest.publish();
    await guest.untilBack('state', Connected);
    expect(await guest.read(1)).toEqual({ err: 0, value: 0x10d3_8086 });
  });

  test('while it resets a function: it is reset, and clean', async () => {
    await using host = await DaemonHost.start(igb, nvme);
    await using guest = await Script.begin(host, 1);
    await guest.connect(igb, nvme);
    await guest.write(0, Header.command, 2, 0x0406);
    await guest.writeBack({ 'state-0': Closing, state: Reconfiguring });
    await guest.writeFront({ state: Reconfiguring });
    await host.until('the reset to begin', ({ type, to }) => type === 'function.state' && to === 'reset');
    await host.restart();
    await guest.untilBack('state', Reconfigured);
    await host.untilHidden(igb);
    expect(host.hardware(igb).read(Header.command, 2) & 4).toBe(0);
    await guest.writeFront({ state: Connected });
    await guest.untilBack('state', Connected);
    expect(await guest.read(1)).toEqual({ err: 0, value: 0x0010_1b36 });
  });
});

describe('what happens while there is no daemon', () => {
  test('a domain is destroyed: its functions are reset and given back, its directories and ports removed', async () => {
    await using host = await DaemonHost.start(nvme, e1000e);
    const guest = await host.boot(1, [nvme, e1000e]);
    await host.stop('SIGKILL');
    expect(host.ports()).toHaveLength(1);
    await guest.kill();
    await host.destroyDomain(1);
    await host.serve();
    await host.untilGone(1);
    await host.untilHidden(nvme, e1000e);
    expect(await host.traces(1, nvme, e1000e)).toEqual([]);
    expect(host.ports()).toEqual([]);
    expect(host.hardware(nvme).resets).toBe(1);
  });

  test('a domain is destroyed and its id used again: what it had is reset, and none of the new one’s', async () => {
    await using host = await DaemonHost.start(nvme, e1000e);
    await using former = await Script.begin(host, 1);
    await former.connect(nvme);
    await host.stop('SIGKILL');
    await host.destroyDomain(1);
    await former.removeBackend();
    await using guest = await Script.begin(host, 1);
    await guest.create(e1000e);
    await host.serve();
    await guest.untilBack('state', Initialised);
    await host.untilHidden(nvme);
    expect(host.hardware(nvme).resets).toBe(1);
    await guest.publish();
    await guest.untilBack('state', Connected);
    expect(await guest.read(0)).toEqual({ err: 0, value: 0x10d3_8086 });
    await expect.poll(() => stateOf(host, '0000:41:00.0')).toBe('connected 1');
  });

  test('the toolstack takes the whole device away', async () => {
    await using host = await DaemonHost.start(nvme);
    await using guest = await Script.begin(host, 1);
    await guest.connect(nvme);
    await host.stop('SIGKILL');
    await guest.removeBackend();
    await guest.removeFrontend();
    await host.serve();
    await host.untilHidden(nvme);
    await host.untilGone(1);
    expect(await guest.all()).toEqual({});
  });

  test('the toolstack takes one of two functions away: that one is reset and free, the other one is served', async () => {
    await using host = await DaemonHost.start(nvme, e1000e);
    await using guest = await Script.begin(host, 1);
    await guest.connect(nvme, e1000e);
    await host.stop('SIGKILL');
    for (const key of ['key', 'dev', 'vdev', 'opts', 'state']) {
      await host.xenstore.rm(`${guest.backPath}/${key}-1`);
    }
    await guest.writeBack({ num_devs: 1 });
    await host.serve();
    await host.untilHidden(e1000e);
    expect(host.hardware(e1000e).resets).toBe(1);
    expect(await guest.read(0)).toEqual({ err: 0, value: 0x0010_1b36 });
  });

  test('a domain is destroyed with a request in its page: nobody answers it, and its functions are reset', async () => {
    await using host = await DaemonHost.start(igb, nvme);
    await using guest = await Script.begin(host, 1);
    await guest.connect(igb, nvme);
    await host.stop('SIGKILL');
    const op = new Int32Array(opSize / 4);
    op[OpWord.size] = 4;
    guest.ring.submit(op);
    await host.destroyDomain(1);
    await host.serve();
    await host.untilGone(1);
    await host.untilHidden(igb, nvme);
    expect(guest.ring.poll(op)).toBe(false);
    expect(host.count('guest.adopted')).toBe(0);
    expect([host.hardware(igb).resets, host.hardware(nvme).resets]).toEqual([1, 1]);
    expect(host.ports()).toEqual([]);
    expect(readdirSync(join(host.directory, 'state/ring'))).toEqual([]);
  });

  test('a front-end publishes another page: it is served on that one', async () => {
    await using host = await DaemonHost.start(nvme);
    await using guest = await Script.begin(host, 1);
    await guest.connect(nvme);
    const { ref, port } = guest.ring;
    await host.stop('SIGKILL');
    await guest.publish();
    expect([guest.ring.ref, guest.ring.port]).not.toEqual([ref, port]);
    const op = new Int32Array(opSize / 4);
    op[OpWord.size] = 4;
    const answered = guest.ask(op);
    await host.serve();
    await answered;
    expect(op[OpWord.value]).toBe(0x0010_1b36);
    expect(await guest.read(0)).toEqual({ err: 0, value: 0x0010_1b36 });
    expect(host.ports()).toHaveLength(1);
    await host.restart();
    expect(await guest.read(0)).toEqual({ err: 0, value: 0x0010_1b36 });
    expect(host.ports()).toHaveLength(1);
  });

  test('a record names a page that the front-end has not published, but still has: it is let go of', async () => {
    await using host = await DaemonHost.start(nvme);
    await using guest = await Script.begin(host, 1);
    await guest.connect(nvme);
    await host.stop('SIGKILL');
    const other = new FrontRing(host.directory, 1);
    const rings = ringStore(join(host.directory, 'state/ring'));
    const { localPort } = rings.load(() => expect.unreachable()).get('1') ?? expect.unreachable();
    rings.put('1', { grantRef: other.ref, port: other.port, localPort });
    await host.serve();
    expect(await guest.read(0)).toEqual({ err: 0, value: 0x0010_1b36 });
    expect(host.ports()).toHaveLength(1);
    // The worker answers whatever the main thread is at.
    const recorded = (): unknown => rings.load(() => expect.unreachable()).get('1');
    const { ref: grantRef, port } = guest.ring;
    await expect.poll(recorded).toMatchObject({ grantRef, port });
    other.close();
    expect(await guest.read(0)).toEqual({ err: 0, value: 0x0010_1b36 });
  });

  test('the front-end closes, another one starts over, a third one is new', async () => {
    await using host = await DaemonHost.start(nvme, e1000e, xhci);
    await using closing = await Script.begin(host, 1);
    await using anew = await Script.begin(host, 2);
    await using fresh = await Script.begin(host, 3);
    await closing.connect(nvme);
    await anew.connect(e1000e);
    await host.stop('SIGKILL');
    await closing.writeFront({ state: Closed });
    await anew.writeFront({ state: Initialising });
    await fresh.create(xhci);
    await host.serve();
    await closing.untilBack('state', Closed);
    await anew.untilBack('state', Initialised);
    await anew.publish();
    await anew.untilBack('state', Connected);
    expect(await anew.read(0)).toEqual({ err: 0, value: 0x10d3_8086 });
    await fresh.untilBack('state', Initialised);
  });

  test('a function stays hidden, or quarantined, as it was', async () => {
    await using host = await DaemonHost.start(nvme, rtl8139);
    {
      await using guest = await Script.begin(host, 1);
      await guest.connect(nvme);
      host.hardware(nvme).faults = ModelFault.resetFails;
    }
    expect(await stateOf(host, '0000:42:00.0')).toBe('quarantined null');
    await host.restart();
    expect(await stateOf(host, '0000:42:00.0')).toBe('quarantined null');
    expect(await stateOf(host, '0000:44:01.0')).toBe('hidden null');
    host.hardware(nvme).faults = ModelFault.none;
    await host.ask('reset', { function: '0000:42:00.0' });
    expect(await stateOf(host, '0000:42:00.0')).toBe('hidden null');
  });
});

describe('an orderly end', () => {
  test('closes its guests, gives their functions back, and leaves nothing behind', async () => {
    const host = await DaemonHost.start(nvme, e1000e);
    try {
      const guest = await host.boot(1, [nvme]);
      await guest.call('enableMsix', {});
      const [xenstored] = host.xenstoreds();
      expect(xenstored).toBeDefined();
      expect(await host.stop('SIGTERM')).toBe(0);
      await guest.until((event) => event.type === 'state' && event.state === 'Closed');
      expect(host.hardware(nvme).resets).toBe(1);
      expect(host.hardware(nvme).read(Header.command, 2) & 4).toBe(0);
      expect(readdirSync(join(host.directory, 'evt/0'))).toEqual([]);
      expect(readdirSync(join(host.directory, 'xenstored'))).toEqual([]);
      expect(existsSync(join(host.directory, 'state/control.sock'))).toBe(false);
      await expect.poll(() => host.xenstoreds()).toEqual([]);
    } finally {
      await host[Symbol.asyncDispose]();
    }
  });

  test('does not wait long for a guest that does not answer', async () => {
    await using host = await DaemonHost.start(nvme);
    await using guest = await Script.begin(host, 1);
    await guest.connect(nvme);
    const begin = performance.now();
    expect(await host.stop('SIGTERM')).toBe(0);
    expect(performance.now() - begin).toBeLessThan(80_000);
    expect(host.hardware(nvme).resets).toBe(1);
    await host.serve();
  });
});

describe('a second daemon', () => {
  test('on the same directory is refused, and the first one goes on', async () => {
    await using host = await DaemonHost.start(nvme);
    await using guest = await Script.begin(host, 1);
    await guest.connect(nvme);
    const second = spawn(process.execPath, [pciback, ...host.words], { stdio: ['ignore', 'ignore', 'pipe'] });
    const [said, [code]] = await Promise.all([text(second.stderr), once(second, 'exit')]);
    expect(said).toMatch(/^pciback: DAEMON-RUNNING: .*\n$/);
    expect(code).toBe(1);
    expect(await guest.read(0)).toEqual({ err: 0, value: 0x0010_1b36 });
    expect((await host.status()).state).toBe('ready');
    expect(host.xenstoreds()).toHaveLength(1);
  });
});

test('the embedded xenstored is in the session of its daemon, but not in its group', async () => {
  await using host = await DaemonHost.start(nvme);
  const whereabouts = (pid: number): readonly string[] =>
    readFileSync(`/proc/${pid}/stat`, 'utf8')
      .replace(/^.*\) /, '')
      .split(' ')
      .slice(2, 4);
  const [xenstored = 0] = host.xenstoreds();
  const [group, session] = whereabouts(host.pid);
  expect(whereabouts(xenstored)).toEqual([String(xenstored), session]);
  expect(group).not.toBe(String(xenstored));
});
