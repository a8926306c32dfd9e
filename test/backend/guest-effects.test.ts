import { expect, onTestFinished, test } from 'vitest';
import { GuestEffects } from '../../src/backend/guest-effects.ts';
import { GuestFunctions } from '../../src/backend/guest-functions.ts';
import { GuestService } from '../../src/backend/guest-service.ts';
import { openPlatform } from '../../src/host/index.ts';
import { XenbusState, absentView, backendPath, frontendPath } from '../../src/xenbus/index.ts';
import { type Message, MessageType } from '../../src/xenstore/wire.ts';
import { Loopback } from '../toolstack/loopback.ts';
import { type ScriptedConnection, storeServer } from '../xenstore/scripted-server.ts';
import { sessionHost } from './session-host.ts';

const domid = 5;

/** The effects of a guest whose directories are there, but that nobody has looked at. */
async function begin() {
  const loopback = await Loopback.start();
  const { directory } = loopback;
  const platform = openPlatform({ kind: 'loopback', directory });
  onTestFinished(() => platform.close());
  const server = storeServer();
  const xenstore = await server.client();
  const host = { ...sessionHost(loopback, platform).host, xenstore };
  const service = new GuestService(host, domid, () => expect.unreachable());
  const functions = new GuestFunctions(host, domid, () => service.worker());
  await xenstore.write(`${backendPath(domid)}/state`, '3');
  await xenstore.write(`${frontendPath(domid)}/state`, '3');
  const effects = new GuestEffects(host, domid, absentView(domid), service, functions);
  server.writes.length = 0;
  return { server, xenstore, effects };
}

const looks = (turns: readonly (readonly string[])[]): number =>
  turns.filter((turn) => turn.includes('TRANSACTION_START')).length;

/** Holds the next message of this type back; resolves with a way to let it go when it is there. */
function heldBack({ server }: Awaited<ReturnType<typeof begin>>, type: number): Promise<() => void> {
  const { script } = server;
  return new Promise((resolve) => {
    server.script = (message: Message, connection: ScriptedConnection) => {
      if (message.type !== type) return script(message, connection);
      server.script = script;
      resolve(() => script(message, connection));
    };
  });
}

test('who asks for a view while one is being read is given the next, and all of them the same', async () => {
  const setting = await begin();
  const { server, effects } = setting;
  const begun = heldBack(setting, MessageType.TRANSACTION_START);
  const first = effects.view();
  const letGo = await begun;
  const [second, third] = [effects.view(), effects.view()];
  expect(second).not.toBe(first);
  expect(third).toBe(second);
  letGo();
  expect((await first).serial).toBe(1);
  expect((await second).serial).toBe(2);
  expect(looks(server.turns())).toBe(2);
});

test('a view tells what was there before it was asked for', async () => {
  const setting = await begin();
  const { xenstore, effects } = setting;
  const ended = heldBack(setting, MessageType.TRANSACTION_END);
  const first = effects.view();
  const letGo = await ended;
  await xenstore.write(`${backendPath(domid)}/state`, '4');
  const second = effects.view();
  letGo();
  expect(await first).toMatchObject({ present: true });
  expect(await second).toMatchObject({ state: XenbusState.Connected });
});

test('a view that could not be read does not keep the next from being read', async () => {
  const { server, effects } = await begin();
  const { script } = server;
  server.script = (message, connection) => {
    server.script = script;
    connection.refuse(message, 'EIO');
  };
  const first = effects.view();
  await expect(first).rejects.toMatchObject({ code: 'EIO' });
  expect(await effects.view()).toMatchObject({ present: true, serial: 1 });
});

test('of a front-end alone nothing else is read, once both directories were', async () => {
  const { server, xenstore, effects } = await begin();
  expect(await effects.viewOfFrontend()).toMatchObject({ present: true, serial: 1 });
  expect(looks(server.turns())).toBe(1);
  await xenstore.write(`${frontendPath(domid)}/state`, '4');
  server.writes.length = 0;
  expect(await effects.viewOfFrontend()).toMatchObject({
    serial: 2,
    state: XenbusState.Initialised,
    frontendState: XenbusState.Connected,
  });
  // For what would come next, if the front-end had been ready; it is ended again.
  expect(server.turns()).toEqual([['READ', 'READ', 'READ', 'READ', 'TRANSACTION_START']]);
  await xenstore.read('/a');
  expect(server.asked(MessageType.TRANSACTION_END)).toEqual(['T', 'F']);
});

test('while our state is not Initialised, nothing is begun for a front-end that is read', async () => {
  const { server, xenstore, effects } = await begin();
  await xenstore.write(`${backendPath(domid)}/state`, '4');
  await effects.view();
  server.writes.length = 0;
  await effects.viewOfFrontend();
  expect(server.turns()).toEqual([['READ', 'READ', 'READ', 'READ']]);
});

test('a transaction that was begun for a front-end that is ready ends with the effects', async () => {
  const { server, xenstore, effects } = await begin();
  await effects.view();
  await effects.viewOfFrontend();
  expect(server.asked(MessageType.TRANSACTION_END)).toHaveLength(1);
  await effects.dismissWorker();
  await xenstore.read('/a');
  await xenstore.read('/a');
  expect(server.asked(MessageType.TRANSACTION_END)).toEqual(['T', 'F']);
});

test('a front-end is read behind the view that is under way', async () => {
  const setting = await begin();
  const { effects } = setting;
  await effects.view();
  const begun = heldBack(setting, MessageType.TRANSACTION_START);
  const both = effects.view();
  const letGo = await begun;
  const frontend = effects.viewOfFrontend();
  letGo();
  expect([(await both).serial, (await frontend).serial]).toEqual([2, 3]);
});
