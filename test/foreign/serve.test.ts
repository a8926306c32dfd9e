import { afterAll, beforeAll, expect, test } from 'vitest';
import { createDomain } from '../../src/xpci/index.ts';
import { LoopbackHost } from './daemon.ts';
import { buildForeign, ForeignRun, type ForeignProgram } from './program.ts';

let program: ForeignProgram;
beforeAll(async () => {
  program = await buildForeign();
});
afterAll(() => program[Symbol.asyncDispose]());

const functions = ['0000:03:00.0', '0000:04:00.0'];

/** A daemon with both functions hidden, and a domain that they are attached to. */
async function attached(steps: readonly string[]) {
  const host = await LoopbackHost.make();
  try {
    await host.serve(functions.map((address) => `(${address})`).join(''));
    await createDomain(host.directory, 7);
    await host.pciback('attach', '7', ...functions);
    return { host, run: new ForeignRun(program, host.directory, 7, steps) };
  } catch (error) {
    await host[Symbol.asyncDispose]();
    throw error;
  }
}

test('a foreign front-end finds what was attached, sizes it and has its interrupts', async () => {
  const { host, run } = await attached(['scan', 'msix', 'load=0.5', 'msixoff', 'close']);
  await using _ = host;
  expect(await run.ended).toBe(0);
  expect(run.all('scan')).toMatchObject([
    {
      functions: [
        {
          address: '0000:00:00.0',
          vendor: 0x8086,
          device: 0x10d3,
          class: 0x02_0000,
          pin: 1,
          msixEntries: 5,
          bars: [
            { index: 0, kind: 'm', base: '0xfeb80000', size: '0x20000' },
            { index: 1, kind: 'M', base: '0x1c0000000', size: '0x4000' },
            { index: 3, kind: 'i', base: '0xe000', size: '0x20' },
            { index: 6, kind: 'r', base: '0xfeb40000', size: '0x40000' },
          ],
          capabilities: [
            { id: 0x01, offset: 0xc8 },
            { id: 0x05, offset: 0xd0 },
            { id: 0x10, offset: 0xe0 },
            { id: 0x11, offset: 0xa0 },
            { id: 0x03, offset: 0xb0 },
          ],
          extended: [
            { id: 0x0001, offset: 0x100 },
            { id: 0x0003, offset: 0x140 },
          ],
        },
        {
          address: '0000:00:01.0',
          vendor: 0x144d,
          device: 0xa808,
          msixEntries: 201,
          bars: [{ index: 0, kind: 'M', base: '0xfe000000', size: '0x4000' }],
        },
      ],
    },
  ]);
  const vectors = run.all('msix').map((line) => line['vectors'] as number[]);
  expect(vectors.map(({ length }) => length)).toEqual([5, 128]);
  expect(new Set(vectors.flat()).size).toBe(133);
  expect(vectors.flat().every((pirq) => pirq > 0)).toBe(true);
  expect(run.all('load')).toMatchObject([{ lost: 0, wrong: 0, disturbed: 0 }]);
  expect(run.all('closed')).toEqual([{ event: 'closed', followed: true }]);
  // A guest that does only what every guest does is denied nothing.
  expect(host.reported.filter(({ type }) => type === 'register.denied')).toEqual([]);
});

test('nothing that a foreign front-end misbehaves with gets through, and it is served as before', async () => {
  const { host, run } = await attached(['misbehave', 'load=0.2', 'close']);
  await using _ = host;
  expect(await run.ended).toBe(0);
  expect(run.all('attempt').length).toBeGreaterThan(100);
  expect(run.all('attempt').filter(({ held }) => held !== true)).toEqual([]);
  expect(run.all('end')).toMatchObject([{ ok: true, lost: 0, disturbed: 0 }]);
});

test('an orderly end of the daemon closes the front-end', async () => {
  const { host, run } = await attached(['hold']);
  await using _ = host;
  await run.until('connected');
  expect(await host.stop()).toBe(0);
  expect(await run.ended).toBe(0);
  expect(run.all('state').at(-1)).toEqual({ event: 'state', state: 6 });
});
