import {
  existsSync,
  mkdirSync,
  readFileSync,
  readlinkSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { basename, dirname, join, relative } from 'node:path';
import { formatSbdf } from '../../../src/address.ts';
import { type HostRoot, functionDirectory } from '../../../src/host/host-root.ts';
import type { FunctionFacts } from '../../../src/host/platform.ts';
import { temporaryDirectory, writeFunction } from './tree.ts';

interface Driver {
  /** Whether its table of ids has the function. */
  knows: boolean;
  /** Errno with which its probe ends. */
  refuses?: string;
}

const errno = (code: string): Error => Object.assign(new Error(code), { code });

/**
 * The /sys and /proc of a host with one function, and enough of the driver core to react to what is written: its rules are
 * those of drivers/base/bus.c, drivers/pci/pci-sysfs.c, drivers/pci/pci-driver.c and drivers/xen/xen-pciback/pci_stub.c.
 */
export class FakeHost implements HostRoot {
  readonly sysfs: string;
  readonly proc: string;
  /** What has been written: `enable=1`. */
  readonly writes: string[] = [];
  /** Runs after a write has had its effect. */
  afterWrite: (written: string) => void = () => {};
  /** Errno with which the n-th write from now ends, without any effect. */
  readonly failures = new Map<number, string>();
  /** How many more writes the process lives to make. */
  lifetime = Number.POSITIVE_INFINITY;
  /** The directory of the function. */
  readonly directory: string;
  readonly name: string;
  readonly #drivers = new Map<string, Driver>();

  constructor(facts: FunctionFacts) {
    const root = temporaryDirectory();
    this.sysfs = join(root, 'sys');
    this.proc = join(root, 'proc');
    this.name = formatSbdf(facts.sbdf);
    this.directory = functionDirectory(this, facts.sbdf);
    mkdirSync(this.proc);
    const place = writeFunction(join(this.sysfs, 'devices/pci0000:00'), { ...facts, driver: null });
    mkdirSync(dirname(this.directory), { recursive: true });
    symlinkSync(relative(dirname(this.directory), place), this.directory);
    mkdirSync(join(this.directory, 'power'));
    this.#put('power/control', 'auto');
    this.#put('enable', '0');
    this.#put('driver_override', '(null)');
    mkdirSync(this.#driverDirectory(''), { recursive: true });
    writeFileSync(join(this.sysfs, 'bus/pci/drivers_probe'), '');
    if (facts.driver !== null) {
      this.load(facts.driver);
      this.#take(facts.driver);
    }
  }

  /** A module is loaded that does not look at what is there already. */
  load(driver: string, options: Partial<Driver> = {}): void {
    this.#drivers.set(driver, { knows: true, ...options });
    mkdirSync(this.#driverDirectory(driver), { recursive: true });
    const attributes = driver === 'pciback' ? ['bind', 'unbind', 'slots', 'remove_slot'] : ['bind', 'unbind'];
    for (const attribute of attributes) writeFileSync(this.#driverDirectory(driver, attribute), '');
  }

  /** What the command line of the kernel has given to a stub, or what a module grabs. */
  give(driver: string): void {
    this.#take(driver);
  }

  unload(driver: string): void {
    if (this.driver === driver) rmSync(join(this.directory, 'driver'));
    this.#drivers.delete(driver);
    rmSync(this.#driverDirectory(driver), { recursive: true });
  }

  unplug(): void {
    rmSync(realpathSync(this.directory), { recursive: true });
    rmSync(this.directory);
  }

  get driver(): string | null {
    const link = join(this.directory, 'driver');
    return existsSync(link) ? basename(readlinkSync(link)) : null;
  }

  /** Whatever taking the function and giving it back can change. */
  get state(): Readonly<Record<string, string | null>> {
    return {
      driver: this.driver,
      enable: this.#get('enable'),
      override: this.#get('driver_override'),
      power: this.#get('power/control'),
      slots: this.#drivers.has('pciback') ? readFileSync(this.#slots, 'latin1') : null,
    };
  }

  async write(path: string, text: string): Promise<void> {
    if (this.lifetime === 0) throw new Error('killed');
    this.lifetime -= 1;
    const failure = this.failures.get(this.writes.length);
    const written = `${path.replace(`${this.directory}/`, '').replace(`${this.sysfs}/bus/pci/`, '')}=${text}`;
    this.writes.push(written);
    if (failure !== undefined) throw errno(failure);
    if (!existsSync(path)) throw errno('ENOENT');
    this.#react(path, text.trim());
    this.afterWrite(written);
  }

  #react(path: string, text: string): void {
    const attribute = basename(path);
    const driver = basename(dirname(path));
    switch (attribute) {
      case 'enable':
        return this.#enable(Number(text));
      case 'control':
        return this.#put('power/control', text);
      case 'driver_override':
        return this.#put('driver_override', text || '(null)');
      case 'drivers_probe':
        return this.#probe();
      case 'bind':
        return this.#bind(driver);
      case 'unbind':
        return this.#unbind();
      case 'reset':
        return;
      case 'remove_slot':
        return writeFileSync(this.#slots, '');
      default:
        throw errno('EACCES');
    }
  }

  #enable(value: number): void {
    const count = Number(this.#get('enable'));
    if (this.driver !== null) throw errno('EBUSY');
    if (value === 0 && count === 0) throw errno('EIO');
    this.#put('enable', String(value === 0 ? count - 1 : count + 1));
  }

  #probe(): void {
    if (this.driver !== null) return;
    const taker = [...this.#drivers].find(([name, { refuses }]) => this.#matches(name) && !refuses);
    if (taker) this.#take(taker[0]);
  }

  #bind(name: string): void {
    if (!this.#matches(name)) throw errno('ENODEV');
    if (this.driver !== null) throw errno('EBUSY');
    const refusal = this.#drivers.get(name)?.refuses;
    if (refusal !== undefined) throw errno(refusal);
    this.#take(name);
  }

  #unbind(): void {
    if (this.driver === null) throw errno('ENODEV');
    rmSync(join(this.directory, 'driver'));
  }

  /** The stubs have empty tables: pci-stub takes what is reserved for it, pciback also what has a slot. */
  #matches(name: string): boolean {
    const override = this.#get('driver_override');
    if (override !== '(null)') return override === name;
    return name === 'pciback'
      ? readFileSync(this.#slots, 'latin1').includes(this.name)
      : this.#drivers.get(name)?.knows === true;
  }

  #take(driver: string): void {
    if (driver === 'pciback') writeFileSync(this.#slots, `${this.name}\n`);
    symlinkSync(`../../../bus/pci/drivers/${driver}`, join(this.directory, 'driver'));
  }

  get #slots(): string {
    return this.#driverDirectory('pciback', 'slots');
  }

  #driverDirectory(driver: string, attribute = ''): string {
    return join(this.sysfs, 'bus/pci/drivers', driver, attribute);
  }

  #get(attribute: string): string {
    return readFileSync(join(this.directory, attribute), 'latin1').trim();
  }

  #put(attribute: string, text: string): void {
    writeFileSync(join(this.directory, attribute), `${text}\n`);
  }
}
