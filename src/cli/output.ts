import { isatty } from 'node:tty';
import { styleText } from 'node:util';
import { PcibackError } from '../errors.ts';
import { plain, plainJson, plainJsonLines } from '../text.ts';
import type { Sink, WriteError } from './sink.ts';
import { standardOutput } from './standard.ts';

type Style = Parameters<typeof styleText>[0];

const escape = '\u001b';

/** What stands around the sequences that colour a text: nobody can write it who wants to have one printed. */
const seal = `${escape}${Math.random().toString(36)}${escape}`;
const colour = /^\[[\d;]*m$/;

/** No line is meant to be longer; of a longer one its beginning tells enough. */
const longestLine = 0x4000;

/** A line as it is printed: plain, but for the colours that `style` has given it. */
function printable(line: string): string {
  const parts = line.split(seal);
  const isColour = (part: string, index: number): boolean =>
    index % 2 === 1 && part.startsWith(escape) && colour.test(part.slice(1));
  if (line.length <= longestLine)
    return parts.map((part, index) => (isColour(part, index) ? part : plain(part))).join('');
  const text = parts.filter((part, index) => !isColour(part, index)).join('');
  return `${plain(text.slice(0, longestLine))}…`;
}

/** What a program reads where events are missing. */
const droppedEvent = (lines: number): string => plainJson({ type: 'output.dropped', data: { lines } });
const droppedLine = (lines: number): string => `... ${lines} lines could not be printed`;

/** Where an output goes to, and what that is. */
export interface Audience {
  readonly sink: Sink;
  readonly isTerminal: boolean;
  /** Columns of the terminal. */
  readonly width: () => number | undefined;
}

const standardAudience = (): Audience => {
  const isTerminal = isatty(1);
  return {
    sink: standardOutput(),
    isTerminal,
    width: () => (isTerminal ? process.stdout.columns : undefined),
  };
};

/**
 * Standard output: words for people, or one JSON document, or a stream of events. All that goes out is plain text, whatever stands in
 * what is given to it.
 */
export class Output {
  readonly #audience: Audience;
  readonly #closing = new AbortController();
  readonly #failing = new AbortController();
  /** Whether a command has not been done before all that it prints has been written. A daemon goes on without its audience. */
  waitsForReader = true;

  constructor(audience: Audience = standardAudience()) {
    this.#audience = audience;
    audience.sink.onFailure((error) => {
      if (error.code === 'EPIPE') this.#closing.abort();
      else this.#failing.abort(outputFailed(error));
    });
  }

  /** Aborted when it turns out that nobody reads any more. */
  get closed(): AbortSignal {
    return this.#closing.signal;
  }

  /** Aborted, with OUTPUT-FAILED, when something could not be written. */
  get failed(): AbortSignal {
    return this.#failing.signal;
  }

  get isTerminal(): boolean {
    return this.#audience.isTerminal;
  }

  /** Columns of the terminal; undefined when there is none. */
  get width(): number | undefined {
    return this.#audience.width();
  }

  /** Colours a text on a terminal, unless NO_COLOR is set. Only what is printed here can have colours. */
  style(style: Style, text: string): string {
    if (!this.isTerminal || process.env['NO_COLOR']) return text;
    const [on = '', off = ''] = styleText(style, '\0', { validateStream: false }).split('\0');
    return `${seal}${on}${seal}${plain(text)}${seal}${off}${seal}`;
  }

  /** Prints a line, or several. A line stays one, whatever is in it. */
  print(lines: string | readonly string[]): void {
    this.#write([lines].flat().map(printable));
  }

  /** Prints one JSON document, spread out for people. */
  printJson(value: unknown): void {
    this.#write(this.isTerminal ? plainJsonLines(value) : [plainJson(value)]);
  }

  /**
   * Prints one JSON object as a line of a stream. Where the reader does not keep up, or nothing can be written, lines are dropped rather
   * than piled up without bound; how many is the next thing that it reads.
   */
  printEvent(event: object): void {
    this.#audience.sink.offer(plainJson(event), droppedEvent);
  }

  /** Prints a line for people in the same way. */
  printPassing(line: string): void {
    this.#audience.sink.offer(printable(line), droppedLine);
  }

  /** Resolves when all has been written, or nobody reads it. Rejects with OUTPUT-FAILED, or with the reason of `signal`. */
  async delivered(signal: AbortSignal): Promise<void> {
    await this.#audience.sink.idle(signal);
    this.failed.throwIfAborted();
  }

  /** Writes what can be written soon, before the process ends. */
  drain(): void {
    this.#audience.sink.drain();
  }

  #write(lines: readonly string[]): void {
    if (this.closed.aborted || this.failed.aborted) return;
    this.#audience.sink.write(lines.map((line) => `${line}\n`).join(''));
  }
}

const outputFailed = ({ code, meaning }: WriteError): PcibackError =>
  new PcibackError(
    'OUTPUT-FAILED',
    `standard output cannot be written: ${code}, ${meaning}`,
    'make room there, or send the output elsewhere, and run it again',
  );
