/** The parent's handle on a guest that is a process of its own. */
import { spawn, type ChildProcessByStdio } from 'node:child_process';
import { once } from 'node:events';
import { extname } from 'node:path';
import { createInterface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { filter, firstValueFrom, ReplaySubject, type Observable } from 'rxjs';
import type { GuestCommandName, GuestCommands, GuestEvent, GuestMessage } from './guest-protocol.ts';

export interface GuestProcessOptions {
  /** The directory of the loopback platform. */
  readonly directory: string;
  /** The domain must exist. */
  readonly domid: number;
  readonly variant?: 'linux' | 'netbsd' | 'minios';
  /** What the guest writes as its `magic` key, to see it turned down. */
  readonly magic?: string;
  /** Milliseconds after which the guest gives a request up; those of its variant when not given. */
  readonly patience?: number;
}

/** The process ended before it answered. */
export class GuestGone extends Error {
  override readonly name = 'GuestGone';
}

export interface GuestExit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  /** The end of what it wrote to its standard error. */
  readonly errors: string;
}

interface Call {
  readonly resolve: (result: never) => void;
  readonly reject: (error: Error) => void;
}

const mostErrors = 4_000;
/** Events that a late subscriber still gets. */
const replayed = 1_000;

export class GuestProcess {
  /** Resolves when the process has ended, however it did. */
  readonly exited: Promise<GuestExit>;
  readonly #child: ChildProcessByStdio<Writable, Readable, Readable>;
  readonly #events = new ReplaySubject<GuestEvent>(replayed);
  readonly #calls = new Map<number, Call>();
  #lastId = 0;
  #errors = '';

  /** Starts the process; it waits for its domain to be introduced, and for a back-end, by itself. */
  constructor({ directory, domid, variant, magic, patience }: GuestProcessOptions) {
    const options = [
      '--loopback',
      directory,
      '--domid',
      String(domid),
      ...(variant === undefined ? [] : ['--variant', variant]),
      ...(magic === undefined ? [] : ['--magic', magic]),
      ...(patience === undefined ? [] : ['--patience', String(patience)]),
    ];
    this.#child = spawn(process.execPath, [...entryPoint(), ...options], { stdio: ['pipe', 'pipe', 'pipe'] });
    this.#child.stdin.on('error', () => {});
    this.#child.stderr.setEncoding('utf8').on('data', (text: string) => {
      this.#errors = (this.#errors + text).slice(-mostErrors);
    });
    createInterface({ input: this.#child.stdout }).on('line', (line) => this.#receive(line));
    this.exited = this.#awaitExit();
  }

  get pid(): number | undefined {
    return this.#child.pid;
  }

  /** What the guest reports, from the beginning; completes when the process has ended. */
  get events(): Observable<GuestEvent> {
    return this.#events;
  }

  /** The first event, past or to come, of which `isIt` holds. Rejects with GuestGone when the process ends before it. */
  async until(isIt: (event: GuestEvent) => boolean): Promise<GuestEvent> {
    const found = await firstValueFrom(this.#events.pipe(filter(isIt)), { defaultValue: null });
    if (found === null) throw await this.#gone();
    return found;
  }

  /** Resolves when the guest has found its functions and is Connected. Rejects with GuestGone. */
  async connected(): Promise<void> {
    await this.until(({ type }) => type === 'connected');
    await this.until((event) => event.type === 'state' && event.state === 'Connected');
  }

  /** Has the guest carry out a command. Rejects with what the guest says went wrong, or with GuestGone. */
  call<Name extends GuestCommandName>(
    name: Name,
    take: GuestCommands[Name]['take'],
  ): Promise<GuestCommands[Name]['give']> {
    this.#lastId += 1;
    const id = this.#lastId;
    return new Promise((resolve, reject) => {
      this.#calls.set(id, { resolve, reject });
      if (this.#child.exitCode !== null || this.#child.signalCode !== null) void this.#rejectCalls();
      else this.#child.stdin.write(`${JSON.stringify({ ...take, id, do: name })}\n`);
    });
  }

  /** Closes the front-end in an orderly way and waits for the process to end. */
  async shutdown(): Promise<GuestExit> {
    await this.call('shutdown', {}).catch((error: unknown) => {
      if (!(error instanceof GuestGone)) throw error;
    });
    return this.exited;
  }

  /** Ends the process as a guest that is destroyed ends: by default without a word. */
  kill(signal: NodeJS.Signals = 'SIGKILL'): Promise<GuestExit> {
    this.#child.kill(signal);
    return this.exited;
  }

  #receive(line: string): void {
    const message = JSON.parse(line) as GuestMessage;
    if (message.type !== 'reply') {
      this.#events.next(message);
      return;
    }
    const call = this.#calls.get(message.id);
    this.#calls.delete(message.id);
    if (message.ok) call?.resolve(message.result as never);
    else call?.reject(new Error(message.error));
  }

  async #awaitExit(): Promise<GuestExit> {
    // 'close' comes after the last line has been read.
    const [code, signal] = (await once(this.#child, 'close')) as [number | null, NodeJS.Signals | null];
    const exit = { code, signal, errors: this.#errors };
    this.#events.complete();
    this.#rejectWith(describeExit(exit));
    return exit;
  }

  async #rejectCalls(): Promise<void> {
    this.#rejectWith(describeExit(await this.exited));
  }

  #rejectWith(what: string): void {
    for (const { reject } of this.#calls.values()) reject(new GuestGone(what));
    this.#calls.clear();
  }

  async #gone(): Promise<GuestGone> {
    return new GuestGone(describeExit(await this.exited));
  }
}

const describeExit = ({ code, signal, errors }: GuestExit): string =>
  `the guest's process ended with ${signal ?? `exit code ${code}`}${errors === '' ? '' : `: ${errors.trim()}`}`;

/** Beside this file, in the language of this file: from the sources it runs through a loader. */
function entryPoint(): string[] {
  const language = extname(import.meta.url);
  const file = fileURLToPath(new URL(`./guest-main${language}`, import.meta.url));
  return language === '.ts' ? ['--import', 'tsx', file] : [file];
}
