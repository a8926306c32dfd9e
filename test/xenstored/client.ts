/** Our client with both stock daemons, and for comparison with the embedded one. */
import { deepEqual, equal, ok, rejects } from 'node:assert/strict';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Subject, filter, firstValueFrom } from 'rxjs';
import { again, ConnectionLost, XenstoreClient } from '../../src/xenstore/index.ts';
import { Xenstored } from '../../src/xenstore/server/index.ts';
import { encodeMessage, encodeStrings, MessageType } from '../../src/xenstore/wire.ts';
import { check } from './harness.ts';
import { StockDaemon } from './lab.ts';

/** A xenstored of any kind. */
interface Daemon {
  readonly kind: 'C xenstored' | 'oxenstored' | 'embedded';
  readonly socket: string;
  /** Makes a domain; resolves with a socket that is its. */
  guest(domid: number): Promise<string>;
  setDomain(domid: number, state: string | undefined): void;
  start(): Promise<void>;
  stop(): Promise<void>;
  remove(): Promise<void>;
}

class EmbeddedDaemon implements Daemon {
  readonly kind = 'embedded';
  readonly #directory = mkdtempSync(join(tmpdir(), 'xs-'));
  readonly socket = join(this.#directory, 'xenstored/socket');
  #daemon: Xenstored | undefined;

  async start(): Promise<void> {
    rmSync(join(this.#directory, 'dom'), { recursive: true, force: true });
    mkdirSync(join(this.#directory, 'dom'));
    this.#daemon = await Xenstored.start({ directory: this.#directory });
  }
  async guest(domid: number): Promise<string> {
    const client = await XenstoreClient.connect({ path: this.socket });
    this.setDomain(domid, 'running');
    await client.introduce(domid, 1, 1);
    client.close();
    return join(this.#directory, `xenstored/dom${domid}`);
  }
  setDomain(domid: number, state: string | undefined): void {
    const path = join(this.#directory, `dom/${domid}`);
    if (state === undefined) rmSync(path);
    else writeFileSync(path, state);
  }
  async stop(): Promise<void> {
    this.#daemon?.close();
    await this.#daemon?.ended;
  }
  async remove(): Promise<void> {
    await this.stop();
    rmSync(this.#directory, { recursive: true, force: true });
  }
}

/** Resolves when the watch rings and the condition holds. */
const until = async (
  client: XenstoreClient,
  path: string,
  condition: () => Promise<boolean>,
): Promise<void> => {
  await new Promise<void>((resolve, reject) => {
    const subscription = client.watch(path).subscribe(() => {
      condition().then((holds) => {
        if (!holds) return;
        resolve();
        subscription.unsubscribe();
      }, reject);
    });
  });
};

type Scenario = (client: XenstoreClient, daemon: Daemon) => Promise<void>;

const scenarios: Record<string, Scenario> = {
  async 'values of all kinds'(client) {
    await client.write('/t/text', 'grüß dich');
    equal(await client.read('/t/text'), 'grüß dich');
    const bytes = Uint8Array.from({ length: 256 }, (_, index) => index);
    await client.write('/t/bytes', bytes);
    deepEqual(await client.readBytes('/t/bytes'), bytes);
    await client.write('/t/empty', '');
    equal(await client.read('/t/empty'), '');
    equal(await client.read('/t/missing'), undefined);
    equal(await client.read('/missing/below'), undefined);
  },
  async 'directories and removal'(client) {
    await client.mkdir('/t/dir/b');
    await client.mkdir('/t/dir/a');
    deepEqual(await client.directory('/t/dir'), ['a', 'b']);
    deepEqual(await client.directory('/t/dir/a'), []);
    equal(await client.directory('/t/none'), undefined);
    await client.rm('/t/dir');
    await client.rm('/t/dir');
    await client.rm('/t/dir/below/what/is/missing');
    equal(await client.directory('/t/dir'), undefined);
  },
  async 'a directory of 3000 names'(client) {
    const names = Array.from({ length: 3000 }, (_, index) => `name-${String(index).padStart(4, '0')}`);
    await Promise.all(names.map((name) => client.mkdir(`/t/large/${name}`)));
    deepEqual(await client.directory('/t/large'), names);
    await client.rm('/t/large');
  },
  async permissions(client) {
    await client.write('/t/shared', '1');
    await client.setPerms('/t/shared', ['n0', 'r5', 'b6']);
    deepEqual(await client.getPerms('/t/shared'), ['n0', 'r5', 'b6']);
    equal(await client.getPerms('/t/missing'), undefined);
  },
  async 'what is refused says how'(client) {
    await rejects(client.write('/t/with space', '1'), { code: 'EINVAL', reason: 'XENSTORE-REFUSED' });
    await rejects(client.introduce(77, 1, 1), { code: 'EINVAL' });
    equal(await client.isIntroduced(77), false);
    equal(await client.isIntroduced(0), true);
    equal(await client.getDomainPath(77), '/local/domain/77');
  },
  async 'contended transactions all count'(client, { socket }) {
    const others = await Promise.all([1, 2, 3].map(() => XenstoreClient.connect({ path: socket })));
    const counts = await Promise.all(
      [client, ...others].flatMap((each) =>
        Array.from({ length: 5 }, () =>
          each.transaction(async (transaction) => {
            const next = Number((await transaction.read('/t/count')) ?? '0') + 1;
            await transaction.write('/t/count', String(next));
            return next;
          }),
        ),
      ),
    );
    deepEqual(
      counts.toSorted((a, b) => a - b),
      Array.from({ length: 20 }, (_, index) => index + 1),
    );
    for (const other of others) other.close();
  },
  async 'an aborted transaction changes nothing'(client) {
    const body = client.transaction(async (transaction) => {
      await transaction.write('/t/aborted', '1');
      throw new Error('no');
    });
    await rejects(body, /no/);
    equal(await client.read('/t/aborted'), undefined);
  },
  async 'a handshake of two that wait'(client, { socket }) {
    const other = await XenstoreClient.connect({ path: socket });
    const peer = async (): Promise<void> => {
      await other.wait(async (reader) => ((await reader.read('/t/front')) === '1' ? true : again), {
        timeoutMs: 5000,
      });
      await other.write('/t/back', '2');
    };
    const own = async (): Promise<string> => {
      await client.write('/t/front', '1');
      return client.wait(async (reader) => (await reader.read('/t/back')) ?? again, { timeoutMs: 5000 });
    };
    const [seen] = await Promise.all([own(), peer()]);
    equal(seen, '2');
    other.close();
  },
  async 'a storm of events for one who listens'(client, { socket }) {
    const writer = await XenstoreClient.connect({ path: socket });
    let last: string | undefined;
    const done = until(client, '/t/storm', async () => (last = await client.read('/t/storm/key')) === '1999');
    for (let value = 0; value < 2000; value += 50) {
      await Promise.all(
        Array.from({ length: 50 }, (_, index) => writer.write('/t/storm/key', String(value + index))),
      );
    }
    await done;
    equal(last, '1999');
    writer.close();
  },
  async 'a guest, from introduction to death'(client, daemon) {
    const introduced = until(client, '@introduceDomain', () => client.isIntroduced(5));
    const path = await daemon.guest(5);
    await introduced;
    await client.mkdir('/local/domain/5');
    await client.setPerms('/local/domain/5', ['n5']);
    const guest = await XenstoreClient.connect({ path });
    await guest.write('data/x', '1');
    equal(await client.read('/local/domain/5/data/x'), '1');
    await rejects(guest.write('/t/no', '1'), { code: 'EACCES' });
    const heard = guest.wait(async (reader) => (await reader.read('data/y')) ?? again, { timeoutMs: 5000 });
    await client.write('/local/domain/5/data/y', 'hello');
    equal(await heard, 'hello');
    const gone = until(client, '@releaseDomain', async () => !(await client.isIntroduced(5)));
    daemon.setDomain(5, 'dying');
    await gone;
    equal(await client.read('/local/domain/5/data/x'), undefined);
    guest.close();
  },
  async 'a daemon that is started anew'(client, daemon) {
    const heard = new Subject<string | undefined>();
    const heardAfter = firstValueFrom(heard.pipe(filter((value) => value === 'after')));
    client.watch('/t/after').subscribe(() => {
      client.read('/t/after').then(
        (value) => heard.next(value),
        () => undefined,
      );
    });
    await client.write('/t/after', 'before');
    const lost = firstValueFrom(client.state$.pipe(filter((state) => state === 'reconnecting')));
    await daemon.stop();
    await lost;
    const held = client.write('/t/after', 'after');
    await daemon.start();
    await held;
    equal(await client.read('/t/after'), 'after');
    await heardAfter;
    ok(client.counters.reconnects >= 1);
  },
};

/** oxenstored stalls a connection that writes under the watch of a client that does not read. */
async function stall(daemon: Daemon): Promise<void> {
  const deaf = connect(daemon.socket);
  await once(deaf, 'connect');
  deaf.pause();
  const payload = encodeStrings('/s', 'token');
  deaf.write(encodeMessage({ type: MessageType.WATCH, requestId: 1, transactionId: 0, payload }));
  const client = await XenstoreClient.connect({ path: daemon.socket, requestTimeoutMs: 1000 });
  const write = async (): Promise<never> => {
    for (let value = 0; value < 20_000; value++) await client.write(`/s/${'k'.repeat(500)}${value}`, '');
    throw new Error('nothing stalled');
  };
  await rejects(write(), ConnectionLost);
  deaf.destroy();
  await client.write('/elsewhere', '1');
  equal(client.counters.timeouts, 1);
  client.close();
}

export async function checkClient(): Promise<void> {
  const daemons: Daemon[] = [await StockDaemon.start('C xenstored'), await StockDaemon.start('oxenstored')];
  const embedded = new EmbeddedDaemon();
  await embedded.start();
  for (const daemon of [...daemons, embedded]) {
    for (const [name, scenario] of Object.entries(scenarios)) {
      await check(`client with ${daemon.kind}: ${name}`, async () => {
        const client = await XenstoreClient.connect({ path: daemon.socket });
        try {
          await scenario(client, daemon);
        } finally {
          client.close();
        }
      });
    }
    if (daemon.kind === 'oxenstored')
      await check(`client with ${daemon.kind}: a stalled connection`, () => stall(daemon));
    await daemon.remove();
  }
}
