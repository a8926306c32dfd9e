/** What happens to a guest and its functions between being attached and being gone, seen from a foreign front-end. */
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createDomain, destroyDomain } from '../../src/xpci/index.ts';
import { longest } from '../bounds.ts';
import { LoopbackHost } from './daemon.ts';
import { buildForeign, ForeignRun, type ForeignProgram } from './program.ts';

let program: ForeignProgram;
beforeAll(async () => {
  program = await buildForeign();
});
afterAll(() => program[Symbol.asyncDispose]());

const adapter = '0000:03:00.0';
const storage = '0000:04:00.0';
const hide = `(${adapter})(${storage})`;

/** A front-end that waits this long notices no more of a restart than a pause, however slow the machine is. */
const patient = longest;

test('a guest is served by the daemon that follows one that was killed, and no request is lost', async () => {
  await using host = await LoopbackHost.make();
  await host.serve(hide);
  await createDomain(host.directory, 7);
  await host.pciback('attach', '7', adapter, storage);
  const run = new ForeignRun(
    program,
    host.directory,
    7,
    ['msix', 'load=60', 'msixoff', 'msix', 'close'],
    patient,
  );
  await run.until('progress');
  expect(await host.stop('SIGKILL')).toBe('SIGKILL');
  await host.serve(hide);
  const before = run.all('progress').length;
  await expect.poll(() => run.all('progress').length).toBeGreaterThan(before + 1);
  run.kill();
  expect(await run.ended).toBe(0);
  expect(run.all('load')).toMatchObject([{ lost: 0, wrong: 0, disturbed: 0 }]);
  // The vectors were remembered: the successor gave them back, and could hand out new ones.
  expect(run.all('msix').map(({ enabled }) => enabled)).toEqual([true, true, true, true]);
  expect(run.all('closed')).toEqual([{ event: 'closed', followed: true }]);
});

test('functions come and go while the guest runs', async () => {
  await using host = await LoopbackHost.make();
  await host.serve(hide);
  await createDomain(host.directory, 7);
  await host.pciback('attach', '7', adapter);
  const run = new ForeignRun(program, host.directory, 7, ['load=60', 'scan', 'close'], patient);
  await run.until('connected');
  await host.pciback('attach', '7', storage);
  await host.pciback('detach', '7', adapter);
  expect(await run.until('added')).toMatchObject({ functions: 1 });
  expect(await run.until('removed')).toMatchObject({ address: '0000:00:00.0' });
  run.kill();
  expect(await run.ended).toBe(0);
  expect(run.all('load')).toMatchObject([{ lost: 0, wrong: 0 }]);
  expect(run.all('scan')).toMatchObject([{ functions: [{ address: '0000:00:01.0', device: 0xa808 }] }]);
});

test('a function goes from a domain that was destroyed to another, and an orderly end leaves nothing behind', async () => {
  await using host = await LoopbackHost.make();
  await host.serve(hide);
  await createDomain(host.directory, 7);
  await host.pciback('attach', '7', adapter);
  const first = new ForeignRun(program, host.directory, 7, ['msix', 'hold']);
  await first.until('msix');
  first.kill('SIGKILL');
  await first.ended;
  await destroyDomain(host.directory, 7);
  await host.until(({ type, domid, to }) => type === 'guest.state' && domid === 7 && to === 'released');

  await createDomain(host.directory, 8);
  await host.pciback('attach', '8', adapter);
  const second = new ForeignRun(program, host.directory, 8, ['scan', 'msix', 'load=0.3', 'close']);
  expect(await second.ended).toBe(0);
  expect(second.all('scan')).toMatchObject([{ functions: [{ device: 0x10d3 }] }]);
  await destroyDomain(host.directory, 8);
  await host.until(({ type, domid, to }) => type === 'guest.state' && domid === 8 && to === 'released');

  expect(await host.stop()).toBe(0);
  const left = (name: string): string[] => readdirSync(join(host.directory, name));
  expect(left('dom')).toEqual(['0']);
  expect(left('gnt')).toEqual([]);
  expect(left('evt')).toEqual(['0']);
  expect(left('evt/0')).toEqual([]);
  expect(existsSync(join(host.directory, 'xenstored/socket'))).toBe(false);
});
