/** The other end of an output: takes what is written, nothing for now, or fails. */
import { constants } from 'node:os';
import { Output } from '../../src/cli/output.ts';
import { Sink } from '../../src/cli/sink.ts';
import type { Writer } from '../../src/host/output-thread.ts';

export class Reader implements Writer {
  readonly #received: Uint8Array[] = [];
  readonly #done: () => void;
  #offered: Uint8Array | undefined;
  #result: number | null = null;
  #isReading: boolean;
  #room = Number.POSITIVE_INFINITY;
  #error = 0;

  constructor(done: () => void, isReading: boolean) {
    this.#done = done;
    this.#isReading = isReading;
  }

  /** All that has arrived. */
  get text(): string {
    return Buffer.concat(this.#received).toString();
  }

  get lines(): readonly string[] {
    return this.text.split('\n').slice(0, -1);
  }

  begin(bytes: Uint8Array): void {
    this.#offered = bytes;
    if (this.#isReading) this.#serve();
  }

  take(): number | null {
    const result = this.#result;
    this.#result = null;
    return result;
  }

  wait(): boolean {
    return this.#offered === undefined;
  }

  hold(): void {}

  /** From now on, whatever comes is taken. */
  read(): void {
    this.#isReading = true;
    this.#error = 0;
    this.#room = Number.POSITIVE_INFINITY;
    this.#serve();
  }

  /** From now on there is room for so many bytes; what comes on top fails. */
  fail(code: keyof typeof constants.errno, room = 0): void {
    this.#isReading = true;
    this.#error = constants.errno[code];
    this.#room = room;
    this.#serve();
  }

  #serve(): void {
    const bytes = this.#offered;
    if (bytes === undefined) return;
    this.#offered = undefined;
    const taken = bytes.subarray(0, this.#room);
    if (taken.length > 0) this.#received.push(taken);
    this.#room -= taken.length;
    this.#result = taken.length > 0 ? taken.length : -this.#error;
    queueMicrotask(this.#done);
  }
}

export interface Ends {
  readonly sink: Sink;
  readonly reader: Reader;
  readonly output: Output;
}

export function open({
  isReading = true,
  isTerminal = false,
  width = undefined as number | undefined,
} = {}): Ends {
  let reader: Reader | undefined;
  const sink = new Sink((done) => (reader = new Reader(done, isReading)));
  if (!reader) throw new Error('nothing was opened');
  return { sink, reader, output: new Output({ sink, isTerminal, width: () => width }) };
}
