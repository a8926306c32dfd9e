import { afterAll, beforeAll, expect, test } from 'vitest';
import { createDomain } from '../../src/xpci/index.ts';
import { networkAdapter } from '../xpci/fake-host.ts';
import { TinyBackend } from '../xpci/tiny-backend.ts';
import { buildForeign, ForeignRun, type ForeignProgram } from './program.ts';

let program: ForeignProgram;
beforeAll(async () => {
  program = await buildForeign();
});
afterAll(() => program[Symbol.asyncDispose]());

async function start(steps: readonly string[]) {
  const backend = await TinyBackend.start();
  backend.host.add(0, 0, networkAdapter());
  await createDomain(backend.directory, 5);
  const run = new ForeignRun(program, backend.directory, 5, steps);
  await backend.offer(5);
  await run.until('connected');
  return { backend, run };
}

test('it connects, scans, sizes and enables MSI-X against a back-end of a few lines', async () => {
  const { backend, run } = await start(['scan', 'msix', 'msixoff', 'load=0.2', 'close']);
  await using _ = backend;
  await run.until('load');
  await backend.frontEndState(5, '5');
  await backend.setState(5, 5);
  await backend.frontEndState(5, '6');
  await backend.setState(5, 6);
  expect(await run.ended).toBe(0);
  expect(run.all('scan')).toMatchObject([
    {
      functions: [
        {
          address: '0000:00:00.0',
          vendor: 0x8086,
          device: 0x10d3,
          class: 0x02_0000,
          bars: [
            { index: 0, kind: 'm', base: '0xfeb80000', size: '0x20000' },
            { index: 1, kind: 'M', base: '0x1c0000000', size: '0x4000' },
            { index: 3, kind: 'i', base: '0xe000', size: '0x20' },
            { index: 6, kind: 'r', base: '0xfeb40000', size: '0x40000' },
          ],
          capabilities: [{ id: 1 }, { id: 5 }, { id: 16 }, { id: 17 }, { id: 3 }],
          extended: [
            { id: 1, offset: 0x100 },
            { id: 3, offset: 0x140 },
          ],
        },
      ],
    },
  ]);
  expect(run.all('msix')).toMatchObject([{ enabled: true, vectors: [0x37, 0x38, 0x39, 0x3a, 0x3b] }]);
  expect(run.all('load')).toMatchObject([{ lost: 0, wrong: 0, disturbed: 0 }]);
  expect(run.all('closed')).toEqual([{ event: 'closed', followed: true }]);
});

test('it takes part in hot-unplug', async () => {
  const { backend, run } = await start(['load=30']);
  await using _ = backend;
  await backend.store.transaction(async (transaction) => {
    await transaction.write('/local/domain/0/backend/pci/5/0/state-0', '5');
    await transaction.write('/local/domain/0/backend/pci/5/0/state', '7');
  });
  await backend.frontEndState(5, '7');
  expect(await run.until('removed')).toEqual({ event: 'removed', address: '0000:00:00.0' });
  await backend.setState(5, 8);
  await backend.frontEndState(5, '4');
  run.kill();
  expect(await run.ended).toBe(0);
});

test('it notices a back-end that lets things through', async () => {
  const { backend, run } = await start(['misbehave']);
  await using _ = backend;
  expect(await run.ended).toBe(1);
  const breached = run.all('attempt').filter(({ held }) => held === false);
  expect(new Set(breached.map(({ name }) => name))).toEqual(
    new Set([
      'one entry twice',
      'entry 0xffff',
      'identity',
      'class',
      'interrupt line',
      'relocate a BAR',
      'MSI address',
      'MSI enable',
      'MSI enable, as half of a dword',
      'MSI-X enable',
      'MSI-X table',
      'VPD write',
      'extended capability',
    ]),
  );
});
