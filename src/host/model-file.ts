/**
 * Where the hardware of the loopback platform lives: a file for each function, mapped by whoever looks at it, which outlives
 * every daemon as hardware does. Numbers are 32 bits, little-endian.
 *
 *     0x0000   "pcimodel" | version | faults | resets | bytes of configuration space | bytes of facts
 *     0x0020   the facts but their configuration space, as MessagePack
 *     0x1000   configuration space when the model was made: what a reset goes back to
 *     0x2000   the registers
 */
import { existsSync, linkSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { pack, unpack } from 'msgpackr';
import { formatSbdf, parseSbdf, type Sbdf } from '../address.ts';
import { PcibackError } from '../errors.ts';
import { exhaustion } from './exhaustion.ts';
import { mapFile, unmapFile } from './files.ts';
import { isNativeError } from './native.ts';
import { type FunctionFacts, stateDirectoryIn } from './platform.ts';
import { leftByDriver } from './power-up.ts';
import { stateFiles } from './state-files.ts';

/** The parts of a mapped model. */
export interface MappedModel {
  readonly facts: FunctionFacts;
  /** The registers themselves, shared: 256 or 4096 bytes. */
  readonly registers: DataView;
  /** Two words, shared: faults (`ModelFault`), and how often the function was reset. */
  readonly condition: Uint32Array;
  /** Takes the memory from all of it but the facts. */
  readonly unmap: () => void;
}

const magic = 'pcimodel';
const version = 1;
const fileSize = 0x3000;
const Offset = {
  version: 0x08,
  condition: 0x0c,
  space: 0x14,
  factsLength: 0x18,
  facts: 0x20,
  initial: 0x1000,
  registers: 0x2000,
} as const;

const modelDirectory = (state: string): string => join(state, 'model');
const modelPath = (state: string, sbdf: Sbdf): string => join(modelDirectory(state), formatSbdf(sbdf));

/** The functions that have a model in a loopback directory, whose state is in `state`. */
export function listModels(directory: string, state = stateDirectoryIn(directory)): readonly Sbdf[] {
  let names: string[];
  try {
    names = readdirSync(modelDirectory(state));
  } catch {
    return [];
  }
  return names.map(parseSbdf).filter((sbdf) => sbdf !== undefined);
}

/**
 * Makes the model of a function, brought to where the host's driver would leave it. A model that is there already stays as
 * it is; of two processes that do this at once one wins. Returns whether it was there. Throws BAD-DIRECTORY, or BAD-FILE when what
 * is there models another function.
 */
export function ensureModel(
  directory: string,
  facts: FunctionFacts,
  state = stateDirectoryIn(directory),
): boolean {
  const path = modelPath(state, facts.sbdf);
  const isThere = existsSync(path);
  if (!isThere) create(path, facts);
  const present = factsOfModel(directory, facts.sbdf, state);
  if (present.vendor !== facts.vendor || present.device !== facts.device) {
    throw unusable(path, 'models another function than the one that is at this address now');
  }
  return isThere;
}

/** A name that is no address, then a link: whoever finds the model finds all of it. */
function create(path: string, facts: FunctionFacts): void {
  const making = `${path}.${process.pid}.${Math.random().toString(36).slice(2)}`;
  try {
    stateFiles.makeDirectory(dirname(path));
    try {
      writeFileSync(making, contentsFor(facts), { flag: 'wx', mode: 0o600 });
      linkSync(making, path);
    } finally {
      rmSync(making, { force: true });
    }
  } catch (cause) {
    if (cause instanceof PcibackError) throw cause;
    if ((cause as NodeJS.ErrnoException).code === 'EEXIST') return;
    throw new PcibackError(
      'BAD-DIRECTORY',
      `no model of a function can be made in ${dirname(path)}`,
      'name a directory that can be written, with room left, with --loopback',
      { cause },
    );
  }
}

function contentsFor(facts: FunctionFacts): Buffer {
  const initial = leftByDriver(facts.config);
  // A model can always be reset: where the hardware offers nothing, by way of its slot.
  const resetMethods = facts.resetMethods.length > 0 ? facts.resetMethods : ['bus'];
  const packed = pack({ ...facts, resetMethods, config: undefined });
  if (packed.length > Offset.initial - Offset.facts) {
    throw new PcibackError('INTERNAL', `the facts of a function take ${packed.length} bytes`, 'report it');
  }
  const contents = Buffer.alloc(fileSize);
  contents.write(magic, 'latin1');
  contents.writeUInt32LE(version, Offset.version);
  contents.writeUInt32LE(initial.length, Offset.space);
  contents.writeUInt32LE(packed.length, Offset.factsLength);
  contents.set(packed, Offset.facts);
  contents.set(initial, Offset.initial);
  contents.set(initial, Offset.registers);
  return contents;
}

/** What a model is of. Throws as `mapModel` does. */
export function factsOfModel(directory: string, sbdf: Sbdf, state?: string): FunctionFacts {
  const { facts, unmap } = mapModel(directory, sbdf, state);
  unmap();
  return facts;
}

/** Maps a model. Throws NO-SUCH-FUNCTION when there is none, BAD-FILE when the file is something else, OUT-OF-RESOURCES. */
export function mapModel(directory: string, sbdf: Sbdf, state = stateDirectoryIn(directory)): MappedModel {
  const path = modelPath(state, sbdf);
  const buffer = mapExisting(path, sbdf);
  try {
    return partsOf(buffer, path);
  } catch (error) {
    unmapFile(buffer);
    throw error;
  }
}

function partsOf(buffer: ArrayBuffer, path: string): MappedModel {
  const header = Buffer.from(buffer, 0, Offset.initial);
  const space = header.readUInt32LE(Offset.space);
  if (
    header.toString('latin1', 0, magic.length) !== magic ||
    header.readUInt32LE(Offset.version) !== version ||
    (space !== 256 && space !== 4096)
  ) {
    throw unusable(path, 'is no model of a PCI function that this version of pciback could have made');
  }
  return {
    facts: { ...factsIn(header, path), config: new Uint8Array(buffer, Offset.initial, space).slice() },
    registers: new DataView(buffer, Offset.registers, space),
    condition: new Uint32Array(buffer, Offset.condition, 2),
    unmap: () => unmapFile(buffer),
  };
}

function mapExisting(path: string, sbdf: Sbdf): ArrayBuffer {
  try {
    return mapFile(path, fileSize);
  } catch (cause) {
    if (!isNativeError(cause)) throw cause;
    const exhausted = exhaustion(cause, `the model of ${formatSbdf(sbdf)} cannot be mapped`);
    if (exhausted) throw exhausted;
    if (cause.code !== 'ENOENT') throw unusable(path, `cannot be mapped: ${cause.message}`, cause);
    throw new PcibackError(
      'NO-SUCH-FUNCTION',
      `there is no function ${formatSbdf(sbdf)} in ${dirname(path)}`,
      'list the functions of this host: pciback list',
      { cause },
    );
  }
}

function factsIn(header: Buffer, path: string): FunctionFacts {
  try {
    const length = header.readUInt32LE(Offset.factsLength);
    return unpack(header.subarray(Offset.facts, Offset.facts + length)) as FunctionFacts;
  } catch (error) {
    throw unusable(path, 'is a damaged model of a PCI function', error);
  }
}

const unusable = (path: string, problem: string, cause?: unknown): PcibackError =>
  new PcibackError('BAD-FILE', `${path} ${problem}`, 'remove it, or use another directory', { cause });
