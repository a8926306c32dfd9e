/**
 * PCI functions as Linux shows them under /sys/bus/pci, on this machine or in a tree that was captured on another. Files are
 * only ever read.
 */
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { formatSbdf, parseSbdf, type Sbdf } from '../address.ts';
import type { Resource } from '../config-space/access.ts';
import { Header } from '../config-space/bits.ts';
import { byteAt, type Image } from '../config-space/image.ts';
import { answers } from '../config-space/presence.ts';
import { PcibackError } from '../errors.ts';
import { identityOf } from './identity.ts';
import type { FunctionFacts } from './platform.ts';
import { possibleResetMethods } from './reset.ts';
import { parseResources } from './resources.ts';
import { notAnswering, silence, type SilentFunction } from './silent.ts';
import {
  excerpt,
  readBytes,
  readLinkName,
  readNumber,
  readText,
  readUevent,
  unusable,
} from './sysfs-file.ts';

/** The PCI functions of a host, by address. */
export interface Inventory {
  /** Those that answer. */
  readonly functions: readonly FunctionFacts[];
  /** Those that do not, or cannot be read; each has its warning. Undefined when there are none. */
  readonly silent?: readonly SilentFunction[];
  /** What is wrong with single functions; the others are not affected by it. */
  readonly warnings: readonly PcibackError[];
}

/** The facts of a function that is not to be read now; undefined for any other. May throw why there are none. */
export type Instead = (sbdf: Sbdf) => FunctionFacts | undefined;

/** All but what only a look at the whole host can tell; null: nobody has said which methods there are. */
type Draft = Omit<FunctionFacts, 'resetMethods'> & { readonly resetMethods: readonly string[] | null };

/**
 * Reads all functions of a tree. `directory` stands for /sys/bus/pci, for /sys, or holds the directories of the functions
 * itself. In a captured tree every file may be missing but `config`, and links may be plain files. Throws BAD-DIRECTORY when
 * it is none of these; what is wrong with a single function is a warning.
 */
export function readSysfs(directory: string, origin: 'host' | 'tree', instead?: Instead): Inventory {
  const devices = devicesDirectory(directory);
  const drafts = new Map<Sbdf, Draft | SilentFunction>();
  const warnings: PcibackError[] = [];
  for (const name of namesIn(devices)) {
    const sbdf = parseSbdf(name);
    if (sbdf === undefined) continue;
    const path = join(devices, name);
    if (drafts.has(sbdf)) {
      warnings.push(unusable(path, `there is another ${formatSbdf(sbdf)}`));
      continue;
    }
    const found = readFunction(path, sbdf, origin, instead);
    // A function that was unplugged since the directory was listed is none.
    if (origin === 'host' && isSilent(found) && !existsSync(path)) continue;
    if (isSilent(found)) warnings.push(found.refusal);
    drafts.set(sbdf, found);
  }
  const host = [...drafts.values()].sort((a, b) => a.sbdf - b.sbdf);
  const silent = host.filter(isSilent);
  const functions = host.flatMap((found) =>
    isSilent(found)
      ? []
      : { ...found, resetMethods: found.resetMethods ?? possibleResetMethods(found, host) },
  );
  return { functions, ...(silent.length > 0 && { silent }), warnings };
}

const isSilent = (found: Draft | SilentFunction): found is SilentFunction => found.config === null;

/** All functions of a host, whether they answer or not: those that do not have their place on the bus all the same. */
export const allFunctions = ({
  functions,
  silent = [],
}: Pick<Inventory, 'functions' | 'silent'>): readonly (FunctionFacts | SilentFunction)[] => [
  ...functions,
  ...silent,
];

/**
 * Reads one function of this machine anew; `sysfs` stands for /sys. Throws NO-SUCH-FUNCTION, NOT-ANSWERING when it does not
 * answer any more, or BAD-FILE.
 */
export function readSysfsFunction(sysfs: string, sbdf: Sbdf): FunctionFacts {
  const directory = join(sysfs, 'bus/pci/devices', formatSbdf(sbdf));
  if (!existsSync(directory)) throw noSuchFunction(sbdf);
  const draft = readFunction(directory, sbdf, 'host');
  if (isSilent(draft)) throw existsSync(directory) ? draft.refusal : noSuchFunction(sbdf);
  const { resetMethods } = draft;
  if (resetMethods !== null) return { ...draft, resetMethods };
  // Which methods there are is then to be told from the whole host.
  return (
    readSysfs(sysfs, 'host').functions.find((facts) => facts.sbdf === sbdf) ?? { ...draft, resetMethods: [] }
  );
}

export const noSuchFunction = (sbdf: Sbdf, cause?: unknown): PcibackError =>
  new PcibackError(
    'NO-SUCH-FUNCTION',
    `${formatSbdf(sbdf)} is not on this host`,
    '"pciback list" shows the functions that are',
    { cause },
  );

/** Where the directories of the functions lie. Throws BAD-DIRECTORY. */
export function devicesDirectory(directory: string): string {
  const nested = ['bus/pci/devices', 'devices'].map((below) => join(directory, below)).find(existsSync);
  if (nested !== undefined) return nested;
  if (namesIn(directory).some((name) => parseSbdf(name) !== undefined)) return directory;
  throw badDirectory(`${directory} describes no PCI functions`);
}

function namesIn(directory: string): readonly string[] {
  try {
    return readdirSync(directory).sort();
  } catch (error) {
    throw badDirectory(`${directory} cannot be read`, error);
  }
}

const badDirectory = (message: string, cause?: unknown): PcibackError =>
  new PcibackError(
    'BAD-DIRECTORY',
    message,
    'name a copy of /sys/bus/pci, or a directory with one subdirectory for each function, such as 0000:03:00.0',
    { cause },
  );

/** The IDs that the kernel has found at an address of this machine; null when nothing is there. */
export function readIdentity(sysfs: string, sbdf: Sbdf): Pick<FunctionFacts, 'vendor' | 'device'> | null {
  const directory = join(sysfs, 'bus/pci/devices', formatSbdf(sbdf));
  const [vendor, device] = ['vendor', 'device'].map((name) =>
    attempted(() => readNumber(join(directory, name), 0xffff)),
  );
  return vendor === undefined || device === undefined ? null : { vendor, device };
}

/** The methods by which one function of this machine can be reset now, whether it answers or not. Throws NO-SUCH-FUNCTION. */
export function readResetMethodsOf(sysfs: string, sbdf: Sbdf): readonly string[] {
  const directory = join(sysfs, 'bus/pci/devices', formatSbdf(sbdf));
  if (!existsSync(directory)) throw noSuchFunction(sbdf);
  const found = readFunction(directory, sbdf, 'host');
  return isSilent(found) ? found.resetMethods : readSysfsFunction(sysfs, sbdf).resetMethods;
}

function readFunction(
  directory: string,
  sbdf: Sbdf,
  origin: 'host' | 'tree',
  instead: Instead = () => undefined,
): Draft | SilentFunction {
  try {
    const known = instead(sbdf);
    if (known) return known;
    const config = readConfig(join(directory, 'config'));
    const vendor = readNumber(join(directory, 'vendor'), 0xffff) ?? identityOf(config).vendor;
    if (answers(config) && vendor !== 0xffff) return readDraft(directory, sbdf, origin, config, vendor);
    const powerState = powerStateOf(directory);
    const refusal = notAnswering(sbdf, powerState);
    return readSilent(directory, sbdf, origin, silence(powerState), refusal);
  } catch (error) {
    if (!(error instanceof PcibackError)) throw error;
    return readSilent(directory, sbdf, origin, 'cannot be read', error);
  }
}

/** `D0` to `D3cold`, `unknown` or `error` (Linux 5.10; drivers/pci/pci.c, pci_power_names). */
function powerStateOf(directory: string): string {
  const text = attempted(() => readText(join(directory, 'power_state')));
  return text !== undefined && /^\w{1,16}$/.test(text) ? text : 'unknown';
}

/** What the kernel keeps of the function, as far as it can be had. */
function readSilent(
  directory: string,
  sbdf: Sbdf,
  origin: 'host' | 'tree',
  problem: string,
  refusal: PcibackError,
): SilentFunction {
  const attribute = (name: string, largest: number): number | null =>
    attempted(() => readNumber(join(directory, name), largest)) ?? null;
  return {
    sbdf,
    vendor: attribute('vendor', 0xfffe),
    device: attribute('device', 0xffff),
    classCode: attribute('class', 0xff_ffff),
    config: null,
    resources: attempted(() => readResources(join(directory, 'resource'))) ?? [],
    physicalFunction: attempted(() => readPhysicalFunction(join(directory, 'physfn'))) ?? null,
    driver: attempted(() => readDriver(directory)) ?? null,
    resetMethods: attempted(() => readResetMethods(directory, origin)) ?? [],
    problem,
    refusal,
    origin,
  };
}

/** What is asked for, or undefined when it cannot be had. */
function attempted<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch {
    return undefined;
  }
}

function readDraft(
  directory: string,
  sbdf: Sbdf,
  origin: 'host' | 'tree',
  config: Image,
  vendor: number,
): Draft {
  const said = identityOf(config);
  const attribute = (name: string, largest: number): number | undefined =>
    readNumber(join(directory, name), largest);
  return {
    sbdf,
    vendor,
    device: attribute('device', 0xffff) ?? said.device,
    subsystemVendor: attribute('subsystem_vendor', 0xffff) ?? said.subsystemVendor,
    subsystemDevice: attribute('subsystem_device', 0xffff) ?? said.subsystemDevice,
    classCode: attribute('class', 0xff_ffff) ?? said.classCode,
    revision: attribute('revision', 0xff) ?? said.revision,
    config,
    resources: readResources(join(directory, 'resource')),
    irq: legacyInterrupt(config, attribute('irq', 0x7fff_ffff)),
    physicalFunction: readPhysicalFunction(join(directory, 'physfn')),
    driver: readDriver(directory),
    resetMethods: readResetMethods(directory, origin),
    origin,
  };
}

/** Linux lets only root read past the header, so the file can end after 64 bytes; then what 256 or 4096 bytes there are. */
function readConfig(path: string): Image {
  const bytes = readBytes(path, 4096);
  if (bytes === undefined) throw unusable(path, 'is missing, and nothing can stand in for it');
  const length = [4096, 256, 64].find((size) => bytes.length >= size);
  if (length === undefined) throw unusable(path, `${bytes.length} bytes are no configuration space`);
  return bytes.slice(0, length);
}

function readResources(path: string): readonly Resource[] {
  try {
    return parseResources(readText(path) ?? '');
  } catch (error) {
    if (error instanceof RangeError) throw unusable(path, error.message);
    throw error;
  }
}

/**
 * Without an interrupt pin there is no legacy interrupt, whatever number the kernel keeps: it is that of an MSI then. In the
 * line register 0xFF means "not connected" (PCI Local Bus 3.0, 6.2.4).
 */
function legacyInterrupt(config: Image, irq: number | undefined): number {
  if (byteAt(config, Header.interruptPin) === 0) return 0;
  const line = byteAt(config, Header.interruptLine);
  return irq ?? (line === 0xff ? 0 : line);
}

function readPhysicalFunction(path: string): Sbdf | null {
  const name = readLinkName(path, 'PCI_SLOT_NAME');
  if (name === undefined) return null;
  const sbdf = parseSbdf(name);
  if (sbdf === undefined) throw unusable(path, `'${excerpt(name)}' is no PCI address`);
  return sbdf;
}

function readDriver(directory: string): string | null {
  const own = join(directory, 'uevent');
  const name = readLinkName(join(directory, 'driver'), 'DRIVER') ?? readUevent(own, 'DRIVER');
  if (name === undefined) return null;
  if (!/^[\w+.-]{1,64}$/.test(name)) throw unusable(directory, `'${excerpt(name)}' is no name of a driver`);
  return name;
}

/**
 * `reset_method` (Linux 5.15) lists what the kernel would try; before it, `reset` only told that there was something to try.
 * A host that has neither file offers nothing, while in a captured tree they may just not have been copied.
 */
function readResetMethods(directory: string, origin: 'host' | 'tree'): readonly string[] | null {
  const path = join(directory, 'reset_method');
  const text = readText(path);
  if (text === undefined) return origin === 'host' && !existsSync(join(directory, 'reset')) ? [] : null;
  const methods = text.split(/\s+/).filter((word) => word !== '');
  if (methods.length > 16 || methods.some((word) => !/^\w{1,32}$/.test(word))) {
    throw unusable(path, `'${excerpt(text)}' is no list of reset methods`);
  }
  return methods;
}
