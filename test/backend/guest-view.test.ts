import { describe, expect, test } from 'vitest';
import { readFrontend, readGuestView } from '../../src/backend/guest-view.ts';
import type { Platform } from '../../src/host/index.ts';
import { XenbusState, absentView, backendPath, frontendPath } from '../../src/xenbus/index.ts';
import { MessageType } from '../../src/xenstore/wire.ts';
import { storeServer } from '../xenstore/scripted-server.ts';
import { StoreSetting } from '../xenstore/server/store-setting.ts';

const { Unknown, Initialised, Connected, Closing } = XenbusState;
const domid = 5;
const running: Pick<Platform, 'domainState'> = { domainState: () => 'running' };

/** The directories of a guest with so many functions, in a store that is asked over again from here. */
async function setUp(functions: number, frontend = frontendPath(domid)) {
  const setting = new StoreSetting();
  setting.connect(domid);
  const server = storeServer(setting);
  const client = await server.client();
  const say = (base: string, keys: Readonly<Record<string, string>>) =>
    Promise.all(Object.entries(keys).map(([key, value]) => client.write(`${base}/${key}`, value)));
  await say(backendPath(domid), { frontend, 'frontend-id': '5', state: '3', num_devs: String(functions) });
  for (let index = 0; index < functions; index += 1)
    await say(backendPath(domid), { [`dev-${index}`]: `0000:03:0${index}.0` });
  await say(frontendPath(domid), { state: '3' });
  server.writes.length = 0;
  return { server, client, say };
}

describe('both directories', () => {
  test('take two turns when as many functions were known before, or more', async () => {
    const { server, client } = await setUp(2);
    const view = await readGuestView(client, running, domid);
    expect(view.devices).toHaveLength(2);
    for (const before of [view, { ...view, devices: [...(view.devices ?? []), ...(view.devices ?? [])] }]) {
      server.writes.length = 0;
      expect(await readGuestView(client, running, domid, before)).toEqual(view);
      const [begin, everything] = server.turns();
      expect(begin).toEqual(['TRANSACTION_START']);
      expect(everything).toContain('TRANSACTION_END');
      expect(server.writes).toHaveLength(2);
    }
  });

  test('and one function take two turns when nothing was known', async () => {
    const { server, client } = await setUp(1);
    expect(await readGuestView(client, running, domid)).toMatchObject({
      present: true,
      frontendState: Initialised,
      introduced: true,
      ended: false,
      devices: [{ index: 0 }],
    });
    expect(server.writes).toHaveLength(2);
  });

  test('are asked for again when more functions are listed than were known', async () => {
    const { server, client } = await setUp(3);
    const { devices } = await readGuestView(client, running, domid);
    expect(devices?.map(({ index }) => index)).toEqual([0, 1, 2]);
    expect(server.writes).toHaveLength(4);
  });

  test('are the one of the back-end, and the one that it names as the front-end', async () => {
    const elsewhere = '/local/domain/5/device/pci/1';
    const { server, client, say } = await setUp(1, elsewhere);
    await say(elsewhere, { state: '4' });
    server.writes.length = 0;
    const view = await readGuestView(client, running, domid);
    expect(view).toMatchObject({ frontendPath: elsewhere, frontendState: Connected });
    expect(server.writes).toHaveLength(4);
    expect(await readGuestView(client, running, domid, view)).toEqual(view);
    expect(server.writes).toHaveLength(6);
  });

  test('that are not there take two turns as well', async () => {
    const { server, client } = await setUp(1);
    await client.rm(backendPath(domid));
    server.writes.length = 0;
    expect(await readGuestView(client, running, domid)).toEqual(absentView(domid));
    expect(server.writes).toHaveLength(2);
  });

  test.each(['shutdown', 'dying'] as const)(
    'of a domain that is %s are those of one that ended',
    async (state) => {
      const { client } = await setUp(0);
      expect(await readGuestView(client, { domainState: () => state }, domid)).toMatchObject({ ended: true });
    },
  );

  test.each([
    ['the back-end', backendPath(domid), 1, Connected],
    ['the front-end', frontendPath(domid), 0, Initialised],
  ])('that %s writes into meanwhile (%s) are read again %i times', async (_, base, times, expected) => {
    const { server, client, say } = await setUp(1);
    const { script } = server;
    server.script = (message, connection) => {
      if (message.type !== MessageType.TRANSACTION_END) return script(message, connection);
      server.script = script;
      void say(base, { state: '4' }).then(() => script(message, connection));
    };
    const { state } = await readGuestView(client, running, domid);
    expect(state).toBe(expected);
    expect(client.counters.transactionRetries).toBe(times);
  });
});

describe('the front-end alone', () => {
  test('gives its state and its keys in one turn, and leaves the rest', async () => {
    const { server, client, say } = await setUp(1);
    const before = { ...(await readGuestView(client, running, domid)), serial: 7 };
    await say(frontendPath(domid), { 'pci-op-ref': '8', 'event-channel': '9', magic: '7', state: '4' });
    await say(backendPath(domid), { state: String(Closing), num_devs: '2' });
    server.writes.length = 0;
    expect(await readFrontend(client, before)).toEqual({
      ...before,
      frontendState: Connected,
      frontendKeys: ['8', '9', '7'],
    });
    expect(server.turns()).toEqual([['READ', 'READ', 'READ', 'READ']]);
  });

  test('that is not there has no state, and no keys', async () => {
    const { client } = await setUp(1);
    const before = await readGuestView(client, running, domid);
    await client.rm(frontendPath(domid));
    expect(await readFrontend(client, before)).toMatchObject({
      frontendState: Unknown,
      frontendKeys: [undefined, undefined, undefined],
    });
  });
});
