import { setTimeout as delay } from 'node:timers/promises';
import { Access, type XenstoreAccess, type XenstoreReader } from './access.ts';
import type { Connection } from './connection.ts';
import type { XenstoreCounters } from './counters.ts';
import { refusedWith, XenstoreError } from './errors.ts';
import { decodeStrings, encodeStrings, MessageType, noTransaction } from './wire.ts';

/** How often a transaction is run before it is given up. */
export const maxTransactionAttempts = 100;
const longestPauseMs = 50;

/** A transaction that was begun before it is known what for. */
export class BegunTransaction {
  readonly connection: Connection;
  readonly transaction: Promise<Transaction>;

  constructor(connection: Connection) {
    this.connection = connection;
    this.transaction = begin(connection);
    this.transaction.catch(() => undefined);
  }

  /** Ends it: there was no use for it. */
  drop(): void {
    this.transaction.then(({ end }) => end('F')).catch(() => undefined);
  }
}

/**
 * Runs `body` in transactions until one is committed; the first of them may have been begun already. Only a conflict is tried again;
 * after a loss of the connection nobody knows whether the commit took effect, so that is the caller's to decide.
 */
export const runTransaction = <T>(
  connect: () => Connection | Promise<Connection>,
  counters: XenstoreCounters,
  body: (transaction: XenstoreAccess) => Promise<T>,
  begun?: BegunTransaction,
): Promise<T> => {
  let first = begun;
  return untilCommitted(connect, counters, async (connection) => {
    // What was begun on a connection that is no more is no more either.
    const transaction = first?.connection === connection ? first.transaction : begin(connection);
    first = undefined;
    return attemptTransaction(await transaction, body);
  });
};

/**
 * Reads as of one moment, in two turns with the daemon as long as that is no more than may be on the wire at a time: the end of the
 * transaction goes out behind what `body` asks for. So it has to ask for all of it before it waits for any; what it asks for later is refused.
 */
export const runSnapshot = <T>(
  connect: () => Connection | Promise<Connection>,
  counters: XenstoreCounters,
  body: (reader: XenstoreReader) => Promise<T>,
): Promise<T> => untilCommitted(connect, counters, (connection) => attemptSnapshot(connection, body));

type Outcome<T> = { readonly committed: true; readonly value: T } | { readonly committed: false };

async function untilCommitted<T>(
  connect: () => Connection | Promise<Connection>,
  counters: XenstoreCounters,
  attempt: (connection: Connection) => Promise<Outcome<T>>,
): Promise<T> {
  for (let number = 1; number <= maxTransactionAttempts; number++) {
    const outcome = await attempt(await connect());
    if (outcome.committed) return outcome.value;
    counters.transactionRetries++;
    // Two writers that start again at the same moment would only collide again.
    await delay(Math.random() * Math.min(2 ** number, longestPauseMs));
  }
  throw new XenstoreError(
    'EAGAIN',
    'TRANSACTION_END',
    'T',
    `${maxTransactionAttempts} attempts ended in conflicts`,
  );
}

interface Transaction {
  readonly access: XenstoreAccess;
  readonly end: (how: 'T' | 'F') => Promise<boolean>;
}

async function begin(connection: Connection): Promise<Transaction> {
  const started = await connection.request({
    type: MessageType.TRANSACTION_START,
    transactionId: noTransaction,
    payload: encodeStrings(''),
    subject: '',
  });
  const transactionId = Number(decodeStrings(started)[0]);
  let open = true;
  const access = new Access((type, payload, subject) => {
    if (!open) return Promise.reject(new Error(`${subject} was asked for in a transaction that has ended`));
    return connection.request({ type, transactionId, payload, subject });
  });
  const end = (how: 'T' | 'F'): Promise<boolean> => {
    open = false;
    return endTransaction(connection, transactionId, how);
  };
  return { access, end };
}

async function attemptTransaction<T>(
  { access, end }: Transaction,
  body: (access: XenstoreAccess) => Promise<T>,
): Promise<Outcome<T>> {
  let value: T;
  try {
    value = await body(access);
  } catch (error) {
    // In a transaction that the daemon has lost every node seems missing. What the body made of that means nothing.
    if (await end('F').catch(() => true)) throw error;
    return { committed: false };
  }
  return (await end('T')) ? { committed: true, value } : { committed: false };
}

async function attemptSnapshot<T>(
  connection: Connection,
  body: (reader: XenstoreReader) => Promise<T>,
): Promise<Outcome<T>> {
  const { access, end } = await begin(connection);
  const asked = (async () => body(access))();
  const [, ended] = await Promise.allSettled([asked, end('T')]);
  if (ended.status === 'rejected') throw ended.reason;
  if (!ended.value) return { committed: false };
  return { committed: true, value: await asked };
}

/**
 * Resolves with false when the transaction came to nothing and is to be run again: EAGAIN is a conflict; ENOENT (C
 * xenstored) and EIO (oxenstored) mean that the daemon no longer knows the transaction, as after a live update.
 */
async function endTransaction(
  connection: Connection,
  transactionId: number,
  how: 'T' | 'F',
): Promise<boolean> {
  try {
    await connection.request({
      type: MessageType.TRANSACTION_END,
      transactionId,
      payload: encodeStrings(how),
      subject: how,
    });
    return true;
  } catch (error) {
    if (refusedWith(error, 'EAGAIN', 'ENOENT', 'EIO')) return false;
    throw error;
  }
}
