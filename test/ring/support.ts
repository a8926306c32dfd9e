/** A guest's page without a guest, and functions whose pirqs come from a counter. */
import { defaultMode } from '../../src/config-space/index.ts';
import {
  type ExportedFunction,
  opSize,
  PageOffset,
  pageSize,
  type Pirqs,
  RingOperations,
} from '../../src/ring/index.ts';
import { nic, nicResources, setUp, type Setup, type Bench } from '../config-space/support.ts';

export class FakePirqs implements Pirqs {
  readonly held = new Map<number, { readonly entry: number; readonly tableBase: bigint }>();
  next = 0x37;
  intxPirq = 0x11;
  /** Mappings that still succeed; then there is none left. */
  supply = Infinity;

  mapMsi(entry: number, tableBase: bigint): number {
    if (this.supply <= 0) return -28;
    this.supply -= 1;
    const pirq = this.next;
    this.next += 1;
    this.held.set(pirq, { entry, tableBase });
    return pirq;
  }

  unmap(pirq: number): void {
    if (!this.held.delete(pirq)) throw new RangeError(`pirq ${pirq} is not mapped`);
  }

  intx(): number {
    return this.intxPirq;
  }
}

export interface Guest extends Bench {
  readonly pirqs: FakePirqs;
  readonly fn: ExportedFunction;
  readonly operations: RingOperations;
  readonly op: Int32Array;
  readonly page: Uint8Array;
  /** One turn of a back-end: copies the request, decides, publishes. Tells whether there was one. */
  readonly serve: () => boolean;
}

/** The adapter with its MSI-X table and pending bits in BAR 0, at 0000:00:00.0 of a guest. */
export function guestWith(setup: Setup = {}): Guest {
  const bench = setUp({
    rows: { ...nic, 0xa4: '00000000', 0xa8: '00200000' },
    resources: nicResources,
    ...setup,
    mode: { ...defaultMode, ...setup.mode },
  });
  const pirqs = new FakePirqs();
  const fn: ExportedFunction = { filter: bench.filter, pirqs, decoder: bench.hardware };
  const operations = new RingOperations((domain, bus, devfn) =>
    domain === 0 && bus === 0 && devfn === 0 ? fn : undefined,
  );
  const page = new Uint8Array(pageSize);
  const op = new Int32Array(opSize / 4);
  return { ...bench, pirqs, fn, operations, op, page, serve: () => serve(page, op, operations) };
}

function serve(page: Uint8Array, op: Int32Array, operations: RingOperations): boolean {
  const words = new DataView(page.buffer);
  if ((words.getUint32(PageOffset.flags, true) & 1) === 0) return false;
  for (let word = 0; word < op.length; word++) op[word] = words.getInt32(PageOffset.op + 4 * word, true);
  operations.handle(op);
  words.setInt32(8, operations.err, true);
  words.setUint32(32, operations.value, true);
  for (let i = 0; i < operations.vectors; i++) words.setInt32(40 + 4 * i, op[9 + i] ?? 0, true);
  words.setUint32(PageOffset.flags, words.getUint32(PageOffset.flags, true) & ~1, true);
  operations.answered();
  return true;
}
