import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { requireAnswer } from '../../src/host/silent.ts';
import { type ConfigFile, SysfsFunction } from '../../src/host/sysfs-function.ts';
import { FakeHost } from './support/fake-host.ts';
import { captured, sbdf } from './support/functions.ts';

const nic = { ...captured('8086:10d3'), driver: 'pci-stub', origin: 'host' as const };
const name = nic.sbdf;

/** The addon's class, with its operations on a copy of the file. */
class CopiedConfig implements ConfigFile {
  static refuses = false;
  static open = 0;
  readonly #bytes: Buffer;

  constructor(path: string) {
    this.#bytes = readFileSync(path);
    CopiedConfig.open += 1;
  }

  get length(): number {
    return this.#bytes.length;
  }

  read(offset: number, size: number): number {
    return this.#bytes.readUIntLE(offset, size);
  }

  write(offset: number, size: number, value: number): boolean {
    if (CopiedConfig.refuses) return false;
    this.#bytes.writeUIntLE(value, offset, size);
    return true;
  }

  close(): void {
    CopiedConfig.open -= 1;
  }
}

class Denied extends CopiedConfig {
  constructor(path: string) {
    super(path);
    this.close();
    throw Object.assign(new Error(path), { code: 'EACCES', errno: -13, syscall: 'open' });
  }
}

const open = (host: FakeHost, address = name) => new SysfsFunction(host, address, CopiedConfig);

describe('a function of this machine', () => {
  it('is read when it is opened, not as it once was', () => {
    const host = new FakeHost(nic);
    expect(open(host).facts).toEqual({ ...nic, driver: 'pci-stub' });
    writeFileSync(join(host.directory, 'irq'), '23\n');
    expect(open(host).facts.irq).toBe(23);
  });

  it('reads and writes its registers', () => {
    const fn = open(new FakeHost(nic));
    expect(fn.length).toBe(4096);
    expect(fn.read(0, 4)).toBe(0x10d3_8086);
    fn.write(4, 2, 0x0406);
    expect(fn.read(5, 1)).toBe(4);
  });

  it('loses what the kernel does not let it write', () => {
    const fn = open(new FakeHost(nic));
    const before = fn.read(4, 2);
    CopiedConfig.refuses = true;
    fn.write(4, 2, before ^ 6);
    CopiedConfig.refuses = false;
    expect(fn.read(4, 2)).toBe(before);
  });

  it('is of conventional size where it has no more', () => {
    const host = new FakeHost(nic);
    writeFileSync(join(host.directory, 'config'), nic.config.slice(0, 256));
    expect(open(host).length).toBe(256);
  });

  it('tells from its registers how a kernel before Linux 5.15 would reset it', () => {
    const host = new FakeHost(nic);
    rmSync(join(host.directory, 'reset_method'));
    expect(open(host).facts.resetMethods).toEqual([]);
    writeFileSync(join(host.directory, 'reset'), '');
    expect(open(host).facts.resetMethods).toEqual(['pm']);
  });

  it('is refused where there is none, where it may not be read, and where nothing but its header may', () => {
    const host = new FakeHost(nic);
    const opened = CopiedConfig.open;
    expect(() => open(host, sbdf('0000:7f:00.0'))).toThrow(
      expect.objectContaining({ reason: 'NO-SUCH-FUNCTION' }),
    );
    expect(() => new SysfsFunction(host, name, Denied)).toThrow(
      expect.objectContaining({ reason: 'NO-PERMISSION', exitCode: 3 }),
    );
    writeFileSync(join(host.directory, 'config'), nic.config.slice(0, 64));
    expect(() => open(host)).toThrow(expect.objectContaining({ reason: 'NO-PERMISSION' }));
    expect(CopiedConfig.open).toBe(opened);
  });
});

describe('one that does not answer', () => {
  it('can be opened, to be reset, and has no facts', () => {
    const host = new FakeHost(nic);
    writeFileSync(join(host.directory, 'config'), new Uint8Array(4096).fill(0xff));
    const fn = open(host);
    const refusal = expect.objectContaining({ reason: 'NOT-ANSWERING' });
    expect(fn.read(0, 4)).toBe(0xffff_ffff);
    expect(fn.resetMethods).toEqual(nic.resetMethods);
    expect(() => fn.facts).toThrow(refusal);
    expect(() => requireAnswer(fn)).toThrow(refusal);
  });
});

describe('its reset', () => {
  const resettable = (): FakeHost => {
    const host = new FakeHost(nic);
    writeFileSync(join(host.directory, 'reset'), '');
    return host;
  };

  it('is left to the kernel', async () => {
    const host = resettable();
    await open(host).reset('flr');
    expect(host.writes).toEqual(['reset=1']);
  });

  it.each(['ENOTTY', 'ENOENT'])('is not offered when the kernel says %s', async (code) => {
    const host = resettable();
    host.failures.set(0, code);
    await expect(open(host).reset('flr')).rejects.toMatchObject({
      reason: 'RESET-FAILED',
      message: expect.stringContaining('offers no reset') as string,
    });
  });

  it('failed when the kernel says anything else, which is reported', async () => {
    const host = resettable();
    host.failures.set(0, 'ETIMEDOUT');
    await expect(open(host).reset('flr')).rejects.toMatchObject({
      reason: 'RESET-FAILED',
      message: expect.stringContaining('(flr): ETIMEDOUT') as string,
    });
  });
});
