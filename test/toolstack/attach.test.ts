import { beforeEach, describe, expect, it } from 'vitest';
import { makeSbdf } from '../../src/address.ts';
import { attach } from '../../src/toolstack/attach.ts';
import type { FunctionToAttach } from '../../src/toolstack/device-entries.ts';
import { defaultPciOptions } from '../../src/toolstack/pci-options.ts';
import {
  backendPath,
  errorPath,
  errorReasonPath,
  errorRemedyPath,
  frontendPath,
  XenbusState,
} from '../../src/xenbus/index.ts';
import { impatience, patience } from '../bounds.ts';
import { followChange, Loopback, PlayedBackend } from './loopback.ts';

const domid = 5;
const [backend, frontend] = [backendPath(domid), frontendPath(domid)];
const { InitWait, Initialised, Connected, Closing, Closed } = XenbusState;

const nic: FunctionToAttach = { sbdf: makeSbdf(0, 3, 0, 0), devfn: 0, options: defaultPciOptions };
const nvme: FunctionToAttach = {
  sbdf: makeSbdf(0, 4, 0, 1),
  devfn: 0x28,
  options: { ...defaultPciOptions, permissive: true },
  name: 'disk0',
};
/** Long enough for anything that happens at all. */
const patient = { timeoutMs: patience };
/** For what never happens. */
const impatient = { timeoutMs: 200 };

let loopback: Loopback;
let played: PlayedBackend;
beforeEach(async () => {
  loopback = await Loopback.start();
  played = new PlayedBackend(loopback, domid);
  await loopback.createDomain(domid);
});

const keysOf = async (path: string): Promise<string[]> => [...(await loopback.list(path))];
const claims = (): Promise<string[]> => keysOf('/libxl/pci');

const introduced = (id: number): Promise<void> =>
  expect.poll(() => loopback.store.isIntroduced(id)).toBe(true);

/** The functions are attached and both ends connected, as in a guest that runs. */
async function startGuest(...functions: readonly FunctionToAttach[]): Promise<void> {
  await Promise.all([attach(loopback.store, domid, functions, patient), played.start()]);
  await loopback.setState(frontend, Initialised);
  await played.connect();
  await loopback.setState(frontend, Connected);
}

describe('the first function of a guest', () => {
  it('begins where the back-end of a kernel looks away, if that is asked for', async () => {
    const attached = attach(loopback.store, domid, [nic], { timeoutMs: impatience, unseenByKernel: true });
    await expect.poll(() => loopback.store.read(`${backend}/state`)).toBe(String(InitWait));
    expect(await attached).toMatchObject({ outcome: 'timed out' });
  });

  it('makes both directories as libxl does, and is attached when it is exported', async () => {
    const [result] = await Promise.all([attach(loopback.store, domid, [nic], patient), played.start()]);
    expect(result).toEqual({
      outcome: 'completed',
      functions: [{ sbdf: nic.sbdf, vdev: makeSbdf(0, 0, 1, 0) }],
    });
    expect(await keysOf(backend)).toEqual([
      'dev-0 = "0000:03:00.0" (n0,r5)',
      'domain = "Domain-5" (n0,r5)',
      'frontend = "/local/domain/5/device/pci/0" (n0,r5)',
      'frontend-id = "5" (n0,r5)',
      'key-0 = "0000:03:00.0" (n0,r5)',
      'num_devs = "1" (n0,r5)',
      'online = "1" (n0,r5)',
      'opts-0 = "msitranslate=0,power_mgmt=0,permissive=0,rdm_policy=strict" (n0,r5)',
      'state = "3" (n0,r5)',
      'state-0 = "3" (n0,r5)',
      'vdev-0 = "0000:00:01.00" (n0,r5)',
    ]);
    expect(await keysOf(frontend)).toEqual([
      'backend = "/local/domain/0/backend/pci/5/0" (n5,r0)',
      'backend-id = "0" (n5,r0)',
      'state = "1" (n5,r0)',
    ]);
    expect(await loopback.store.getPerms('/local/domain/5')).toEqual(['n0', 'r5']);
    expect(await loopback.store.getPerms(backend)).toEqual(['n0', 'r5']);
    expect(await loopback.store.getPerms(frontend)).toEqual(['n5', 'r0']);
    expect(await claims()).toEqual(['0000-03-00-0 = "" (n0)', '0000-03-00-0/domid = "5" (n0)']);
  });

  it('goes by the name and the home that the domain has already', async () => {
    await loopback.store.write('/local/domain/5/name', 'web');
    await Promise.all([attach(loopback.store, domid, [nic], patient), played.start()]);
    expect(await loopback.store.read(`${backend}/domain`)).toBe('web');
    expect(await loopback.store.getPerms('/local/domain/5')).toEqual(['n0']);
  });

  it('waits for a domain that xenstored has not been told of yet', async () => {
    const late = backendPath(6);
    const attached = attach(loopback.store, 6, [nic], patient);
    await loopback.createDomain(6);
    await Promise.all([new PlayedBackend(loopback, 6).start(), attached]);
    expect(await loopback.store.read(`${late}/frontend-id`)).toBe('6');
  });

  it('is refused when xenstored is never told of the domain', async () => {
    await expect(attach(loopback.store, 7, [nic], impatient)).rejects.toMatchObject({
      reason: 'NO-SUCH-DOMAIN',
    });
    expect(await claims()).toEqual([]);
  });

  it('comes together with others, which are numbered in order', async () => {
    await Promise.all([attach(loopback.store, domid, [nic, nvme], patient), played.start()]);
    const keys = await keysOf(backend);
    expect(keys.filter((line) => / = .*\(n0,r5\)$/.test(line) && /^[a-z]+-1 /.test(line))).toEqual([
      'dev-1 = "0000:04:00.1" (n0,r5)',
      'key-1 = "0000:04:00.1" (n0,r5)',
      'name-1 = "disk0" (n0,r5)',
      'opts-1 = "msitranslate=0,power_mgmt=0,permissive=1,rdm_policy=strict" (n0,r5)',
      'state-1 = "3" (n0,r5)',
      'vdev-1 = "0000:00:02.00" (n0,r5)',
      'vdevfn-1 = "28" (n0,r5)',
    ]);
    expect(keys).toContain('num_devs = "2" (n0,r5)');
  });

  it('replaces what an earlier attempt has left half made', async () => {
    await loopback.store.write(`${backend}/rubbish`, 'x');
    await loopback.store.write(`${frontend}/pci-op-ref`, '8');
    await Promise.all([attach(loopback.store, domid, [nic], patient), played.start()]);
    expect(await loopback.store.read(`${backend}/rubbish`)).toBeUndefined();
    expect(await loopback.store.read(`${frontend}/pci-op-ref`)).toBeUndefined();
  });
});

describe('one more function', () => {
  it('is added without a handshake while the guest starts', async () => {
    await Promise.all([attach(loopback.store, domid, [nic], patient), played.start()]);
    const added = attach(loopback.store, domid, [nvme], patient);
    await loopback.awaitValue(`${backend}/num_devs`, '2');
    expect(await loopback.readState(backend)).toBe(Initialised);
    await played.scan();
    expect(await added).toMatchObject({ outcome: 'completed' });
  });

  it('is added with a handshake while the guest runs', async () => {
    await startGuest(nic);
    const added = attach(loopback.store, domid, [nvme], patient);
    await Promise.all([followChange(loopback, domid), played.reconfigure()]);
    expect(await added).toEqual({
      outcome: 'completed',
      functions: [{ sbdf: nvme.sbdf, vdev: makeSbdf(0, 0, 2, 0) }],
    });
    expect(await loopback.readState(backend)).toBe(Connected);
    expect(await loopback.store.read(`${backend}/state-1`)).toBe('3');
  });

  it('waits until a guest that is just connecting has done so', async () => {
    await Promise.all([attach(loopback.store, domid, [nic], patient), played.start()]);
    await loopback.setState(frontend, Initialised);
    await played.connect();
    const added = attach(loopback.store, domid, [nvme], patient);
    await loopback.awaitValue(`${backend}/num_devs`, '1');
    await loopback.setState(frontend, Connected);
    await Promise.all([followChange(loopback, domid), played.reconfigure()]);
    expect(await added).toMatchObject({ outcome: 'completed' });
  });

  it('is added to a domain whose predecessor has left its directory behind', async () => {
    await startGuest(nic);
    await loopback.setState(backend, Closed);
    await loopback.store.rm(frontend);
    await Promise.all([attach(loopback.store, domid, [nvme], patient), played.start()]);
    expect(await loopback.store.read(`${backend}/dev-0`)).toBe('0000:04:00.1');
    expect(await claims()).toEqual(['0000-04-00-1 = "" (n0)', '0000-04-00-1/domid = "5" (n0)']);
  });
});

describe('a function that has been given away', () => {
  it.each([5, 9])('to domain %i is not given again, and nothing is changed', async (owner) => {
    await loopback.createDomain(9);
    await introduced(9);
    await loopback.store.write('/libxl/pci/0000-03-00-0/domid', String(owner));
    await expect(attach(loopback.store, domid, [nvme, nic], patient)).rejects.toMatchObject({
      reason: 'FUNCTION-IN-USE',
      message: `0000:03:00.0 belongs to domain ${owner}`,
      remedy: `take it back first: pciback detach ${owner} 0000:03:00.0`,
    });
    expect(await loopback.store.directory('/libxl/pci')).toEqual(['0000-03-00-0']);
    expect(await loopback.store.read(backend)).toBeUndefined();
  });

  it('to a domain that is gone can be given again', async () => {
    await loopback.store.write('/libxl/pci/0000-03-00-0/domid', '9');
    const [result] = await Promise.all([attach(loopback.store, domid, [nic], patient), played.start()]);
    expect(result).toMatchObject({ outcome: 'completed' });
    expect(await loopback.store.read('/libxl/pci/0000-03-00-0/domid')).toBe('5');
  });

  it('stays with whom it was given to when somebody else asks while it is being exported', async () => {
    const first = attach(loopback.store, domid, [nic], patient);
    await loopback.awaitValue(`${backend}/num_devs`, '1');
    await expect(attach(loopback.store, domid, [nic], patient)).rejects.toMatchObject({
      reason: 'FUNCTION-IN-USE',
    });
    await played.start();
    expect(await first).toMatchObject({ outcome: 'completed' });
  });

  it('goes to one of two who ask at the same time', async () => {
    await loopback.createDomain(6);
    await introduced(6);
    const results = await Promise.all(
      [5, 6].map((each) =>
        attach(loopback.store, each, [nic], impatient).then(
          ({ outcome }) => outcome,
          (error: unknown) => (error as { reason?: string }).reason,
        ),
      ),
    );
    expect(new Set(results)).toEqual(new Set(['FUNCTION-IN-USE', 'timed out']));
  });
});

describe('an attach that comes to nothing', () => {
  const nothingLeft = async (): Promise<void> => {
    expect(await loopback.store.read(backend)).toBeUndefined();
    expect(await loopback.store.read(frontend)).toBeUndefined();
    expect(await claims()).toEqual([]);
  };

  it('says that no back-end serves, and leaves nothing', async () => {
    expect(await attach(loopback.store, domid, [nic], impatient)).toMatchObject({
      outcome: 'timed out',
      waitingFor: 'back-end',
      why: expect.stringContaining('is pciback serve running?') as string,
    });
    await nothingLeft();
  });

  it('says that the front-end does not follow, and takes the function off the list', async () => {
    await startGuest(nic);
    expect(await attach(loopback.store, domid, [nvme], impatient)).toMatchObject({
      outcome: 'timed out',
      waitingFor: 'front-end',
      why: 'the front-end does not follow the change',
    });
    expect(await loopback.store.read(`${backend}/num_devs`)).toBe('1');
    expect(await loopback.store.read(`${backend}/dev-1`)).toBeUndefined();
    expect(await claims()).toEqual(['0000-03-00-0 = "" (n0)', '0000-03-00-0/domid = "5" (n0)']);
  });

  it('keeps a function that the guest may have begun to use', async () => {
    await startGuest(nic);
    const added = attach(loopback.store, domid, [nvme], { timeoutMs: impatience });
    await loopback.awaitValue(`${backend}/state`, '7');
    await loopback.setState(frontend, XenbusState.Reconfiguring);
    await played.scan();
    await loopback.setState(backend, XenbusState.Reconfigured);
    expect(await added).toMatchObject({ outcome: 'timed out', waitingFor: 'front-end' });
    expect(await loopback.store.read(`${backend}/num_devs`)).toBe('2');
    expect(await loopback.store.directory('/libxl/pci')).toEqual(['0000-03-00-0', '0000-04-00-1']);
  });

  it('says why the back-end failed before the guest was up', async () => {
    const attached = attach(loopback.store, domid, [nic, nvme], patient);
    await loopback.awaitValue(`${backend}/num_devs`, '2');
    await loopback.setState(backend, InitWait);
    await loopback.store.write(`${backend}/state-0`, '3');
    await loopback.store.write(errorPath(domid), '22 0000:04:00.1 is a bridge');
    await loopback.setState(backend, Closing);
    expect(await attached).toMatchObject({
      outcome: 'refused',
      by: 'back-end',
      why: 'it has given the guest up: 0000:04:00.1 is a bridge',
    });
    await nothingLeft();
  });

  it('passes on the reason and the remedy of the back-end', async () => {
    const attached = attach(loopback.store, domid, [nic], patient);
    await loopback.awaitValue(`${backend}/num_devs`, '1');
    await loopback.store.write(errorReasonPath(domid), 'NO-SLOT');
    await loopback.store.write(errorRemedyPath(domid), 'detach a function of this guest first');
    await loopback.store.write(errorPath(domid), '12 no slot is left');
    await loopback.setState(backend, Closing);
    expect(await attached).toMatchObject({
      outcome: 'refused',
      why: 'it has given the guest up: no slot is left',
      reason: 'NO-SLOT',
      remedy: 'detach a function of this guest first',
    });
  });

  it('does not blame what went wrong at another time', async () => {
    await loopback.store.write(errorReasonPath(domid), 'BRIDGE');
    await loopback.store.write(errorRemedyPath(domid), 'do something else');
    await loopback.store.write(errorPath(domid), '22 something else');
    const attached = attach(loopback.store, domid, [nic], patient);
    await loopback.awaitValue(`${backend}/num_devs`, '1');
    await loopback.setState(backend, Closing);
    expect(await attached).toEqual({
      outcome: 'refused',
      by: 'back-end',
      why: 'it has given the guest up',
      functions: [{ sbdf: nic.sbdf, vdev: undefined }],
    });
  });

  it('names the function that the back-end could not add, and takes only that off the list', async () => {
    await startGuest(nic);
    played.refuses.add('0000:04:00.1');
    const added = attach(loopback.store, domid, [nvme], patient);
    await Promise.all([followChange(loopback, domid), played.reconfigure()]);
    expect(await added).toMatchObject({
      outcome: 'refused',
      by: 'back-end',
      why: 'it could not export 0000:04:00.1',
    });
    expect(await loopback.store.read(`${backend}/num_devs`)).toBe('1');
    expect(await loopback.store.directory('/libxl/pci')).toEqual(['0000-03-00-0']);
  });

  it('says that the guest closed its device instead', async () => {
    await startGuest(nic);
    const added = attach(loopback.store, domid, [nvme], patient);
    await loopback.awaitValue(`${backend}/state`, '7');
    await loopback.setState(frontend, Closing);
    expect(await added).toMatchObject({ outcome: 'refused', by: 'front-end' });
    expect(await loopback.store.directory('/libxl/pci')).toEqual(['0000-03-00-0']);
  });

  it('is undone when it is interrupted', async () => {
    const interrupt = new AbortController();
    const attached = attach(loopback.store, domid, [nic], { ...patient, signal: interrupt.signal });
    await loopback.awaitValue(`${backend}/num_devs`, '1');
    interrupt.abort(new Error('interrupted'));
    await expect(attached).rejects.toThrow('interrupted');
    await nothingLeft();
  });

  it('says that the guest has closed its device when that was so before', async () => {
    await startGuest(nic);
    await loopback.setState(frontend, Closed);
    await loopback.setState(backend, Closed);
    expect(await attach(loopback.store, domid, [nvme], impatient)).toMatchObject({
      outcome: 'timed out',
      waitingFor: 'front-end',
      functions: [],
    });
    expect(await loopback.store.directory('/libxl/pci')).toEqual(['0000-03-00-0']);
  });
});
