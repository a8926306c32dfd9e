import { expect, onTestFinished, test } from 'vitest';
import type { AccessSize } from '../../src/config-space/access.ts';
import { ModelFault, type ModelFunction, openModel } from '../../src/host/model.ts';
import { ensureModel } from '../../src/host/model-file.ts';
import { requireAnswer, seizeFunction } from '../../src/host/silent.ts';
import { captured } from './support/functions.ts';
import { temporaryDirectory } from './support/tree.ts';

const nic = captured('8086:10d3');
const refusal = expect.objectContaining({
  reason: 'NOT-ANSWERING',
  message: '0000:41:00.0 does not answer',
}) as unknown;

function model(): ModelFunction {
  const directory = temporaryDirectory();
  ensureModel(directory, nic);
  const hardware = openModel(directory, nic.sbdf);
  onTestFinished(() => hardware.close());
  return hardware;
}

test('a function is seized while it answers', () => {
  const hardware = model();
  expect(() => requireAnswer(hardware)).not.toThrow();
  expect(seizeFunction(hardware, nic)).toMatchObject({ vendor: 0x8086, device: 0x10d3 });
});

test('of a function that was pulled no configuration is taken', () => {
  const hardware = model();
  hardware.faults = ModelFault.absent;
  expect(() => requireAnswer(hardware)).toThrow(refusal);
  expect(() => seizeFunction(hardware, nic)).toThrow(refusal);
});

test.each([17, 100, 900, 1039])('nor of one that is pulled at the read %i of its registers', (last) => {
  const hardware = model();
  const read = hardware.read.bind(hardware);
  let reads = 0;
  hardware.read = (offset: number, size: AccessSize): number => {
    reads += 1;
    if (reads >= last) hardware.faults = ModelFault.absent;
    return read(offset, size);
  };
  expect(() => seizeFunction(hardware, nic)).toThrow(refusal);
});
