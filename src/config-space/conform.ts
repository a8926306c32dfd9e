/** Runs configuration-space vectors against the filter, with plain memory for hardware. */
import { PcibackError } from '../errors.ts';
import { compileFilter } from './compile.ts';
import { ConfigFilter } from './filter.ts';
import { widthMask } from './image.ts';
import { type Content, RamConfig, WriteLog } from './ram.ts';
import { FunctionRecord, recordSize } from './record.ts';
import { seize } from './seize.ts';
import { parseVectors, type VectorSequence, type VectorStep } from './vector-file.ts';

/** Steps are counted, over all sequences. */
export interface ConformReport {
  readonly passed: number;
  readonly failed: number;
  readonly failures: readonly ConformFailure[];
}

/** What of a step was compared, as it should have been and as it was. */
export interface ConformFailure {
  readonly id: string;
  readonly expected: StepOutcome;
  readonly actual: StepOutcome;
}

export interface StepOutcome {
  readonly err?: number;
  readonly result?: string;
  readonly hardware?: readonly { readonly offset: string; readonly size: number; readonly value: string }[];
  /** Why the step could not be taken at all. */
  readonly refused?: string;
}

/** Runs the vectors of one file. A step that comes out differently does not end its sequence. Throws BAD-FILE. */
export function conform(text: string, file: string): ConformReport {
  const steps = parseVectors(text, file).flatMap(runSequence);
  const failures = steps.filter((failure) => failure !== undefined);
  return { passed: steps.length - failures.length, failed: failures.length, failures };
}

/** For each step what was wrong with it, or undefined. */
function runSequence(sequence: VectorSequence): readonly (ConformFailure | undefined)[] {
  const hardware = new RamConfig(sequence.config);
  const log = new WriteLog(hardware);
  let filter: ConfigFilter;
  try {
    filter = takeInHand(sequence, log);
  } catch (error) {
    if (!(error instanceof PcibackError)) throw error;
    const refused = `${error.reason}: ${error.message}`;
    return sequence.steps.map((step) => ({ id: step.id, expected: expectedOf(step), actual: { refused } }));
  }
  for (const { offset, size, value } of sequence.hardwareBefore) hardware.write(offset, size, value);
  log.take();
  return sequence.steps.map((step) => runStep(filter, step, log));
}

/** Seizes the function and makes its filter. A reset that a guest asks for is over before the next step. */
function takeInHand({ identity, mode }: VectorSequence, hardware: WriteLog): ConfigFilter {
  const table = compileFilter(seize(hardware, identity), mode);
  const record = FunctionRecord.create(new ArrayBuffer(recordSize), table.initialCommand);
  const filter: ConfigFilter = new ConfigFilter(table, hardware, record, {
    resetRequested: () => filter.resetFinished(),
    contextLost: () => filter.contextRestored(),
  });
  return filter;
}

function runStep(filter: ConfigFilter, step: VectorStep, log: WriteLog): ConformFailure | undefined {
  const { id, op, offset, size } = step;
  const err = op === 'read' ? filter.read(offset, size) : filter.write(offset, size, step.value);
  const written = log.take();
  const passes =
    err === step.err &&
    (step.result === undefined || ((filter.value ^ step.result) & comparedBits(size)) === 0) &&
    (step.hardware === undefined || sameBytes(written, step.hardware));
  if (passes) return undefined;
  return { id, expected: expectedOf(step), actual: outcome(step, err, filter.value, written) };
}

/** Results count in the low `8 * size` bits; sizes that no access has are in the vectors too. */
const comparedBits = (size: number): number => (size <= 0 ? 0 : widthMask(Math.min(size, 4)));

const bytesOf = (contents: readonly Content[]): ReadonlyMap<number, number> =>
  new Map(
    contents.flatMap(({ offset, size, value }) =>
      Array.from({ length: size }, (_, byte) => [offset + byte, (value >>> (8 * byte)) & 0xff] as const),
    ),
  );

/** The same bytes were written, whatever the width of the accesses, and hold the same. */
function sameBytes(actual: readonly Content[], expected: readonly Content[]): boolean {
  const left = bytesOf(actual);
  const right = bytesOf(expected);
  return left.size === right.size && [...right].every(([offset, value]) => left.get(offset) === value);
}

const expectedOf = (step: VectorStep): StepOutcome => outcome(step, step.err, step.result, step.hardware);

/** The parts of an outcome that the step says anything about. */
function outcome(
  step: VectorStep,
  err: number,
  value: number | undefined,
  contents: readonly Content[] | undefined,
): StepOutcome {
  return {
    err,
    ...(step.result === undefined || value === undefined
      ? {}
      : { result: hex((value & comparedBits(step.size)) >>> 0, 2 * Math.max(1, Math.min(step.size, 4))) }),
    ...(step.hardware === undefined || contents === undefined
      ? {}
      : {
          hardware: contents.map(({ offset, size, value: held }) => ({
            offset: hex(offset, 3),
            size,
            value: hex(held >>> 0, 2 * size),
          })),
        }),
  };
}

const hex = (value: number, digits: number): string => `0x${value.toString(16).padStart(digits, '0')}`;
