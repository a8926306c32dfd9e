import { deepStrictEqual, strictEqual } from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import fc from 'fast-check';
import { test } from 'vitest';
import { makeSbdf } from '../../src/address.ts';
import {
  compileFilter,
  type ConfigAccess,
  ConfigFilter,
  FunctionRecord,
  recordSize,
  seize,
} from '../../src/config-space/index.ts';
import { nativeAddon } from '../../src/host/native.ts';
import { Command, OpWord } from '../../src/ring/layout.ts';
import {
  randomDeeds,
  randomFunction,
  type RandomFunction,
  resolve,
} from '../config-space/random-function.ts';
import { noiseOp, setUp } from './loopback-setting.ts';

const address = makeSbdf(0x8001, 0x02, 0x03, 4);
const edges = [0, 1, 2, 3, 0xfc, 0xff, 0x100, 0xffc, 0xfff, 0x1000, 0x7fff_fffc, -0x8000_0000, -4, -1];
const sizes = [1, 2, 4, 0, 3, 5, 8, 0x104, 0x4000_0000, -1, -4];

/** A function whose registers are in a file, behind a filter. */
function seized(path: string, { config, identity, mode }: RandomFunction) {
  writeFileSync(path, config);
  const { ConfigFile } = nativeAddon();
  const file = new ConfigFile(path);
  let asked = 0;
  const hardware: ConfigAccess = {
    length: file.length === 256 ? 256 : 4096,
    read: (offset, size) => {
      asked++;
      return file.read(offset, size);
    },
    write: (offset, size, value) => void file.write(offset, size, value),
  };
  const table = compileFilter(seize(hardware, identity), mode);
  const record = FunctionRecord.create(new ArrayBuffer(recordSize), table.initialCommand);
  const effects = { resetRequested: () => undefined, contextLost: () => undefined };
  const filter = new ConfigFilter(table, hardware, record, effects);
  /** What is done to the filter, and whether that has it read the hardware. */
  const asks = (deed: () => unknown): boolean => {
    const before = asked;
    deed();
    return asked > before;
  };
  return { file, filter, asks };
}

test.each([
  ['live registers in a file', true],
  ['live registers left to JavaScript', false],
])(
  'whatever a function is and its guest does, a read is answered as by the filter: %s',
  (_, isReadable) => {
    const { directory, front, ring } = setUp();
    const property = fc.property(randomFunction, randomDeeds, (fn, deeds) => {
      const { file, filter, asks } = seized(directory.in('config'), fn);
      const { record } = filter;
      ring.answerReads([{ address, table: filter.readTable, hardware: isReadable ? { file } : {} }]);

      const read = (offset: number, size: number): void => {
        const op = noiseOp();
        op.set([Command.confRead, 0x55, 0x8001, 0x02, 0x1c, offset, size]);
        front.submit(op);
        const readsBefore = record.reads;
        const look = ring.look(1);
        const counted = record.reads - readsBefore;
        let err = 0;
        const isLive = asks(() => (err = filter.read(offset, size)));
        if (isLive && !isReadable) {
          deepStrictEqual([look, counted], ['request', 0]);
        } else {
          strictEqual(front.poll(op), true);
          const answer = [op[OpWord.err], op[OpWord.value]];
          deepStrictEqual([look, answer, counted], ['busy', [err, filter.value | 0], err === 0 ? 1 : 0]);
        }
      };

      try {
        for (const deed of deeds) {
          if (deed.do === 'read') {
            read(resolve(deed.where, deed.size, fn), deed.size);
          } else if (deed.do === 'write') {
            const offset = resolve(deed.where, deed.size, fn);
            filter.read(offset, deed.size);
            const flipped = filter.value ^ (1 << (deed.value % 32));
            filter.write(offset, deed.size, deed.how === 'flip' ? flipped : deed.value | 0);
            read(offset, deed.size);
          } else if (deed.do === 'poke') {
            file.write(deed.offset, 1, deed.value);
          } else if (deed.do === 'recover') {
            filter.contextRestored();
          } else if (deed.do === 'finish reset') {
            filter.resetFinished();
          }
        }
        for (const offset of edges) for (const size of sizes) read(offset, size);
        for (let offset = 0; offset < fn.layout.length; offset += 4) read(offset, 4);
      } finally {
        file.close();
      }
    });
    fc.assert(property, { numRuns: 100 });
  },
  60_000,
);
