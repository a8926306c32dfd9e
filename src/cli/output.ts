import { styleText } from 'node:util';

type Style = Parameters<typeof styleText>[0];

/** Bytes that may wait for a slow reader; what comes on top is dropped and counted. */
const mostPending = 0x10_0000;

/** Standard output: words for people, or one JSON document, or a stream of events. */
export class Output {
  readonly #stream: NodeJS.WriteStream;
  readonly #closing = new AbortController();
  #dropped = 0;

  constructor(stream: NodeJS.WriteStream = process.stdout) {
    this.#stream = stream;
    stream.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code !== 'EPIPE') throw error;
      this.#closing.abort();
    });
  }

  /** Aborted when it turns out that nobody reads any more. A daemon goes on without its audience. */
  get closed(): AbortSignal {
    return this.#closing.signal;
  }

  get isTerminal(): boolean {
    return this.#stream.isTTY;
  }

  /** Columns of the terminal; undefined when there is none. */
  get width(): number | undefined {
    return this.isTerminal ? this.#stream.columns : undefined;
  }

  /** Colours a text on a terminal, unless NO_COLOR is set. */
  style(style: Style, text: string): string {
    return this.isTerminal && !process.env['NO_COLOR']
      ? styleText(style, text, { validateStream: false })
      : text;
  }

  /** Prints lines. */
  print(text: string): void {
    this.#write(`${text}\n`);
  }

  /** Prints one JSON document, spread out for people. */
  printJson(value: unknown): void {
    this.print(this.isTerminal ? JSON.stringify(value, null, 2) : JSON.stringify(value));
  }

  /**
   * Prints one JSON object as a line of a stream. When the reader does not keep up, lines are dropped rather than piled up
   * without bound; how many is the next thing it reads.
   */
  printEvent(event: object): void {
    if (this.#stream.writableLength > mostPending) {
      this.#dropped += 1;
      return;
    }
    if (this.#dropped > 0) {
      this.#write(`${JSON.stringify({ type: 'output.dropped', data: { lines: this.#dropped } })}\n`);
      this.#dropped = 0;
    }
    this.#write(`${JSON.stringify(event)}\n`);
  }

  #write(text: string): void {
    if (!this.closed.aborted) this.#stream.write(text);
  }
}
