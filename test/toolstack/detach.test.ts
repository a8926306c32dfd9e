import { beforeEach, describe, expect, it } from 'vitest';
import { makeSbdf } from '../../src/address.ts';
import { attach } from '../../src/toolstack/attach.ts';
import { detach } from '../../src/toolstack/detach.ts';
import { defaultPciOptions } from '../../src/toolstack/pci-options.ts';
import { backendPath, frontendPath, XenbusState } from '../../src/xenbus/index.ts';
import { patience } from '../bounds.ts';
import { followChange, Loopback, PlayedBackend } from './loopback.ts';

const domid = 5;
const [backend, frontend] = [backendPath(domid), frontendPath(domid)];
const { Initialised, Connected, Closing, Closed } = XenbusState;
const [a, b, c] = [makeSbdf(0, 3, 0, 0), makeSbdf(0, 4, 0, 1), makeSbdf(0, 5, 0, 0)];
const patient = { timeoutMs: patience };
const impatient = { timeoutMs: 200 };

let loopback: Loopback;
let played: PlayedBackend;

beforeEach(async () => {
  loopback = await Loopback.start();
  played = new PlayedBackend(loopback, domid);
  await loopback.createDomain(domid);
  const functions = [
    { sbdf: a, devfn: 0, options: defaultPciOptions },
    { sbdf: b, devfn: 0x28, options: { ...defaultPciOptions, permissive: true }, name: 'disk0' },
    { sbdf: c, devfn: 0, options: defaultPciOptions },
  ];
  await Promise.all([attach(loopback.store, domid, functions, patient), played.start()]);
});

async function connect(): Promise<void> {
  await loopback.setState(frontend, Initialised);
  await played.connect();
  await loopback.setState(frontend, Connected);
}

/** The numbered keys. */
const entries = async (): Promise<readonly string[]> =>
  (await loopback.list(backend)).filter((line) => /^[a-z]+-\d/.test(line) || line.startsWith('num_devs'));
const claims = (): Promise<string[] | undefined> => loopback.store.directory('/libxl/pci');

async function nothingLeft(): Promise<void> {
  expect(await loopback.store.read('/local/domain/0/backend/pci/5')).toBeUndefined();
  expect(await loopback.store.read('/local/domain/5/device/pci')).toBeUndefined();
  expect(await claims()).toEqual([]);
}

describe('a function of a running guest', () => {
  beforeEach(connect);

  it('is taken off the list when the guest has let it go, and those behind it move down', async () => {
    const detached = detach(loopback.store, domid, [a], patient);
    await loopback.awaitValue(`${backend}/state-0`, '5');
    await Promise.all([followChange(loopback, domid), played.reconfigure()]);
    expect(await detached).toEqual({ outcome: 'completed' });
    expect(await entries()).toEqual([
      'dev-0 = "0000:04:00.1" (n0,r5)',
      'dev-1 = "0000:05:00.0" (n0,r5)',
      'key-0 = "0000:04:00.1" (n0,r5)',
      'key-1 = "0000:05:00.0" (n0,r5)',
      'name-0 = "disk0" (n0,r5)',
      'num_devs = "2" (n0,r5)',
      'opts-0 = "msitranslate=0,power_mgmt=0,permissive=1,rdm_policy=strict" (n0,r5)',
      'opts-1 = "msitranslate=0,power_mgmt=0,permissive=0,rdm_policy=strict" (n0,r5)',
      'state-0 = "3" (n0,r5)',
      'state-1 = "3" (n0,r5)',
      'vdev-0 = "0000:00:02.00" (n0,r5)',
      'vdev-1 = "0000:00:03.00" (n0,r5)',
      'vdevfn-0 = "28" (n0,r5)',
    ]);
    expect(await claims()).toEqual(['0000-04-00-1', '0000-05-00-0']);
  });

  it('goes together with another from a single handshake', async () => {
    const detached = detach(loopback.store, domid, [a, c], patient);
    await Promise.all([followChange(loopback, domid), played.reconfigure()]);
    expect(await detached).toEqual({ outcome: 'completed' });
    expect((await entries()).filter((line) => line.startsWith('dev-'))).toEqual([
      'dev-0 = "0000:04:00.1" (n0,r5)',
    ]);
  });

  it('is the last one: both directories go', async () => {
    const detached = detach(loopback.store, domid, [a, b, c], patient);
    await Promise.all([followChange(loopback, domid), played.reconfigure()]);
    expect(await detached).toEqual({ outcome: 'completed' });
    await nothingLeft();
  });

  it('stays listed as leaving when the guest does not answer, and goes with the next attempt', async () => {
    expect(await detach(loopback.store, domid, [a], impatient)).toEqual({
      outcome: 'timed out',
      waitingFor: 'front-end',
      why: 'the front-end does not follow the change',
    });
    expect(await loopback.store.read(`${backend}/state-0`)).toBe('5');
    expect(await claims()).toHaveLength(3);
    await Promise.all([followChange(loopback, domid), played.reconfigure()]);
    const again = detach(loopback.store, domid, [a], patient);
    await Promise.all([followChange(loopback, domid), played.reconfigure()]);
    expect(await again).toEqual({ outcome: 'completed' });
    expect(await claims()).toHaveLength(2);
  });

  it('is not given back by a guest that closes its device instead', async () => {
    const detached = detach(loopback.store, domid, [a], patient);
    await loopback.awaitValue(`${backend}/state-0`, '5');
    await loopback.setState(frontend, Closing);
    expect(await detached).toMatchObject({ outcome: 'refused', by: 'front-end' });
    expect(await claims()).toHaveLength(3);
  });

  it('goes when the guest closes its device and nothing else is in it', async () => {
    const detached = detach(loopback.store, domid, [a, b, c], patient);
    await loopback.awaitValue(`${backend}/state-0`, '5');
    await loopback.setState(frontend, Closing);
    await loopback.setState(backend, Closing);
    await loopback.setState(frontend, Closed);
    await loopback.setState(backend, Closed);
    expect(await detached).toEqual({ outcome: 'completed' });
    await nothingLeft();
  });

  it('goes when the guest disappears', async () => {
    const detached = detach(loopback.store, domid, [b], patient);
    await loopback.awaitValue(`${backend}/state-1`, '5');
    await loopback.store.rm(frontend);
    expect(await detached).toEqual({ outcome: 'completed' });
    expect(await claims()).toEqual(['0000-03-00-0', '0000-05-00-0']);
  });

  it('is waited for while another change is under way', async () => {
    await loopback.setState(backend, XenbusState.Reconfiguring);
    const detached = detach(loopback.store, domid, [a], patient);
    await Promise.all([followChange(loopback, domid), played.reconfigure()]);
    await loopback.awaitValue(`${backend}/state-0`, '5');
    await Promise.all([followChange(loopback, domid), played.reconfigure()]);
    expect(await detached).toEqual({ outcome: 'completed' });
  });
});

describe('a function of a guest that is not up', () => {
  it('is taken back by the back-end alone', async () => {
    const detached = detach(loopback.store, domid, [b], patient);
    await loopback.awaitValue(`${backend}/state-1`, '5');
    expect(await loopback.readState(backend)).toBe(Initialised);
    await played.scan();
    expect(await detached).toEqual({ outcome: 'completed' });
    expect((await entries()).filter((line) => line.startsWith('dev-'))).toEqual([
      'dev-0 = "0000:03:00.0" (n0,r5)',
      'dev-1 = "0000:05:00.0" (n0,r5)',
    ]);
  });

  it('says when the back-end does not do that', async () => {
    expect(await detach(loopback.store, domid, [b], impatient)).toMatchObject({
      outcome: 'timed out',
      waitingFor: 'back-end',
    });
  });

  it.each([Initialised, Closing, Closed])(
    'is the last one in state %i: both directories go at once',
    async (state) => {
      await loopback.setState(backend, state);
      expect(await detach(loopback.store, domid, [c, b, a], patient)).toEqual({ outcome: 'completed' });
      await nothingLeft();
    },
  );

  it('goes at once when the guest is no more', async () => {
    await loopback.setState(backend, Closed);
    await loopback.store.rm(frontend);
    expect(await detach(loopback.store, domid, [a], patient)).toEqual({ outcome: 'completed' });
    expect(await claims()).toEqual(['0000-04-00-1', '0000-05-00-0']);
  });
});

describe('a function that the guest does not have', () => {
  const stranger = makeSbdf(0, 9, 0, 0);

  it('is told, with those it has, and nothing is changed', async () => {
    const before = await entries();
    await expect(detach(loopback.store, domid, [a, stranger], patient)).rejects.toMatchObject({
      reason: 'NOT-ATTACHED',
      message: 'the domain does not have 0000:09:00.0',
      remedy: 'the functions it has: 0000:03:00.0, 0000:04:00.1, 0000:05:00.0',
    });
    expect(await entries()).toEqual(before);
  });

  it('is told of a domain that has none', async () => {
    await expect(detach(loopback.store, 8, [a], patient)).rejects.toMatchObject({
      reason: 'NOT-ATTACHED',
      remedy: 'the functions it has: none',
    });
  });
});
