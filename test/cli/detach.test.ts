import { beforeEach, describe, expect, it } from 'vitest';
import { failureLine } from '../../src/cli/failure.ts';
import { backendPath, frontendPath, XenbusState } from '../../src/xenbus/index.ts';
import { followChange } from '../toolstack/loopback.ts';
import { Host } from './host.ts';
import { run, runHere } from './run.ts';

const [backend, frontend] = [backendPath(5), frontendPath(5)];
let host: Host;
beforeEach(async () => {
  host = await Host.start();
  const played = host.backend(5);
  await Promise.all([runHere(['attach', '5', '03:00.*', '04:00.0'], host.env), played.start()]);
  await host.loopback.setState(frontend, XenbusState.Initialised);
  await played.connect();
  await host.loopback.setState(frontend, XenbusState.Connected);
});

const detach = (...words: string[]): Promise<string> => runHere(['detach', ...words], host.env);
const follow = (): Promise<unknown> =>
  Promise.all([followChange(host.loopback, 5), host.backend(5).reconfigure()]);

describe('detach', () => {
  it('says what was detached', async () => {
    const [result] = await Promise.all([run(['detach', '5', '03:00.0'], host.env), follow()]);
    expect(result).toEqual({
      code: 0,
      signal: null,
      stdout: '0000:03:00.0 detached from domain 5\n',
      stderr: '',
    });
    expect(await host.loopback.store.read(`${backend}/num_devs`)).toBe('2');
  });

  it('tells programs the same as JSON', async () => {
    const [printed] = await Promise.all([run(['detach', '5', '03:00.0', '--json'], host.env), follow()]);
    expect(JSON.parse(printed.stdout)).toEqual({
      domid: 5,
      outcome: 'completed',
      functions: ['0000:03:00.0'],
    });
  });

  it('takes all that the guest has of a slot, each once', async () => {
    const [printed] = await Promise.all([detach('5', '03:00.*', '03:00.1', 'pci_0000_04_00_0'), follow()]);
    expect(printed.split('\n')).toHaveLength(3);
    expect(await host.loopback.store.read(backend)).toBeUndefined();
  });

  it('is over only when the daemon has the function back', async () => {
    const waiting = { sbdf: '0000:03:00.0', state: 'reset', resettingSince: null, owner: 5, reason: null };
    host.functions = [waiting];
    const detached = Promise.all([detach('5', '03:00.0'), follow()]);
    await host.loopback.awaitValue(`${backend}/num_devs`, '2');
    let over = false;
    void detached.then(() => (over = true));
    const looks = host.looks;
    await expect.poll(() => host.looks).toBeGreaterThan(looks + 2);
    expect(over).toBe(false);
    host.functions = [{ ...waiting, state: 'hidden', owner: null }];
    expect((await detached)[0]).toBe('0000:03:00.0 detached from domain 5');
  });
});

describe('a detach that cannot be', () => {
  it.each([
    [
      ['5', '05:00.0'],
      'NOT-ATTACHED: the domain does not have 0000:05:00.0; the functions it has: 0000:03:00.0, 0000:03:00.1, 0000:04:00.0',
    ],
    [
      ['5', '03:00.0', '09:00.0'],
      'NO-SUCH-FUNCTION: no function has the address 0000:09:00.0; near it there are 0000:06:00.0, 0000:05:00.0, 0000:04:00.0; pciback list shows all',
    ],
    [['6', '03:00.0'], 'NOT-ATTACHED: the domain does not have 0000:03:00.0; the functions it has: none'],
    [['7', '03:00.0'], 'NO-SUCH-DOMAIN: there is no domain 7; guests here: 5, 6'],
  ])('%j: %s', async (words, line) => {
    const error: unknown = await detach(...words).catch((each: unknown) => each);
    expect(failureLine(error)).toBe(`pciback: ${line}`);
    expect(await host.loopback.readState(backend)).toBe(XenbusState.Connected);
  });

  it('says whom it has waited for in vain', async () => {
    await expect(detach('5', '03:00.0', '--timeout', '0.2')).rejects.toMatchObject({
      reason: 'TIMED-OUT',
      message:
        'detach from domain 5: waited in vain for the front-end: the front-end does not follow the change',
    });
  });

  it('says that the guest closed its device instead', async () => {
    const detached = detach('5', '03:00.0').catch((error: unknown) => error);
    await host.loopback.awaitValue(`${backend}/state`, '7');
    await host.loopback.setState(frontend, XenbusState.Closing);
    expect(await detached).toMatchObject({ reason: 'REFUSED-BY-GUEST' });
  });
});
