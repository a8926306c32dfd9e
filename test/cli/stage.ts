/**
 * Runs a command whose standard output is full and is not read: a pipe, a socket, a terminal that nobody reads or that is stopped as by
 * Ctrl-S. Python makes them, which building the addon needs anyway.
 */
import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';
import { onTestFinished } from 'vitest';

export const places = ['pipe', 'socket', 'terminal', 'stopped terminal'] as const;
export type Place = (typeof places)[number];

const program = `
import os, select, socket, subprocess, sys, termios, threading, tty
kind, command = sys.argv[1], sys.argv[2:]
if kind == 'pipe': reader, writer = os.pipe()
elif kind == 'socket': reader, writer = (end.detach() for end in socket.socketpair())
else:
    reader, writer = os.openpty()
    tty.setraw(writer)
os.set_blocking(writer, False)
# A terminal passes on what it was given, and has room again, for a while.
while select.select([], [writer], [], 0.5)[1]:
    try:
        while True: os.write(writer, b'#' * 99 + b'\\n')
    except BlockingIOError: pass
os.set_blocking(writer, True)
if kind == 'stopped terminal': termios.tcflow(writer, termios.TCOOFF)
child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=writer, stderr=writer)
print(child.pid, file=sys.stderr, flush=True)
def read():
    if not sys.stdin.readline(): return
    if kind == 'stopped terminal': termios.tcflow(writer, termios.TCOON)
    os.close(writer)
    try:
        while chunk := os.read(reader, 65536): os.write(1, chunk)
    except OSError: pass
    os.close(1)
thread = threading.Thread(target=read, daemon=True)
thread.start()
print(child.wait(), file=sys.stderr, flush=True)
thread.join()
`;

export class Stage {
  readonly pid: number;
  readonly #stage: ChildProcessByStdio<Writable, Readable, Readable>;
  readonly #ended: Promise<number>;

  /** Starts `command` there. It and the place are gone with the test. */
  static async open(place: Place, command: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<Stage> {
    const stage = spawn('python3', ['-c', program, place, ...command], {
      env: { ...process.env, ...env },
      stdio: ['pipe', 'pipe', 'pipe'],
    });
    stage.stdin.on('error', () => {});
    const told = createInterface({ input: stage.stderr })[Symbol.asyncIterator]();
    const { value: pid } = await told.next();
    return new Stage(
      stage,
      Number(pid),
      told.next().then(({ value }) => Number(value)),
    );
  }

  private constructor(
    stage: ChildProcessByStdio<Writable, Readable, Readable>,
    pid: number,
    ended: Promise<number>,
  ) {
    this.pid = pid;
    this.#stage = stage;
    this.#ended = ended;
    let isOver = false;
    void ended.then(() => (isOver = true));
    onTestFinished(() => {
      if (!isOver) process.kill(pid, 'SIGKILL');
      stage.kill('SIGKILL');
    });
  }

  /** Sends a signal and waits for the end; returns the exit code, or the negative number of a signal, and the milliseconds it took. */
  async end(signal: NodeJS.Signals): Promise<{ readonly code: number; readonly milliseconds: number }> {
    const before = performance.now();
    process.kill(this.pid, signal);
    const code = await this.#ended;
    return { code, milliseconds: performance.now() - before };
  }

  /** Resolves with the exit code, when the command ends by itself. */
  get ended(): Promise<number> {
    return this.#ended;
  }

  /** Reads at last, and gives each line that the command has printed to `hear`. */
  read(hear: (line: string) => void): void {
    const lines = createInterface({ input: this.#stage.stdout });
    lines.on('line', (line) => {
      if (!line.startsWith('#')) hear(line);
    });
    this.#stage.stdin.write('read\n');
  }
}
