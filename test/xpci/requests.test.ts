import { expect, test } from 'vitest';
import { makeSbdf } from '../../src/address.ts';
import { requestAddress, Requester, type RequestChannel } from '../../src/xpci/index.ts';

/** Remembers the request as it was sent, and answers as it is told. */
function recorder(answer: (op: Int32Array) => number | null) {
  const sent: number[][] = [];
  const channel: RequestChannel = {
    exchange: (op) => {
      sent.push([...op]);
      return answer(op);
    },
  };
  return { sent, requester: new Requester(channel) };
}

const address = makeSbdf(0x0001, 0x02, 0x1f, 7);

test('a read fills in the fields that a read has, and no others', () => {
  const { sent, requester } = recorder((op) => {
    op[7] = -1;
    return 0;
  });
  expect(requester.configRead(address, 0x10, 4)).toBe(0);
  expect(requester.value).toBe(0xffff_ffff);
  expect(sent[0]?.slice(0, 10)).toEqual([0, 0, 1, 2, 0xff, 0x10, 4, 0, 0, 0]);
  expect(sent[0]).toHaveLength(137);
});

test('nothing of one request is left in the next', () => {
  const { sent, requester } = recorder((op) => {
    op[1] = -5;
    op[7] = 77;
    return -5;
  });
  requester.configWrite(address, 0x04, 2, 0x0407);
  requester.disableMsi(address);
  expect(sent[1]?.slice(0, 9)).toEqual([3, 0, 1, 2, 0xff, 0, 0, 0, 0]);
});

test('MSI-X entries stand in the upper halves, and vectors come back in the lower', () => {
  const { sent, requester } = recorder((op) => {
    op[7] = 0;
    op[9] = (op[9] ?? 0) | 0x38;
    op[10] = (op[10] ?? 0) | 0xfff0;
    return 0;
  });
  expect(requester.enableMsix(address, [3, 0x8001])).toEqual({ err: 0, vectors: [0x38, 0xfff0] });
  expect(sent[0]?.slice(7, 11).map((word) => word >>> 0)).toEqual([2, 0, 0x0003_0000, 0x8001_0000]);
});

test('more entries than the page holds are cut off, whatever the count says', () => {
  const { sent, requester } = recorder(() => -5);
  requester.send({
    cmd: 4,
    ...requestAddress(address),
    value: 200,
    entries: Array.from({ length: 200 }, () => 1),
  });
  expect(sent[0]).toHaveLength(137);
  expect(sent[0]?.[7]).toBe(200);
});

test('a request that nobody answers is counted, and reads as an absent device', () => {
  const { requester } = recorder(() => null);
  expect(requester.configRead(address, 0, 4)).toBe(-1);
  expect(requester.send({ cmd: 0 })).toMatchObject({ err: null });
  expect(requester).toMatchObject({ sent: 2, lost: 2 });
});
