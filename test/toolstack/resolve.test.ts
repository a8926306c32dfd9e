import { describe, expect, it } from 'vitest';
import { formatSbdf, makeSbdf, parseSbdf, type Sbdf } from '../../src/address.ts';
import { readNames, resolveSpec, type HostFunctions } from '../../src/toolstack/resolve.ts';
import { specOf } from '../../src/toolstack/spec.ts';

const present = [
  '0000:00:02.0',
  '0000:03:00.0',
  '0000:03:00.1',
  '0000:03:00.3',
  '0000:04:00.0',
  '0001:03:00.0',
];
const host: HostFunctions = {
  functions: present.map((text) => parseSbdf(text) as Sbdf),
  secondaryBus: (bridge) => (bridge === makeSbdf(0, 0, 8, 1) ? 3 : undefined),
  named: (name) => (name === 'gpu0' ? makeSbdf(0, 4, 0, 0) : undefined),
};
const resolve = (text: string): string[] =>
  resolveSpec(specOf(text), host).map(({ sbdf, devfn }) => `${formatSbdf(sbdf)} ${devfn.toString(16)}`);

describe('the functions that a specification means', () => {
  it.each([
    ['03:00.0', ['0000:03:00.0 0']],
    ['1:03:00.0', ['0001:03:00.0 0']],
    ['03:00.0@5', ['0000:03:00.0 28']],
    ['03:00.1@5', ['0000:03:00.1 28']],
    ['03:00.*', ['0000:03:00.0 0', '0000:03:00.1 0', '0000:03:00.3 0']],
    ['03:00.*@5', ['0000:03:00.0 28', '0000:03:00.1 29', '0000:03:00.3 2b']],
    ['name=gpu0', ['0000:04:00.0 0']],
    ['0000_00_08.1-00_00.1', ['0000:03:00.1 0']],
  ])('%s are %j', (text, expected) => {
    expect(resolve(text)).toEqual(expected);
  });

  it('have the options that were asked for, and the defaults for the others', () => {
    expect(resolveSpec(specOf('03:00.0,permissive=1'), host)[0]?.options).toEqual({
      permissive: true,
      msitranslate: false,
      seize: false,
      powerManagement: false,
      rdmPolicy: 'strict',
    });
  });

  it('keep the name they were asked for by', () => {
    expect(resolveSpec(specOf('name=gpu0'), host)[0]?.name).toBe('gpu0');
    expect(resolveSpec(specOf('04:00.0'), host)[0]).not.toHaveProperty('name');
  });

  it.each([
    ['03:00.2', 'no function has the address 0000:03:00.2', '0000:03:00.1, 0000:03:00.3, 0000:03:00.0'],
    ['03:01.*', 'no function has the address 0000:03:01.*', '0000:03:00.0, 0000:03:00.1, 0000:03:00.3'],
    ['05:00.0', 'no function has the address 0000:05:00.0', '0000:04:00.0'],
    ['name=gpu1', "no function is called 'gpu1'", ''],
    ['0000_00_09.0-00_00.0', 'a bridge of the path 0000_00_09.0-00_00.0 is missing', ''],
  ])('%s is none: says what is near', (text, message, near) => {
    expect(() => resolve(text)).toThrow(
      expect.objectContaining({
        reason: 'NO-SUCH-FUNCTION',
        message,
        remedy: expect.stringContaining(near) as string,
      }),
    );
  });
});

describe('names', () => {
  it('are read from where functions were hidden', async () => {
    const nodes: Record<string, string> = {
      '/libxl/pci/0000-03-00-0/name': 'nic',
      '/libxl/pci/0000-04-00-1/domid': '5',
      '/libxl/pci/rubbish/name': 'x',
    };
    const store = {
      read: (path: string) => Promise.resolve(nodes[path]),
      directory: () => Promise.resolve(['0000-03-00-0', '0000-04-00-1', 'rubbish']),
    };
    expect([...(await readNames(store))]).toEqual([['nic', makeSbdf(0, 3, 0, 0)]]);
    expect([...(await readNames({ ...store, directory: () => Promise.resolve(undefined) }))]).toEqual([]);
  });
});
