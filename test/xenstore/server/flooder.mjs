/** flooder.mjs SOCKET KIND CONNECTIONS: a guest that asks as much as its connections take, until it is killed. Says `ready` first. */
import { connect } from 'node:net';

const [, , path, kind, count] = process.argv;
const Type = { directory: 1, read: 2, watch: 4, unwatch: 5, begin: 6, end: 7, write: 11 };
/** Bytes that are sent at a time. */
const chunk = 65_536;
const deep = '/a'.repeat(900);

function message(type, text, transaction = 0) {
  const payload = Buffer.from(text);
  const header = Buffer.alloc(16);
  for (const [index, word] of [type, 1, transaction, payload.length].entries())
    header.writeUInt32LE(word, 4 * index);
  return Buffer.concat([header, payload]);
}

function many(make) {
  const made = [];
  for (let bytes = 0, index = 0; bytes < chunk; index += 1) {
    made.push(make(index));
    bytes += made.at(-1).length;
  }
  return Buffer.concat(made);
}

/** Watches of everything that it writes, on every connection. */
const watches = (connection) =>
  Buffer.concat([0, 1, 2, 3].map((index) => message(Type.watch, `data\0${connection}-${index}\0`)));

/** A transaction that writes two hundred nodes, each of which rings all watches when it ends. */
const transaction = (connection, id) =>
  Buffer.concat([
    message(Type.begin, '\0'),
    ...Array.from({ length: 200 }, (_, index) =>
      message(Type.write, `data/${connection}-${index}\0${id}`, id),
    ),
    message(Type.end, 'T\0', id),
  ]);

/** What a connection of each kind sends first, and then again and again: `round` counts from 1. */
const kinds = {
  reads: { next: () => many(() => message(Type.read, 'data\0')) },
  'reads of deep paths': { next: () => many(() => message(Type.read, `data${deep}\0`)) },
  writes: { next: (connection) => many((index) => message(Type.write, `data/${connection}\0${index}`)) },
  'large writes': {
    next: (connection) => many(() => message(Type.write, `data/${connection}\0${'x'.repeat(1900)}`)),
  },
  'writes that are too large': {
    next: (connection) => many(() => message(Type.write, `data/${connection}\0${'x'.repeat(4000)}`)),
  },
  listings: { next: () => many(() => message(Type.directory, 'list\0')) },
  watches: {
    next: () => many((index) => message(index % 2 ? Type.unwatch : Type.watch, 'data\0token\0')),
  },
  'watched writes': {
    first: watches,
    next: (connection) => many((index) => message(Type.write, `data/${connection}\0${index}`)),
  },
  transactions: { first: watches, next: transaction, senders: 4 },
  'halves of requests': { next: () => message(Type.read, 'data\0').subarray(0, 20), once: true },
};

const { first, next, senders = Infinity, once = false } = kinds[kind];
for (let connection = 0; connection < Number(count); connection += 1) {
  const socket = connect(path);
  socket.on('error', () => {});
  socket.resume();
  if (first) socket.write(first(connection));
  let round = 0;
  const send = () => {
    if (socket.destroyed) return;
    round += 1;
    const isTaken = socket.write(next(connection, round));
    if (once) return;
    if (isTaken) setImmediate(send);
    else socket.once('drain', send);
  };
  if (connection < senders) send();
}
console.log('ready');
