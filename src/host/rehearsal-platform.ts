import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Sbdf } from '../address.ts';
import { functionDirectory, type HostRoot, linuxHost } from './host-root.ts';
import { LoopbackPlatform } from './loopback.ts';
import type { FunctionFacts, HostFunction, Taken } from './platform.ts';
import { XenFunction } from './xen-function.ts';

/**
 * A hypervisor in a directory whose functions are read and written as those of a Xen host, in a sysfs of its own: what V8 compiles for
 * it, it has compiled for the host.
 */
export class RehearsalPlatform extends LoopbackPlatform {
  readonly #root: HostRoot;

  constructor(directory: string) {
    super(directory);
    this.#root = { ...linuxHost, sysfs: join(directory, 'sys') };
  }

  override async takeFromHost(facts: FunctionFacts): Promise<Taken> {
    const directory = functionDirectory(this.#root, facts.sbdf);
    mkdirSync(directory, { recursive: true });
    writeFileSync(join(directory, 'config'), facts.config);
    return super.takeFromHost(facts);
  }

  override openFunction(sbdf: Sbdf): HostFunction {
    return new XenFunction(this.#root, sbdf, this.hypervisor);
  }
}
