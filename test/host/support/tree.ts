import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import { formatSbdf } from '../../../src/address.ts';
import type { Resource } from '../../../src/config-space/access.ts';
import type { FunctionFacts } from '../../../src/host/platform.ts';

/** A directory that goes with the test. */
export function temporaryDirectory(): string {
  const directory = mkdtempSync(join(tmpdir(), 'pciback-host-'));
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

const hex = (value: number | bigint, digits: number): string =>
  `0x${value.toString(16).padStart(digits, '0')}`;

const flags: Record<Resource['kind'], number> = {
  io: 0x4_0101,
  memory32: 0x4_0200,
  memory64: 0x14_0204,
  rom: 0x4_6200,
};

/** The `resource` attribute as Linux prints it for a function that is no bridge: thirteen lines. */
export function resourceText(resources: readonly Resource[]): string {
  const unset = [0n, 0n, 0].map((value) => hex(value, 16)).join(' ');
  const lines = Array.from({ length: 13 }, () => unset);
  for (const { index, kind, prefetchable, start, size } of resources) {
    const bits = flags[kind] | (prefetchable ? 0x2008 : 0);
    lines[index] = [start, start + size - 1n, bits].map((value) => hex(value, 16)).join(' ');
  }
  return `${lines.join('\n')}\n`;
}

/** Writes a function as sysfs shows it, links and all, to `devices`/<address>. Returns that directory. */
export function writeFunction(devices: string, facts: FunctionFacts): string {
  const directory = join(devices, formatSbdf(facts.sbdf));
  mkdirSync(directory, { recursive: true });
  const put = (name: string, contents: string | Uint8Array): void =>
    writeFileSync(join(directory, name), contents);
  put('config', facts.config);
  put('vendor', `${hex(facts.vendor, 4)}\n`);
  put('device', `${hex(facts.device, 4)}\n`);
  put('subsystem_vendor', `${hex(facts.subsystemVendor, 4)}\n`);
  put('subsystem_device', `${hex(facts.subsystemDevice, 4)}\n`);
  put('class', `${hex(facts.classCode, 6)}\n`);
  put('revision', `${hex(facts.revision, 2)}\n`);
  put('irq', `${facts.irq}\n`);
  put('resource', resourceText(facts.resources));
  if (facts.resetMethods.length > 0) put('reset_method', `${facts.resetMethods.join(' ')}\n`);
  if (facts.driver !== null) symlinkSync(`../../drivers/${facts.driver}`, join(directory, 'driver'));
  if (facts.physicalFunction !== null) {
    symlinkSync(`../${formatSbdf(facts.physicalFunction)}`, join(directory, 'physfn'));
  }
  return directory;
}
