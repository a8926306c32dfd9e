/** Builds and runs the foreign front-end. */
import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { filter, firstValueFrom, ReplaySubject } from 'rxjs';
import * as bounds from '../bounds.ts';

const sources = fileURLToPath(new URL('.', import.meta.url));

export interface ForeignProgram extends AsyncDisposable {
  readonly path: string;
}

/** Compiles with every warning an error. */
export async function buildForeign(): Promise<ForeignProgram> {
  const directory = await mkdtemp(join(tmpdir(), 'foreign-'));
  const path = join(directory, 'foreign');
  const files = readdirSync(sources).filter((name) => name.endsWith('.c'));
  const options = ['-std=gnu11', '-O2', '-Wall', '-Wextra', '-Werror', '-pthread'];
  await promisify(execFile)('cc', [...options, '-o', path, ...files.map((name) => join(sources, name))]);
  return { path, [Symbol.asyncDispose]: () => rm(directory, { recursive: true }) };
}

export interface ForeignEvent {
  readonly event: string;
  readonly [key: string]: unknown;
}

/** One run of the program in a domain; its lines as they come. */
export class ForeignRun {
  readonly lines: ForeignEvent[] = [];
  readonly ended: Promise<number | null>;
  readonly #child: ChildProcess;
  readonly #events = new ReplaySubject<ForeignEvent>();

  /** `patience`: milliseconds after which it gives a request up, or a back-end that does not close with it. */
  constructor(
    program: ForeignProgram,
    directory: string,
    domid: number,
    steps: readonly string[],
    patience = bounds.patience,
  ) {
    const child = spawn(program.path, [directory, String(domid), ...steps], {
      stdio: ['ignore', 'pipe', 'inherit'],
      env: { ...process.env, FOREIGN_PATIENCE: String(patience) },
    });
    this.#child = child;
    createInterface({ input: child.stdout }).on('line', (line) => {
      const event = JSON.parse(line) as ForeignEvent;
      this.lines.push(event);
      this.#events.next(event);
    });
    this.ended = once(child, 'close').then(([code]) => {
      this.#events.complete();
      return code as number | null;
    });
  }

  /** The first line of this kind, once it is there. Rejects when the program ends without it. */
  until(kind: string): Promise<ForeignEvent> {
    return firstValueFrom(this.#events.pipe(filter(({ event }) => event === kind)));
  }

  /** All lines of this kind so far. */
  all(kind: string): ForeignEvent[] {
    return this.lines.filter(({ event }) => event === kind);
  }

  kill(signal: NodeJS.Signals = 'SIGTERM'): void {
    this.#child.kill(signal);
  }
}
