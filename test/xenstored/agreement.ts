/**
 * The embedded xenstored beside Debian's C xenstored: the same random requests of two domain 0 clients and two guests go to
 * both, and every reply and every event must be the same, in the same order.
 */
import { deepEqual } from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Xenstored } from '../../src/xenstore/server/index.ts';
import {
  decodeStrings,
  encodePathAndValue,
  encodeStrings,
  type Message,
  MessageType,
} from '../../src/xenstore/wire.ts';
import { describe, RawClient } from '../xenstore/raw-client.ts';
import { check } from './harness.ts';
import { StockDaemon } from './lab.ts';
import { randomNumbers, type RandomRequest, randomRequest } from './random-requests.ts';

const sequences = 60;
const length = 400;

/** Two clients of domain 0, one of 5 and one of 6, at one of the two daemons. */
class Side {
  readonly #clients: RawClient[];
  /** Transactions that are open, by client. Their ids are each daemon's own. */
  readonly open: number[][] = [[], [], [], []];

  static async connect(paths: readonly string[]): Promise<Side> {
    return new Side(await Promise.all(paths.map((path) => RawClient.open(path))));
  }

  private constructor(clients: RawClient[]) {
    this.#clients = clients;
  }

  /** The same start for every sequence: two homes, a place for all, nobody special. */
  async prepare(): Promise<void> {
    const [dom0] = this.#clients;
    const ask = (type: number, payload: Uint8Array): Promise<unknown> | undefined =>
      dom0?.exchange(type, payload);
    for (const path of ['/t', '/local']) await ask(MessageType.RM, encodeStrings(path));
    for (const path of ['/local/domain/5', '/local/domain/6', '/t', '/']) {
      await ask(MessageType.WRITE, encodePathAndValue(path, ''));
    }
    for (const domid of [5, 6]) {
      await ask(MessageType.SET_PERMS, encodeStrings(`/local/domain/${domid}`, `n${domid}`));
    }
    for (const path of ['/', '@releaseDomain']) await ask(MessageType.SET_PERMS, encodeStrings(path, 'n0'));
  }

  /** What the client that asks gets, and after it what each other client gets. */
  async ask(client: number, request: RandomRequest, transactionId: number): Promise<(readonly Message[])[]> {
    const own = await this.#clients[client]?.exchange(request.type, request.payload, transactionId);
    const others = this.#clients.filter((_, index) => index !== client);
    const heard = await Promise.all(others.map((each) => each.settle()));
    return [own ?? [], ...heard.map((messages) => messages ?? [])];
  }

  close(): void {
    for (const client of this.#clients) client.close();
  }
}

const replyIn = (messages: readonly Message[] | undefined): Message | undefined =>
  messages?.find(({ type }) => type !== MessageType.WATCH_EVENT);
const errnoOf = (reply: Message | undefined): string | undefined =>
  reply?.type === MessageType.ERROR ? decodeStrings(reply.payload)[0] : undefined;

/** As text, without what is each daemon's own: ids of transactions and generations. */
function comparable(message: Message): string {
  const text = describe(message).replace(/tx=\d+/, 'tx');
  const counted =
    message.type === MessageType.TRANSACTION_START || message.type === MessageType.DIRECTORY_PART;
  return counted ? text.replace(/"\d+/, '"N') : text;
}

/**
 * In a transaction that will conflict anyway C xenstored may stumble over a tree that does not fit together, and says so
 * in one of these ways. The embedded one finishes the request and leaves it to the end of the transaction.
 */
const stumbled = (stock: string | undefined, transactionId: number): boolean =>
  transactionId !== 0 && (stock === 'EIO' || stock === 'EINVAL');

async function compare(seed: number, sides: readonly [Side, Side]): Promise<void> {
  const random = randomNumbers(seed);
  const [stock, embedded] = sides;
  const history: string[] = [];
  for (let step = 0; step < length; step++) {
    const client = random(4);
    const request = randomRequest(random, client < 2);
    const ends = request.type === MessageType.TRANSACTION_END;
    const open = stock.open[client] ?? [];
    const index = (request.inTransaction || ends) && open.length > 0 ? random(open.length) : -1;
    const ids = sides.map((side) => side.open[client]?.[index] ?? 0);
    const [expected = [], got = []] = await Promise.all(
      sides.map((side, at) => side.ask(client, request, ids[at] ?? 0)),
    );
    const asked = describe({ ...request, requestId: 0, transactionId: ids[0] ?? 0 });
    history.push(`client ${client}: ${asked.slice(0, 120)}`);
    const reply = replyIn(expected[0]);
    const same = expected.map((messages) => messages.map(comparable));
    const other = got.map((messages) => messages.map(comparable));
    if (stumbled(errnoOf(reply), ids[0] ?? 0) && !ends && errnoOf(replyIn(got[0])) !== errnoOf(reply)) return;
    deepEqual(other, same, `seed ${seed}, after\n${history.slice(-12).join('\n')}`);

    if (request.type === MessageType.TRANSACTION_START && errnoOf(reply) === undefined) {
      for (const [at, side] of sides.entries()) {
        const [id] = decodeStrings(replyIn([expected, got][at]?.[0])?.payload ?? new Uint8Array());
        side.open[client]?.push(Number(id));
      }
    }
    const ended = ends && index >= 0 && errnoOf(reply) !== 'EINVAL';
    if (ended) for (const side of [stock, embedded]) side.open[client]?.splice(index, 1);
    if (request.type === MessageType.RESET_WATCHES) for (const side of sides) side.open[client] = [];
  }
}

export async function checkAgreement(): Promise<void> {
  const stock = await StockDaemon.start('C xenstored');
  const directory = mkdtempSync(join(tmpdir(), 'xs-'));
  mkdirSync(join(directory, 'dom'));
  for (const domid of [5, 6]) writeFileSync(join(directory, 'dom', String(domid)), 'running');
  const embedded = await Xenstored.start({ directory });
  const guests = [await stock.guest(5), await stock.guest(6)];
  const stockPaths = [stock.socket, stock.socket, ...guests];
  const sockets = ['socket', 'socket', 'dom5', 'dom6'];
  const embeddedPaths = sockets.map((name) => join(directory, 'xenstored', name));

  for (let seed = 1; seed <= sequences; seed++) {
    // From the middle on 6 acts for 5. What was said once cannot be taken back.
    const targeted = seed > sequences / 2;
    await check(
      `agreement with C xenstored: sequence ${seed}${targeted ? ', 6 acting for 5' : ''}`,
      async () => {
        const sides = [await Side.connect(stockPaths), await Side.connect(embeddedPaths)] as const;
        const setTarget: RandomRequest = {
          type: MessageType.SET_TARGET,
          payload: encodeStrings('6', '5'),
          inTransaction: false,
        };
        for (const side of sides) {
          await side.prepare();
          if (seed === Math.floor(sequences / 2) + 1) await side.ask(0, setTarget, 0);
        }
        await compare(seed, sides);
        for (const side of sides) side.close();
      },
    );
  }
  embedded.close();
  await stock.remove();
  rmSync(directory, { recursive: true, force: true });
}
