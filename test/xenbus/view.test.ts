import { describe, expect, test } from 'vitest';
import { makeSbdf } from '../../src/address.ts';
import {
  type GuestView,
  XenbusState,
  absentView,
  askBackendView,
  backendPath,
  frontendPath,
  mostDevices,
  readBackendView,
} from '../../src/xenbus/index.ts';

const { Initialising, Initialised } = XenbusState;
const domid = 5;

/** The directory of a guest with so many functions, and what is read of it. */
function directory(functions: number, more: Readonly<Record<string, string>> = {}) {
  const keys = new Map(
    Object.entries({
      frontend: frontendPath(domid),
      'frontend-id': String(domid),
      state: '1',
      online: '1',
      domain: 'guest',
      num_devs: String(functions),
      ...more,
    }).map(([key, value]) => [`${backendPath(domid)}/${key}`, value]),
  );
  for (let index = 0; index < functions; index += 1) {
    keys.set(`${backendPath(domid)}/dev-${index}`, `0000:03:${index.toString(16).padStart(2, '0')}.0`);
    keys.set(`${backendPath(domid)}/state-${index}`, '3');
  }
  const asked: string[] = [];
  const read = async (path: string): Promise<string | undefined> => {
    asked.push(path);
    return keys.get(path);
  };
  return { read, asked };
}

const functionsOf = (view: GuestView | number) =>
  typeof view === 'number' ? view : view.devices?.map(({ sbdf, state }) => ({ sbdf, state }));
const numbered = (count: number) =>
  Array.from({ length: count }, (_, index) => ({ sbdf: makeSbdf(0, 3, index, 0), state: Initialised }));

describe('a directory asked for with a number of functions', () => {
  test('is asked for in one go', () => {
    const { read, asked } = directory(2);
    const view = askBackendView(read, domid, 2);
    expect(asked).toHaveLength(new Set(asked).size);
    expect(asked).toContain(`${backendPath(domid)}/dev-1`);
    return expect(view).resolves.toMatchObject({ present: true, state: Initialising, serial: 0 });
  });

  test('that lists more gives how many there are', async () => {
    const { read, asked } = directory(3);
    expect(await askBackendView(read, domid, 2)).toBe(3);
    expect(asked).not.toContain(`${backendPath(domid)}/dev-2`);
  });

  test.each([2, 3, 9])('that lists two, when %i are asked for, has two', async (count) => {
    expect(functionsOf(await askBackendView(directory(2).read, domid, count))).toEqual(numbered(2));
  });

  test('whose own number is none keeps what it says', async () => {
    for (const badCount of ['-1', '257', String(mostDevices + 1)]) {
      const view = await askBackendView(directory(1, { num_devs: badCount }).read, domid, 1);
      expect(view).toMatchObject({ devices: undefined, badCount });
    }
  });

  test('that is not there is absent', async () => {
    expect(await askBackendView(async () => undefined, domid, 4)).toEqual(absentView(domid));
  });
});

describe('a directory that is read', () => {
  test.each([0, 1, 2, mostDevices])('has all of its %i functions', async (count) => {
    const found = functionsOf(await readBackendView(directory(count).read, domid));
    expect(found).toHaveLength(count);
    if (count < 32) expect(found).toEqual(numbered(count));
  });

  test('is read on when another function is listed meanwhile', async () => {
    const [before, after] = [directory(2), directory(3)];
    let looks = 0;
    const read = (path: string) => {
      if (path.endsWith('/num_devs')) looks += 1;
      return (looks < 2 ? before : after).read(path);
    };
    expect(functionsOf(await readBackendView(read, domid))).toEqual(numbered(3));
  });

  test('has its front-end in its own domain, whatever it says', async () => {
    const at = async (frontend: string) =>
      (await readBackendView(directory(0, { frontend }).read, domid)).frontendPath;
    expect(await at('/local/domain/5/device/pci/1')).toBe('/local/domain/5/device/pci/1');
    expect(await at('/local/domain/50/device/pci/0')).toBe(frontendPath(domid));
  });
});
