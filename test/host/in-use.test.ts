import { existsSync, mkdirSync, realpathSync, symlinkSync } from 'node:fs';
import { networkInterfaces } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { capturedFunctions } from '../../src/host/captures/index.ts';
import { type HostRoot, linuxHost } from '../../src/host/host-root.ts';
import { refuseInUse, usersOf } from '../../src/host/in-use.ts';
import { isBridge } from '../../src/host/identity.ts';
import type { FunctionFacts } from '../../src/host/platform.ts';
import { readSysfs } from '../../src/host/sysfs.ts';
import { addDevice, hold, put } from './support/devices.ts';
import { FakeHost } from './support/fake-host.ts';
import { captured } from './support/functions.ts';

const nic = { ...captured('8086:10d3'), driver: 'e1000e' };

/** What a function is used for, each as the refusal shows it. */
const uses = (host: FakeHost, facts: FunctionFacts = nic): readonly string[] =>
  usersOf(host, facts).map(({ what, detail }) => `${what} (${detail})`);

const hostRootOf = (host: FakeHost): HostRoot => ({
  sysfs: host.sysfs,
  proc: host.proc,
  write: (path, text) => host.write(path, text),
});

describe('a function', () => {
  it('is used by nobody while its driver has made nothing of it', () => {
    const host = new FakeHost(nic);
    expect(usersOf(host, nic)).toEqual([]);
  });

  it('must be there', () => {
    const host = new FakeHost(nic);
    host.unplug();
    expect(() => usersOf(host, nic)).toThrow(expect.objectContaining({ reason: 'NO-SUCH-FUNCTION' }));
  });

  it('with virtual functions is needed by whoever has those', () => {
    const host = new FakeHost(nic);
    addDevice(host, host.directory, { subsystem: 'pci', attributes: { sriov_numvfs: '0' } });
    expect(uses(host)).toEqual([]);
    put(join(host.directory, 'sriov_numvfs'), '3');
    expect(uses(host)).toEqual([`${host.name} (has 3 virtual functions)`]);
  });
});

describe('a disk', () => {
  function withDisk(): { host: FakeHost; disk: string; partition: string } {
    const host = new FakeHost(nic);
    const disk = addDevice(host, join(host.directory, 'nvme/nvme0/nvme0n1'), {
      subsystem: 'block',
      number: '259:0',
      file: 'nvme0n1',
    });
    const partition = addDevice(host, join(disk, 'nvme0n1p1'), {
      subsystem: 'block',
      number: '259:1',
      file: 'nvme0n1p1',
    });
    return { host, disk, partition };
  }

  it('that is mounted nowhere is free', () => {
    const { host } = withDisk();
    put(join(host.proc, 'self/mountinfo'), '26 1 8:1 / / rw - ext4 /dev/sda1 rw');
    expect(uses(host)).toEqual([]);
  });

  it('is used where it or a partition is mounted, in this mount namespace or the first', () => {
    const { host } = withDisk();
    put(join(host.proc, '1/mountinfo'), '26 1 259:0 / /srv rw shared:1 - ext4 /dev/nvme0n1 rw');
    put(join(host.proc, 'self/mountinfo'), '27 1 259:1 / /mnt/a\\040b rw - ext4 /dev/nvme0n1p1 rw');
    expect(uses(host)).toEqual(['/dev/nvme0n1 (mounted at /srv)', '/dev/nvme0n1p1 (mounted at /mnt/a b)']);
  });

  it('cannot be given away while dom0 runs from it', () => {
    const { host } = withDisk();
    put(join(host.proc, 'self/mountinfo'), '27 1 259:1 / / rw - ext4 /dev/nvme0n1p1 rw');
    expect(refuseInUse(nic, usersOf(host, nic)).remedy).toContain('choose another function');
  });

  it('is used as swap space', () => {
    const { host } = withDisk();
    put(join(host.proc, 'swaps'), 'Filename Type Size Used Priority\n/dev/nvme0n1p1 partition 1 0 -2');
    expect(uses(host)).toEqual(['/dev/nvme0n1p1 (swap space)']);
  });

  it('is used by volumes that are made of it, and by what is on those', () => {
    const { host, partition } = withDisk();
    const virtual = join(host.sysfs, 'devices/virtual/block');
    const raid = addDevice(host, join(virtual, 'md0'), { subsystem: 'block', number: '9:0', file: 'md0' });
    const volume = addDevice(host, join(virtual, 'dm-1'), {
      subsystem: 'block',
      number: '253:1',
      file: 'dm-1',
      attributes: { 'dm/name': 'vg-root' },
    });
    hold(partition, raid);
    hold(raid, volume);
    put(join(host.proc, 'self/mountinfo'), '27 1 253:1 / / rw - ext4 /dev/mapper/vg-root rw');
    expect(uses(host)).toEqual([
      '/dev/nvme0n1p1 (held by md0)',
      '/dev/md0 (held by vg-root, dm-1)',
      '/dev/dm-1 (mounted at /)',
    ]);
    put(join(host.proc, 'swaps'), 'Filename\n/dev/mapper/vg-root partition 1 0 -2');
    expect(uses(host)).toContain('/dev/dm-1 (swap space)');
  });

  it('is not followed round and round', () => {
    const { host, disk, partition } = withDisk();
    hold(disk, partition);
    hold(partition, disk);
    expect(uses(host)).toEqual(['/dev/nvme0n1 (held by nvme0n1p1)', '/dev/nvme0n1p1 (held by nvme0n1)']);
  });

  it('is part of a btrfs, whose mounts have a number of their own', () => {
    const { host } = withDisk();
    put(join(host.sysfs, 'fs/btrfs/8f1c/devices/nvme0n1p1/size'), '1');
    put(join(host.proc, 'self/mountinfo'), '27 1 0:31 / / rw - btrfs /dev/nvme0n1p1 rw');
    expect(uses(host)).toEqual(['/dev/nvme0n1p1 (part of a mounted btrfs)']);
  });

  it('is a guest’s that Linux serves', () => {
    const { host } = withDisk();
    const backends = join(host.sysfs, 'bus/xen-backend/devices');
    put(join(backends, 'vbd-7-51712/physical_device'), '103:1');
    put(join(backends, 'vif-7-0/nodename'), 'backend/vif/7/0');
    expect(uses(host)).toEqual(['/dev/nvme0n1p1 (a disk of domain 7)']);
    expect(usersOf(host, nic)[0]?.remedy).toBe('xl block-detach 7 51712');
  });

  it('may be a namespace that lies elsewhere, since other controllers may reach it too', () => {
    const host = new FakeHost(nic);
    addDevice(host, join(host.directory, 'nvme/nvme0/nvme0c0n1'), { subsystem: 'block' });
    const subsystem = join(host.sysfs, 'devices/virtual/nvme-subsystem/nvme-subsys0');
    addDevice(host, join(subsystem, 'nvme0n1'), {
      subsystem: 'block',
      number: '259:0',
      file: 'nvme0n1',
    });
    addDevice(host, join(subsystem, 'nvme0n1/nvme0n1p2'), {
      subsystem: 'block',
      number: '259:2',
      file: 'nvme0n1p2',
    });
    put(join(host.proc, 'self/mountinfo'), '27 1 259:2 / /srv rw - ext4 /dev/nvme0n1p2 rw');
    expect(uses(host)).toEqual(['/dev/nvme0n1p2 (mounted at /srv)']);
  });
});

describe('a disk on a bus of another kind', () => {
  function withUsbDisk(): { host: FakeHost; disk: string } {
    const host = new FakeHost(nic);
    const path = 'usb1/1-3/1-3:1.0/host6/target6:0:0/6:0:0:0/block/sdb';
    const disk = addDevice(host, join(host.directory, path), {
      subsystem: 'block',
      number: '8:16',
      file: 'sdb',
    });
    addDevice(host, join(disk, 'sdb1'), { subsystem: 'block', number: '8:17', file: 'sdb1' });
    expect(uses(host)).toEqual([]);
    return { host, disk };
  }

  it('is used where it is mounted, in whatever mount namespace', () => {
    const { host } = withUsbDisk();
    put(join(host.proc, '4711/mountinfo'), '27 1 8:17 / /data rw - ext4 /dev/sdb1 rw');
    mkdirSync(join(host.proc, '4711/ns'));
    symlinkSync('mnt:[4026532211]', join(host.proc, '4711/ns/mnt'));
    expect(uses(host)).toEqual(['/dev/sdb1 (mounted at /data)']);
  });

  it('is used by a file system that is spread over it, and by a journal that lies on it', () => {
    const { host } = withUsbDisk();
    put(join(host.proc, 'self/mountinfo'), '27 1 0:40 / /many rw - bcachefs /dev/sda:/dev/sdb rw');
    expect(uses(host)).toEqual(['/dev/sdb (mounted at /many)']);
    put(join(host.proc, 'self/mountinfo'), '27 1 253:9 / /one rw - xfs /dev/dm-9 rw,logdev=/dev/sdb1');
    expect(uses(host)).toEqual(['/dev/sdb1 (mounted at /one)']);
  });

  it('is used by a loop device that is made of it, and by what is on that', () => {
    const { host } = withUsbDisk();
    const loop = join(host.sysfs, 'devices/virtual/block/loop0');
    addDevice(host, loop, { subsystem: 'block', number: '7:0', file: 'loop0' });
    put(join(loop, 'loop/backing_file'), '/dev/sdb1');
    put(join(host.proc, 'self/mountinfo'), '27 1 7:0 / /iso rw - iso9660 /dev/loop0 rw');
    expect(uses(host)).toEqual(['/dev/sdb1 (held by loop0)', '/dev/loop0 (mounted at /iso)']);
  });

  it('is a cache of bcache', () => {
    const { host, disk } = withUsbDisk();
    put(join(disk, 'bcache/set/stop'), '');
    expect(uses(host)).toEqual(['/dev/sdb (a cache of bcache)']);
  });

  it('is offered to others by the kernel', () => {
    const { host } = withUsbDisk();
    const config = join(host.sysfs, 'kernel/config');
    put(join(config, 'target/core/iblock_0/backup/udev_path'), '/dev/sdb');
    put(join(config, 'nvmet/subsystems/nqn/namespaces/1/device_path'), '/dev/sdb1');
    expect(uses(host)).toEqual([
      '/dev/sdb (offered to others as backup)',
      '/dev/sdb1 (offered to others as 1)',
    ]);
  });

  it('is part of a ZFS pool that is imported', () => {
    const { host } = withUsbDisk();
    const root = { ...hostRootOf(host), run: join(host.proc, 'run') };
    put(join(root.run, 'udev/data/b8:17'), 'E:ID_FS_TYPE=zfs_member\nE:ID_FS_LABEL=tank');
    expect(usersOf(root, nic)).toEqual([]);
    put(join(host.proc, 'spl/kstat/zfs/rpool/state'), 'ONLINE');
    expect(usersOf(root, nic)).toEqual([]);
    put(join(host.proc, 'spl/kstat/zfs/tank/state'), 'ONLINE');
    expect(usersOf(root, nic)).toEqual([
      { what: '/dev/sdb1', detail: 'part of the ZFS pool tank', remedy: 'zpool export tank' },
    ]);
  });
});

describe('an interface', () => {
  it('is read with the tables of the kernel', () => {
    const host = new FakeHost(nic);
    addDevice(host, join(host.directory, 'net/eth0'), {
      subsystem: 'net',
      attributes: { flags: '0x1003' },
    });
    expect(uses(host)).toEqual([]);
    put(join(host.proc, 'net/route'), `Iface Destination Gateway\neth0 00000000 010200C0 3 0 0 0 00000000`);
    put(
      join(host.proc, 'net/if_inet6'),
      'fd000000000000000000000000000002 04 40 00 82 eth0\nfe8000000000000000fc00fffe000001 04 40 20 80 eth0',
    );
    expect(uses(host)).toEqual(['eth0 (up, fd00::2/64, 1 route)']);
  });
});

describe('a console', () => {
  it('of the kernel on a serial port of the function', () => {
    const host = new FakeHost(nic);
    addDevice(host, join(host.directory, 'tty/ttyS4'), { subsystem: 'tty', file: 'ttyS4' });
    put(join(host.sysfs, 'class/tty/console/active'), 'tty0 ttyS0');
    expect(uses(host)).toEqual([]);
    put(join(host.sysfs, 'class/tty/console/active'), 'tty0 ttyS4');
    expect(uses(host)).toEqual(['/dev/ttyS4 (a console of the kernel)']);
  });

  it.each([
    ['1', '(M) frame buffer device', 'hvc0', true],
    ['1', '(S) VGA+', 'tty0', true],
    ['1', '(S) VGA+', 'hvc0', false],
    ['1', '(S) dummy device', 'tty0', false],
    ['0', '(M) frame buffer device', 'tty0', false],
  ])('boot_vga %s, %s and console=%s make it used: %s', (bootVga, kind, active, used) => {
    const host = new FakeHost(nic);
    addDevice(host, host.directory, { subsystem: 'pci', attributes: { boot_vga: bootVga } });
    put(join(host.sysfs, 'class/vtconsole/vtcon0/bind'), '1');
    put(join(host.sysfs, 'class/vtconsole/vtcon0/name'), kind);
    put(join(host.sysfs, 'class/tty/console/active'), active);
    expect(uses(host)).toEqual(used ? [`the display of dom0 (the console is drawn on it: ${kind})`] : []);
    put(join(host.sysfs, 'class/vtconsole/vtcon0/bind'), '0');
    expect(uses(host)).toEqual([]);
  });

  it.each([
    ['fb0', true],
    ['fb1', false],
  ])(
    'of an adapter that the firmware did not leave on, but whose frame buffer is %s: used %s',
    (name, used) => {
      const host = new FakeHost(nic);
      const buffer = join(host.directory, 'simple-framebuffer.0/graphics', name);
      addDevice(host, buffer, { subsystem: 'graphics' });
      put(join(host.sysfs, 'class/vtconsole/vtcon1/bind'), '1');
      put(join(host.sysfs, 'class/vtconsole/vtcon1/name'), '(M) frame buffer device');
      expect(uses(host)).toHaveLength(used ? 1 : 0);
    },
  );
});

/** /dev/null stands for a device of the function: it is what its number says, wherever the test runs. */
describe('a process', () => {
  function withProcesses(count: number): FakeHost {
    const host = new FakeHost(nic);
    addDevice(host, join(host.directory, 'misc/dev0'), { subsystem: 'misc', number: '1:3', file: 'dev0' });
    for (let pid = 101; pid < 101 + count; pid += 1) {
      put(join(host.proc, String(pid), 'comm'), 'fio');
      mkdirSync(join(host.proc, String(pid), 'fd'));
      symlinkSync('/dev/null', join(host.proc, String(pid), 'fd/3'));
      symlinkSync('socket:[1]', join(host.proc, String(pid), 'fd/4'));
      symlinkSync('/dev/zero', join(host.proc, String(pid), 'fd/5'));
    }
    return host;
  }

  it('that has a device file open uses it', () => {
    expect(uses(withProcesses(1))).toEqual(['/dev/dev0 (open in fio, process 101)']);
  });

  it('is one of five at most that are named', () => {
    expect(uses(withProcesses(7))).toHaveLength(5);
  });

  it('is not sought where there is nothing to open', () => {
    const host = withProcesses(1);
    expect(uses(host)).toHaveLength(1);
    addDevice(host, join(host.directory, 'net/eth0'), { subsystem: 'net' });
    put(join(host.directory, 'misc/dev0/dev'), '10:200');
    expect(uses(host)).toEqual([]);
  });
});

/** One PCI function below another: behind a bridge, or in a PCI domain that a driver has made (VMD). */
describe('functions below a function', () => {
  const bridge = capturedFunctions().find(isBridge) ?? expect.unreachable();
  const vmd = { ...nic, classCode: 0x01_0400, driver: 'vmd' };

  it.each([
    ['a bridge', { ...bridge, driver: null }],
    ['a VMD controller', vmd],
    ['any other', nic],
  ])('use %s', (_, facts) => {
    const host = new FakeHost(facts);
    addDevice(host, host.directory, { subsystem: 'pci' });
    const behind = addDevice(host, join(host.directory, '0000:99:00.0'), { subsystem: 'pci' });
    addDevice(host, join(behind, 'tty/ttyS4'), { subsystem: 'tty', file: 'ttyS4' });
    put(join(host.sysfs, 'class/tty/console/active'), 'ttyS4');
    expect(usersOf(host, facts)).toHaveLength(1);
  });

  it('may have the disk that dom0 runs from, in a domain of their own', () => {
    const host = new FakeHost(vmd);
    addDevice(host, host.directory, { subsystem: 'pci' });
    const port = addDevice(host, join(host.directory, 'pci10000:e0/10000:e0:06.0'), { subsystem: 'pci' });
    const drive = addDevice(host, join(port, '10000:e1:00.0'), { subsystem: 'pci' });
    const disk = addDevice(host, join(drive, 'nvme/nvme0/nvme0n1'), {
      subsystem: 'block',
      number: '259:0',
      file: 'nvme0n1',
    });
    addDevice(host, join(disk, 'nvme0n1p2'), { subsystem: 'block', number: '259:2', file: 'nvme0n1p2' });
    put(join(host.proc, 'self/mountinfo'), '27 1 259:2 / / rw - ext4 /dev/nvme0n1p2 rw');
    expect(uses(host, vmd)).toEqual(['/dev/nvme0n1p2 (mounted at /)']);
  });

  it('may be kept for guests: those behind a bridge stay when it loses its driver, those of a VMD do not', () => {
    for (const [facts, used] of [
      [vmd, ['10000:e1:00.0 (kept for guests by pciback)']],
      [{ ...bridge, driver: null }, []],
    ] as const) {
      const host = new FakeHost(facts);
      addDevice(host, host.directory, { subsystem: 'pci' });
      const drive = addDevice(host, join(host.directory, 'bus/10000:e1:00.0'), { subsystem: 'pci' });
      symlinkSync('../../../bus/pci/drivers/pciback', join(drive, 'driver'));
      expect(uses(host, facts)).toEqual(used);
    }
  });
});

describe('what lies elsewhere and vanishes all the same', () => {
  /** A function beside the one that is asked about, with an interface that is up. */
  function withNeighbour(): { host: FakeHost; neighbour: string } {
    const host = new FakeHost(nic);
    addDevice(host, host.directory, { subsystem: 'pci' });
    const neighbour = join(host.sysfs, 'devices/pci0000:00/0000:41:10.0');
    const added = addDevice(host, neighbour, { subsystem: 'pci' });
    addDevice(host, join(added, 'net/eth4'), { subsystem: 'net', attributes: { flags: '0x1003' } });
    put(join(host.proc, 'net/if_inet6'), 'fd000000000000000000000000000002 04 40 00 82 eth4');
    return { host, neighbour: added };
  }

  it('is nothing that has no tie to the function', () => {
    expect(uses(withNeighbour().host)).toEqual([]);
  });

  it('is a virtual function, which is named with its driver', () => {
    const { host, neighbour } = withNeighbour();
    put(join(host.directory, 'sriov_numvfs'), '1');
    symlinkSync('../0000:41:10.0', join(host.directory, 'virtfn0'));
    expect(uses(host)).toEqual([
      `${host.name} (has 1 virtual function: 0000:41:10.0)`,
      'eth4 (up, fd00::2/64)',
    ]);
    symlinkSync('../../../bus/pci/drivers/pciback', join(neighbour, 'driver'));
    expect(uses(host)).toContain(`${host.name} (has 1 virtual function: 0000:41:10.0 of pciback)`);
    expect(uses(host)).toContain('0000:41:10.0 (kept for guests by pciback)');
  });

  it.each([
    ['available', '0', true],
    ['not tracked', '0', false],
    ['active', '1', false],
  ])('is the consumer of a device link that is %s (sync_state_only %s): %s', (status, syncOnly, used) => {
    const { host } = withNeighbour();
    const link = join(host.sysfs, 'devices/virtual/devlink/one--other');
    put(join(link, 'status'), status);
    put(join(link, 'sync_state_only'), syncOnly);
    symlinkSync('../../../pci0000:00/0000:41:10.0', join(link, 'consumer'));
    symlinkSync(link, join(host.directory, 'consumer:pci:0000:41:10.0'));
    expect(uses(host)).toEqual(used ? ['eth4 (up, fd00::2/64)'] : []);
  });

  it('is a namespace in the subsystem of an NVMe controller, and whoever has its device file open', () => {
    const host = new FakeHost(nic);
    const controller = addDevice(host, join(host.directory, 'nvme/nvme3'), { subsystem: 'nvme' });
    const subsystem = join(host.sysfs, 'devices/virtual/nvme-subsystem/nvme-subsys3');
    addDevice(host, subsystem, { subsystem: 'nvme-subsystem' });
    addDevice(host, join(subsystem, 'ng3n1'), { subsystem: 'nvme-generic', number: '1:3', file: 'ng3n1' });
    put(join(host.proc, '101/comm'), 'fio');
    mkdirSync(join(host.proc, '101/fd'));
    symlinkSync('/dev/null', join(host.proc, '101/fd/3'));
    expect(uses(host)).toEqual([]);
    symlinkSync(controller, join(subsystem, 'nvme3'));
    expect(uses(host)).toEqual(['/dev/ng3n1 (open in fio, process 101)']);
  });
});

describe('the trusted platform module', () => {
  it('is used by the kernel of dom0', () => {
    const host = new FakeHost(nic);
    addDevice(host, join(host.directory, 'spi_master/spi0/spi0.0/tpm/tpm0'), {
      subsystem: 'tpm',
      file: 'tpm0',
    });
    expect(uses(host)).toEqual(['/dev/tpm0 (the trusted platform module of dom0)']);
  });
});

describe('the refusal', () => {
  it('names the users and what to do', () => {
    const eth0 = { what: 'eth0', detail: 'up, 192.0.2.7/24, 2 routes', remedy: 'ip link set eth0 down' };
    const srv = { what: '/dev/nvme0n1p1', detail: 'mounted at /srv', remedy: 'umount /srv' };
    expect(refuseInUse(nic, [eth0, srv])).toMatchObject({
      reason: 'HOST-USES-IT',
      exitCode: 1,
      message: '0000:41:00.0 is in use: eth0 (up, 192.0.2.7/24, 2 routes); /dev/nvme0n1p1 (mounted at /srv)',
      remedy: 'stop that first (ip link set eth0 down; umount /srv), or force it: --force',
    });
  });

  it('stays readable however many there are', () => {
    const many = Array.from({ length: 30 }, (_, index) => ({
      what: `/dev/sd${index}`,
      detail: 'swap space',
      remedy: `swapoff /dev/sd${index}`,
    }));
    const { message, remedy } = refuseInUse(nic, many);
    expect(message).toContain('/dev/sd7 (swap space); and 22 more');
    expect(remedy.match(/swapoff/g)).toHaveLength(3);
  });
});

describe('this machine', () => {
  const onPci = Object.entries(networkInterfaces()).filter(([name]) => {
    const directory = `/sys/class/net/${name}`;
    return existsSync(directory) && /\/[\da-f:]+\.[0-7]\//.test(realpathSync(directory));
  });

  it.runIf(onPci.length > 0)('needs the interfaces that have its addresses', () => {
    const users = readSysfs('/sys', 'host').functions.flatMap((facts) => usersOf(linuxHost, facts));
    for (const [name, addresses = []] of onPci) {
      const detail = users.find(({ what }) => what === name)?.detail;
      for (const { cidr, family } of addresses) if (family === 'IPv4') expect(detail).toContain(cidr);
    }
  });
});
