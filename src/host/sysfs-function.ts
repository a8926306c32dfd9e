import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { formatSbdf, type Sbdf } from '../address.ts';
import type { AccessSize } from '../config-space/access.ts';
import { PcibackError } from '../errors.ts';
import { exhaustion } from './exhaustion.ts';
import { functionDirectory, type HostRoot } from './host-root.ts';
import { isNativeError } from './native.ts';
import type { FunctionFacts, HostFunction } from './platform.ts';
import { noSuchFunction, readResetMethodsOf, readSysfsFunction } from './sysfs.ts';

/** The `config` attribute, open: the addon reads and writes it with one aligned system call each. */
export interface ConfigFile {
  /** Bytes that the kernel lets this process read. */
  readonly length: number;
  read(offset: number, size: AccessSize): number;
  /** False when the kernel did not take the write. */
  write(offset: number, size: AccessSize, value: number): boolean;
  close(): void;
}

/** Opens the attribute, or throws a NativeError. */
export type ConfigFileClass = new (path: string) => ConfigFile;

/** A function of this machine that a stub driver holds. */
export class SysfsFunction implements HostFunction {
  readonly sbdf: Sbdf;
  readonly length: 256 | 4096;
  readonly #config: ConfigFile;
  readonly #root: HostRoot;
  #isBeingReset = false;

  /**
   * A function that does not answer can be opened as well: its guest reads ones, and a reset may bring it back.
   * @throws NO-SUCH-FUNCTION, NO-PERMISSION or OUT-OF-RESOURCES
   */
  constructor(root: HostRoot, sbdf: Sbdf, File: ConfigFileClass) {
    this.sbdf = sbdf;
    this.#root = root;
    this.#config = openConfig(root, sbdf, File);
    const length = [4096, 256].find((size) => this.#config.length >= size);
    if (length === undefined) {
      this.#config.close();
      throw notPermitted(sbdf, `the kernel shows no more than ${this.#config.length} bytes of its registers`);
    }
    this.length = length as 256 | 4096;
  }

  get file(): ConfigFile {
    return this.#config;
  }

  /** As they are now: twenty files, which nobody wants to wait for who only wants its registers. Throws NO-SUCH-FUNCTION, NOT-ANSWERING or BAD-FILE. */
  get facts(): FunctionFacts {
    return readSysfsFunction(this.#root.sysfs, this.sbdf);
  }

  get resetMethods(): readonly string[] {
    return readResetMethodsOf(this.#root.sysfs, this.sbdf);
  }

  /** While it is reset it does not answer: the kernel would have this thread wait for the end (drivers/pci/access.c, pci_wait_cfg). */
  read(offset: number, size: AccessSize): number {
    return this.#isBeingReset ? allOnes(size) : this.#config.read(offset, size);
  }

  /** A write that the kernel does not take is lost, like one to hardware that does not answer. */
  write(offset: number, size: AccessSize, value: number): void {
    if (!this.#isBeingReset) this.#config.write(offset, size, value);
  }

  /**
   * The kernel takes the first method of `reset_method` that works; `method` is what is reported. It can take minutes. Rejects with
   * RESET-FAILED.
   */
  async reset(method: string): Promise<void> {
    const directory = functionDirectory(this.#root, this.sbdf);
    this.#isBeingReset = true;
    try {
      await this.#root.write(join(directory, 'reset'), '1', directory);
    } catch (error) {
      throw this.#resetFailed(method, error);
    } finally {
      this.#isBeingReset = false;
    }
  }

  /** The kernel restores its own; of others only a hypervisor knows. */
  restoreVectors(): void {
    // See XenFunction.
  }

  #resetFailed(method: string, cause: unknown): unknown {
    const code = (cause as NodeJS.ErrnoException).code;
    if (code === undefined) return cause;
    const name = formatSbdf(this.sbdf);
    const [what, remedy] = ['ENOTTY', 'ENOENT'].includes(code)
      ? [`the kernel offers no reset for ${name}`, 'switch the host off and on to have it reset']
      : [`${name} could not be reset (${method}): ${code}`, `try again: pciback reset ${name}`];
    return new PcibackError('RESET-FAILED', what, remedy, { cause });
  }

  close(): void {
    this.#config.close();
  }
}

const allOnes = (size: AccessSize): number => (size === 4 ? 0xffff_ffff : size === 2 ? 0xffff : 0xff);

function openConfig(root: HostRoot, sbdf: Sbdf, File: ConfigFileClass): ConfigFile {
  const directory = functionDirectory(root, sbdf);
  try {
    return new File(join(directory, 'config'));
  } catch (error) {
    if (!existsSync(directory)) throw noSuchFunction(sbdf, error);
    const exhausted = exhaustion(error, `the registers of ${formatSbdf(sbdf)} cannot be opened`);
    if (exhausted) throw exhausted;
    if (!isNativeError(error)) throw error;
    throw notPermitted(sbdf, `its registers cannot be opened: ${error.code}`, error);
  }
}

const notPermitted = (sbdf: Sbdf, problem: string, cause?: unknown): PcibackError =>
  new PcibackError('NO-PERMISSION', `${formatSbdf(sbdf)}: ${problem}`, 'run it as root in dom0', { cause });
