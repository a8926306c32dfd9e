/** The guests of this folder against the real daemon. */
import { expect, test } from 'vitest';
import { createDomain, destroyDomain, GuestProcess, type GuestProcessOptions } from '../../src/xpci/index.ts';
import { patience } from '../bounds.ts';
import { LoopbackHost } from '../foreign/daemon.ts';

const functions = ['0000:03:00.0', '0000:04:00.0'];

async function attached(options: Partial<GuestProcessOptions> = {}) {
  const host = await LoopbackHost.make();
  try {
    await host.serve(functions.map((address) => `(${address})`).join(''));
    await createDomain(host.directory, 7);
    await host.pciback('attach', '7', ...functions);
    return { host, guest: new GuestProcess({ directory: host.directory, domid: 7, patience, ...options }) };
  } catch (error) {
    await host[Symbol.asyncDispose]();
    throw error;
  }
}

test.each(['linux', 'netbsd', 'minios'] as const)(
  'a %s guest finds its functions and is denied nothing',
  async (variant) => {
    const { host, guest } = await attached({ variant });
    await using _ = host;
    await guest.connected();
    await guest.call('enable', {});
    const { vectors } = await guest.call('enableMsix', {});
    expect(Object.values(vectors).map(({ length }) => length)).toEqual([5, 128]);
    const load = await guest.call('load', { seconds: 0.3 });
    expect(load).toMatchObject({ lost: 0, wrong: 0 });
    const { functions: found } = await guest.call('status', {});
    expect(found.map(({ address, device, bars }) => [address, device, bars.map(({ size }) => size)])).toEqual(
      [
        ['0000:00:00.0', 0x10d3, ['0x20000', '0x4000', '0x20', '0x40000']],
        ['0000:00:01.0', 0xa808, ['0x4000']],
      ],
    );
    await guest.kill();
    await destroyDomain(host.directory, 7);
    await host.until(({ type, to }) => type === 'guest.state' && to === 'released');
    expect(host.reported.filter(({ type }) => type === 'register.denied')).toEqual([]);
  },
);

test('the daemon holds against everything in the catalogue', async () => {
  const { host, guest } = await attached();
  await using _ = host;
  await guest.connected();
  const { results } = await guest.call('hostile', {});
  expect(results.filter(({ verdict }) => verdict === 'breached')).toEqual([]);
  const tried = results.filter(({ address, verdict }) => address === '0000:00:00.0' && verdict !== 'absent');
  expect(tried.length).toBeGreaterThan(45);
  expect(await guest.call('load', { seconds: 0.2 })).toMatchObject({ lost: 0, wrong: 0 });
  expect(await guest.shutdown()).toMatchObject({ code: 0 });
});

test('a front-end with another magic is turned down, and let in when it comes back with the right one', async () => {
  const { host, guest } = await attached({ magic: '6' });
  await using _ = host;
  await guest.until((event) => event.type === 'backend-state' && event.state === 'Closed');
  expect((await guest.call('status', {})).connected).toBe(false);
  await guest.call('reconnect', { magic: '7' });
  await guest.connected();
  expect((await guest.call('status', {})).functions).toHaveLength(2);
  await guest.shutdown();
});
