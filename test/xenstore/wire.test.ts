import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  decodeStrings,
  encodeMessage,
  encodeMessages,
  encodePathAndValue,
  encodeStrings,
  FramingError,
  maxPayload,
  type Message,
  messageName,
  MessageParser,
  MessageType,
} from '../../src/xenstore/wire.ts';

const word = fc.integer({ min: 0, max: 0xffffffff });
const message = fc.record({
  type: word,
  requestId: word,
  transactionId: word,
  payload: fc.uint8Array({ maxLength: 300 }),
});

/** Plain bytes, so that a Buffer and the array it was made from compare equal. */
const plain = ({ payload, ...header }: Message): object => ({ ...header, payload: [...payload] });

/** Cuts a buffer at the given places, which may be anything. */
function chopped(bytes: Buffer, places: readonly number[]): Buffer[] {
  const cuts = [...new Set(places.map((place) => place % (bytes.length + 1)))].sort((a, b) => a - b);
  return [0, ...cuts].map((start, index) => bytes.subarray(start, cuts[index] ?? bytes.length));
}

describe('messages', () => {
  test('a header is four little-endian words', () => {
    const bytes = encodeMessage({
      type: MessageType.READ,
      requestId: 0x01020304,
      transactionId: 7,
      payload: encodeStrings('/a'),
    });
    expect(bytes.toString('hex')).toBe('020000000403020107000000030000002f6100');
  });

  test('come out as they went in, however the stream is cut', () => {
    fc.assert(
      fc.property(
        fc.array(message, { maxLength: 8 }),
        fc.array(fc.nat(), { maxLength: 40 }),
        (sent, places) => {
          const parser = new MessageParser(maxPayload);
          const stream = Buffer.concat(sent.map(encodeMessage));
          const received = chopped(stream, places).flatMap((chunk) => [...parser.push(chunk)]);
          expect(received.map(plain)).toEqual(sent.map(plain));
        },
      ),
    );
  });

  test('one behind the other are the bytes of each in turn', () => {
    fc.assert(
      fc.property(fc.array(message, { maxLength: 8 }), (sent) => {
        expect(encodeMessages(sent).equals(Buffer.concat(sent.map(encodeMessage)))).toBe(true);
      }),
    );
    const open = { type: MessageType.READ, requestId: 1, transactionId: 7, payload: encodeStrings('/a') };
    const close = { ...open, type: MessageType.TRANSACTION_END, requestId: 2, payload: encodeStrings('T') };
    expect(encodeMessages([open, close]).toString('hex')).toBe(
      '020000000100000007000000030000002f6100070000000200000007000000020000005400',
    );
  });

  test('come out byte by byte as well', () => {
    const sent = { type: 11, requestId: 9, transactionId: 3, payload: Buffer.alloc(maxPayload, 'x') };
    const parser = new MessageParser(maxPayload);
    const stream = Buffer.concat([encodeMessage(sent), encodeMessage(sent)]);
    const received = [...stream].flatMap((byte) => [...parser.push(Uint8Array.of(byte))]);
    expect(received.map(plain)).toEqual([plain(sent), plain(sent)]);
  });

  test('a payload above the limit is refused after the messages before it, on the header alone', () => {
    const good = encodeMessage({ type: 2, requestId: 1, transactionId: 0, payload: encodeStrings('/') });
    const header = encodeMessage({ type: 2, requestId: 2, transactionId: 0, payload: Buffer.alloc(0) });
    header.writeUInt32LE(maxPayload + 1, 12);
    const received: Message[] = [];
    expect(() => {
      for (const each of new MessageParser(maxPayload).push(Buffer.concat([good, header])))
        received.push(each);
    }).toThrow(FramingError);
    expect(received).toHaveLength(1);
  });
});

describe('payloads', () => {
  test('strings are each ended by a NUL', () => {
    expect(encodeStrings('/a', 'n0', '').toString('latin1')).toBe('/a\0n0\0\0');
    expect(encodeStrings()).toHaveLength(0);
    expect(decodeStrings(Buffer.from('/a\0n0\0\0'))).toEqual(['/a', 'n0', '']);
  });

  test('what follows the last NUL is not a string', () => {
    expect(decodeStrings(Buffer.from('/a\0rest'))).toEqual(['/a']);
    expect(decodeStrings(Buffer.from('rest'))).toEqual([]);
    expect(decodeStrings(Buffer.alloc(0))).toEqual([]);
  });

  test('a value follows its path as it is', () => {
    expect(encodePathAndValue('/a', 'é').toString('hex')).toBe('2f6100c3a9');
    expect(encodePathAndValue('/a', Uint8Array.of(0, 255)).toString('hex')).toBe('2f610000ff');
  });
});

test('types have names, and unknown ones their number', () => {
  expect(messageName(MessageType.SET_PERMS)).toBe('SET_PERMS');
  expect(messageName(20)).toBe('20');
});
