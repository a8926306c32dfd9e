import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { formatSbdf } from '../../../src/address.ts';
import { PcibackError } from '../../../src/errors.ts';
import { gather, type GatherOptions, type Services } from '../../../src/doctor/index.ts';
import type { Facts } from '../../../src/doctor/facts.ts';
import { specOf } from '../../../src/toolstack/index.ts';
import { captured, sbdf } from '../../host/support/functions.ts';
import { temporaryDirectory, writeFunction } from '../../host/support/tree.ts';

const nic = captured('8086:10d3');
const sound = captured('8086:2415');
const port = captured('1b36:c');

const put = (root: string, files: Readonly<Record<string, string>>): void => {
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), text);
  }
};

/** A machine without Xen, and with the functions of `nic`, `sound` and a port. */
function plainMachine(): string {
  const root = temporaryDirectory();
  for (const facts of [nic, sound, port]) writeFunction(join(root, 'sys/bus/pci/devices'), facts);
  put(root, {
    'proc/sys/kernel/osrelease': '6.1.0-50-amd64\n',
    'lib/modules/6.1.0-50-amd64/modules.dep': 'kernel/drivers/pci/pci-stub.ko.xz:\n',
    'proc/interrupts': ` 16:   4   0  xen-pirq    -ioapic-level  ehci_hcd:usb1, i801_smbus\n`,
    'sys/kernel/security/lockdown': 'none [integrity] confidentiality\n',
  });
  return root;
}

function xenMachine(): string {
  const root = plainMachine();
  put(root, {
    'dev/xen/privcmd': '',
    'dev/xen/evtchn': '',
    'proc/xen/capabilities': 'control_d\n',
    'sys/hypervisor/type': 'xen\n',
    'sys/hypervisor/guest_type': 'PV\n',
    'sys/hypervisor/version/major': '4\n',
    'sys/hypervisor/version/minor': '17\n',
    'sys/hypervisor/version/extra': '.7\n',
    'sys/firmware/acpi/tables/RMAD': '',
    'sys/firmware/acpi/tables/FACP': '',
    'sys/bus/pci/drivers/pci-stub/bind': '',
    'sys/bus/pci/devices/0000:41:00.0/enable': '1\n',
    'sys/bus/pci/devices/0000:41:00.0/msi_irqs/40': 'msix\n',
    'sys/bus/pci/devices/0000:44:02.0/enable': '0\n',
  });
  symlinkSync('../../../kernel/iommu_groups/7', join(root, 'sys/bus/pci/devices/0000:41:00.0/iommu_group'));
  return root;
}

/** The network card of a machine, asleep. */
function fallSilent(root: string): void {
  const directory = join(root, 'sys/bus/pci/devices/0000:41:00.0');
  writeFileSync(join(directory, 'config'), new Uint8Array(4096).fill(0xff));
  writeFileSync(join(directory, 'power_state'), 'D3cold\n');
}

/** xenstore as a table of nodes. */
const storeOf = (nodes: Readonly<Record<string, string>>) => ({
  read: (path: string) => Promise.resolve(nodes[path]),
  directory: (path: string) => {
    const below = Object.keys(nodes).filter((each) => each.startsWith(`${path}/`));
    const names = below.map((each) => each.slice(path.length + 1).split('/')[0] ?? '');
    return Promise.resolve(below.length > 0 ? [...new Set(names)] : undefined);
  },
});

const refuse = (): never => {
  throw new PcibackError('NO-XENSTORE', 'nobody answers', 'start it');
};

/** Nobody answers unless told otherwise. */
const services = (changes: Partial<Services> = {}): Services => ({
  daemon: () => Promise.resolve(undefined),
  withStore: () => Promise.reject(new PcibackError('NO-XENSTORE', 'nobody answers', 'start it')),
  hasIommu: () => true,
  ...changes,
});

const gatherAt = (root: string, options: Partial<GatherOptions> = {}, asked = services()): Promise<Facts> =>
  gather({ specs: [], root, isRoot: true, ...options }, asked);

const addresses = (...texts: string[]): number[] => texts.map(sbdf);

describe('a machine under Xen', () => {
  it('tells of itself', async () => {
    const { scope, machine } = await gatherAt(xenMachine());
    expect(scope).toBe('machine');
    expect(machine).toEqual({
      isRoot: true,
      linux: '6.1.0-50-amd64',
      lockdown: 'integrity',
      iommuTables: ['RMAD'],
      stubs: ['pci-stub'],
      canLoadStub: true,
      interruptUsers: new Map([[16, ['ehci_hcd:usb1', 'i801_smbus']]]),
      xen: {
        version: '4.17.7',
        capabilities: ['control_d'],
        guestType: 'PV',
        deviceNodes: ['evtchn', 'privcmd'],
        hasIommu: { ok: true, value: true },
      },
    });
  });

  it('tells of its functions', async () => {
    const { functions, subjects, named } = await gatherAt(xenMachine());
    const [card, audio] = [nic, sound].map((facts) => functions.find((each) => each.sbdf === facts.sbdf));
    expect(card).toMatchObject({ enabled: true, messageVectors: [40], iommuGroup: '7', driver: 'e1000e' });
    expect(audio).toMatchObject({ enabled: false, messageVectors: [], iommuGroup: null });
    expect(subjects).toEqual(addresses('41:00.0', '44:02.0'));
    expect(named).toBe(false);
  });

  it('is known by /sys/hypervisor where no module has made /dev/xen', async () => {
    const root = plainMachine();
    put(root, { 'sys/hypervisor/type': 'xen\n' });
    const { machine } = await gatherAt(root);
    expect(machine?.xen).toMatchObject({
      deviceNodes: [],
      capabilities: null,
      version: null,
      guestType: null,
    });
  });

  it('is judged although nothing in it answers', async () => {
    const { machine, store, daemon } = await gatherAt(
      xenMachine(),
      {},
      services({ hasIommu: refuse, daemon: refuse }),
    );
    for (const attempt of [machine?.xen?.hasIommu, store, daemon]) {
      expect(attempt).toMatchObject({ ok: false, error: { reason: 'NO-XENSTORE' } });
    }
  });

  it('does not hide a defect of its own', async () => {
    const hasIommu = (): never => {
      throw new TypeError('a mistake');
    };
    await expect(gatherAt(xenMachine(), {}, services({ hasIommu }))).rejects.toThrow('a mistake');
  });

  it('tells of guests and of claims', async () => {
    const store = storeOf({
      '/local/domain/0/backend/pci/5/0/state': '4',
      '/local/domain/0/backend/pci/6/0/state': '1',
      '/local/domain/0/backend/pci/x/0/state': '1',
      '/local/domain/5/name': 'web',
      '/local/domain/5/device/pci/0/state': '4',
      '/libxl/pci/0000-41-00-0/domid': '5',
      '/libxl/pci/0000-44-02-0/domid': '6',
      '/libxl/pci/0000-44-02-0/name': 'sound',
      '/libxl/pci/0000-45-00-0/domid': 'none',
    });
    const asked = services({ withStore: (body) => body(store) });
    const facts = await gatherAt(xenMachine(), { specs: [specOf('name=sound')] }, asked);
    expect(facts.store).toEqual({
      ok: true,
      value: {
        claims: new Map([
          [sbdf('41:00.0'), { domid: 5, exists: true }],
          [sbdf('44:02.0'), { domid: 6, exists: false }],
        ]),
        guests: [
          { domid: 5, name: 'web', exists: true, backendState: 'Connected', frontendState: 'Connected' },
          { domid: 6, name: '', exists: false, backendState: 'Initialising', frontendState: 'Unknown' },
        ],
      },
    });
    expect(facts.subjects).toEqual(addresses('44:02.0'));
  });
});

describe('a function that does not answer', () => {
  it('is no candidate, and is judged when it is named', async () => {
    const root = plainMachine();
    fallSilent(root);
    const facts = await gatherAt(root);
    expect(facts.subjects).toEqual(addresses('44:02.0'));
    expect(facts.silent).toMatchObject([
      { sbdf: sbdf('41:00.0'), problem: 'does not answer (power state D3cold)' },
    ]);
    expect((await gatherAt(root, { specs: [specOf('41:00.0')] })).subjects).toEqual(addresses('41:00.0'));
  });
});

describe('who uses a function', () => {
  it('is asked of those that are judged', async () => {
    const root = plainMachine();
    put(root, { 'proc/mounts': '', 'proc/swaps': '' });
    const { functions } = await gatherAt(root, { specs: [specOf('41:00.0')] });
    const users = functions.map((fn) => [formatSbdf(fn.sbdf), fn.users]);
    expect(users).toEqual([
      ['0000:40:01.0', null],
      ['0000:41:00.0', []],
      ['0000:44:02.0', null],
    ]);
  });
});

describe('a machine without Xen', () => {
  it('is not asked what only Xen knows', async () => {
    const facts = await gatherAt(
      plainMachine(),
      {},
      services({ hasIommu: refuse, daemon: refuse, withStore: refuse }),
    );
    expect(facts.machine?.xen).toBeNull();
    expect(facts.store).toBeNull();
    expect(facts.daemon).toEqual({ ok: true, value: undefined });
  });

  it('may have no PCI bus and tell nothing', async () => {
    const { functions, machine } = await gatherAt(temporaryDirectory());
    expect(functions).toEqual([]);
    expect(machine).toMatchObject({ linux: null, lockdown: null, iommuTables: [], stubs: [] });
  });
});

describe('what is judged', () => {
  it('is what is named, once, and what is not there is told', async () => {
    const specs = ['41:00.0', '41:00.*', '03:00.0', '03:00.0'].map(specOf);
    const { subjects, named, unresolved } = await gatherAt(plainMachine(), { specs });
    expect([subjects, named]).toEqual([addresses('41:00.0'), true]);
    expect(unresolved.map(({ reason }) => reason)).toEqual(['NO-SUCH-FUNCTION']);
  });

  it('is what the configuration of a guest lists', async () => {
    const text = `pci = [ '44:02.0', '03:00.0' ]\nmemory = 256\ntype = "pv"\n`;
    const { subjects, named, guestFile } = await gatherAt(plainMachine(), {
      guest: { file: 'web.cfg', text },
    });
    expect([subjects, named]).toEqual([addresses('44:02.0'), true]);
    expect(guestFile?.unresolved).toHaveLength(1);
    expect(['type', 'memory', 'pci', 'name'].map((name) => guestFile?.setting(name))).toEqual([
      'pv',
      256,
      undefined,
      undefined,
    ]);
  });

  it('is a captured tree in place of the machine', async () => {
    const { scope, machine, subjects } = await gatherAt('/nonexistent', {
      sysfs: join(plainMachine(), 'sys'),
    });
    expect([scope, machine]).toEqual(['tree', null]);
    expect(subjects).toEqual(addresses('41:00.0', '44:02.0'));
    await expect(gatherAt('/', { sysfs: '/nonexistent' })).rejects.toMatchObject({ reason: 'BAD-DIRECTORY' });
  });

  it('is models in place of the machine', async () => {
    const host = { functions: [nic.sbdf, port.sbdf], secondaryBus: () => undefined, named: () => undefined };
    const models = { host, exportable: [nic.sbdf] };
    const { scope, machine, subjects, functions } = await gatherAt('/nonexistent', { models });
    expect([scope, machine, functions]).toEqual(['loopback', null, []]);
    expect(subjects).toEqual([nic.sbdf]);
  });
});
