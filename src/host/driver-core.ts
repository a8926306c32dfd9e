/** What the kernel's driver core lets user space see and do of one PCI function, one attribute at a time. */
import { existsSync } from 'node:fs';
import { readFile, readlink } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { formatSbdf, type Sbdf } from '../address.ts';
import { PcibackError } from '../errors.ts';
import { driverDirectory, functionDirectory, type HostRoot } from './host-root.ts';
import { noSuchFunction } from './sysfs.ts';

export class DriverCore {
  /** As the attributes of buses and drivers spell the function. */
  readonly name: string;
  readonly #root: HostRoot;
  readonly #sbdf: Sbdf;
  readonly #directory: string;

  /** Throws NO-SUCH-FUNCTION. */
  constructor(root: HostRoot, sbdf: Sbdf) {
    this.name = formatSbdf(sbdf);
    this.#root = root;
    this.#sbdf = sbdf;
    this.#directory = functionDirectory(root, sbdf);
    if (!existsSync(this.#directory)) throw noSuchFunction(sbdf);
  }

  /** The driver that has the function now. */
  async driver(): Promise<string | null> {
    const link = join(this.#directory, 'driver');
    const target = await this.#read(link, () => readlink(link));
    return target === null ? null : basename(target);
  }

  /** The driver that alone may take the function, if one is set. */
  async override(): Promise<string | null> {
    const text = await this.#attribute('driver_override');
    return text === '' || text === '(null)' ? null : text;
  }

  setOverride(driver: string | null): Promise<void> {
    return this.#write(join(this.#directory, 'driver_override'), driver ?? '\n');
  }

  /** `auto` or `on`; null where the kernel has no runtime power management. */
  powerControl(): Promise<string | null> {
    return this.#attribute('power/control');
  }

  setPowerControl(value: string): Promise<void> {
    return this.#write(join(this.#directory, 'power/control'), value);
  }

  /** Whether somebody has enabled the function: the attribute counts how many have. */
  async enabled(): Promise<boolean> {
    return !['0', null].includes(await this.#attribute('enable'));
  }

  /** Possible only while no driver is bound (EBUSY). The first to enable it has its GSI routed and its BARs decoded. */
  setEnabled(enabled: boolean): Promise<void> {
    return this.#write(join(this.#directory, 'enable'), enabled ? '1' : '0');
  }

  unbind(): Promise<void> {
    return this.#write(join(this.#directory, 'driver/unbind'), this.name);
  }

  /** Hands the unbound function to this driver, or, when there is no such driver, to whichever wants it. */
  bind(driver: string): Promise<void> {
    const directory = driverDirectory(this.#root, driver);
    return existsSync(directory) ? this.#write(join(directory, 'bind'), this.name) : this.probe();
  }

  /** Offers the unbound function to the drivers that match. That all decline is no error. */
  probe(): Promise<void> {
    return this.#write(join(this.#root.sysfs, 'bus/pci/drivers_probe'), this.name);
  }

  /** Makes xen-pciback forget that the function was meant for guests. */
  async removeSlot(): Promise<void> {
    const directory = driverDirectory(this.#root, 'pciback');
    const slots = await this.#read(join(directory, 'slots'), (path) => readFile(path, 'latin1'));
    if (slots?.split(/\s+/).includes(this.name)) await this.#write(join(directory, 'remove_slot'), this.name);
  }

  async #attribute(name: string): Promise<string | null> {
    const text = await this.#read(join(this.#directory, name), (path) => readFile(path, 'latin1'));
    return text?.trim() ?? null;
  }

  async #read(path: string, read: (path: string) => Promise<string>): Promise<string | null> {
    try {
      return await read(path);
    } catch (error) {
      if (!existsSync(this.#directory)) throw noSuchFunction(this.#sbdf, error);
      if (codeOf(error) === 'ENOENT') return null;
      throw this.#refusal(`reading ${path}`, error);
    }
  }

  async #write(path: string, text: string): Promise<void> {
    try {
      await this.#root.write(path, text, this.#directory);
    } catch (error) {
      if (!existsSync(this.#directory)) throw noSuchFunction(this.#sbdf, error);
      throw this.#refusal(`writing '${text.trim()}' to ${path}`, error);
    }
  }

  #refusal(attempt: string, cause: unknown): PcibackError {
    const code = codeOf(cause);
    if (code === undefined) throw cause;
    const [reason, remedy] = ['EACCES', 'EPERM'].includes(code)
      ? (['NO-PERMISSION', 'run it as root in dom0'] as const)
      : ([
          'DRIVER-BINDING',
          remedies[code] ?? 'the kernel log (dmesg) tells what the driver met with',
        ] as const);
    return new PcibackError(reason, `${this.name}: ${attempt} failed: ${code}`, remedy, { cause });
  }
}

const remedies: Readonly<Record<string, string>> = {
  EBUSY: 'another driver has taken the function meanwhile; unload that driver or try again',
  ENODEV: 'the driver and the function have been parted meanwhile, or do not match; try again',
  ENOENT: 'the kernel must be Linux 3.16 or later, with /sys mounted and writable',
  EROFS: 'mount /sys writable',
};

const codeOf = (error: unknown): string | undefined => (error as NodeJS.ErrnoException).code;
