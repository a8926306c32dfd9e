import { existsSync, mkdirSync, realpathSync, symlinkSync } from 'node:fs';
import { networkInterfaces } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { capturedFunctions } from '../../src/host/captures/index.ts';
import { linuxHost } from '../../src/host/host-root.ts';
import { refuseInUse, usersOf } from '../../src/host/in-use.ts';
import { isBridge } from '../../src/host/identity.ts';
import { readSysfs } from '../../src/host/sysfs.ts';
import { addDevice, hold, put } from './support/devices.ts';
import { FakeHost } from './support/fake-host.ts';
import { captured } from './support/functions.ts';

const nic = { ...captured('8086:10d3'), driver: 'e1000e' };

/** What a function is used for, each as the refusal shows it. */
const uses = (host: FakeHost, facts = nic): readonly string[] =>
  usersOf(host, facts).map(({ what, detail }) => `${what} (${detail})`);

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

describe('a bridge', () => {
  const bridge = capturedFunctions().find(isBridge);

  it('is used by what is behind it, while other functions are not', () => {
    if (bridge === undefined) throw new Error('no bridge is bundled');
    for (const [facts, used] of [
      [bridge, true],
      [nic, false],
    ] as const) {
      const host = new FakeHost({ ...facts, driver: null });
      addDevice(host, host.directory, { subsystem: 'pci' });
      const behind = addDevice(host, join(host.directory, '0000:99:00.0'), { subsystem: 'pci' });
      addDevice(host, join(behind, 'tty/ttyS4'), { subsystem: 'tty', file: 'ttyS4' });
      put(join(host.sysfs, 'class/tty/console/active'), 'ttyS4');
      expect(usersOf(host, facts)).toHaveLength(used ? 1 : 0);
    }
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
