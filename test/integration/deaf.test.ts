/** Whatever standard output and standard error are connected to: guests are served, the daemon answers, dies, is succeeded and ends. */
import { execFileSync, spawn } from 'node:child_process';
import { closeSync, existsSync, openSync, readFileSync, readlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type BackendEvent, formatSbdf } from 'pciback';
import { describe, expect, onTestFinished, test } from 'vitest';
import { patience } from '../bounds.ts';
import { places, Stage } from '../cli/stage.ts';
import { DeafHost } from './deaf-host.ts';
import { Script } from './script.ts';
import { e1000e, nvme } from './surroundings.ts';

const isAlive = (pid: number): boolean => existsSync(`/proc/${pid}`);

/** A life of a host that this process serves: a guest, questions, functions that come and go, a takeover, the end. */
async function liveThrough(host: DeafHost, pid: number): Promise<void> {
  await host.untilServed(pid);
  const standIn = await host.untilStandIn();
  {
    await using guest = await Script.begin(host, 1);
    await guest.connect(nvme);
    for (let count = 0; count < 300; count += 1) await host.status();
    for (let count = 0; count < 10; count += 1) {
      await host.ask('unhide', { function: formatSbdf(e1000e), force: false });
      await host.ask('hide', { function: formatSbdf(e1000e), force: false });
    }
    expect(await guest.read(0)).toEqual({ err: 0, value: 0x0010_1b36 });
    process.kill(pid, 'SIGKILL');
    await host.untilServed(standIn);
    expect(await guest.read(0)).toEqual({ err: 0, value: 0x0010_1b36 });
  }
  await end(standIn);
}

/** Ends whoever serves. */
async function end(pid: number): Promise<void> {
  const before = performance.now();
  process.kill(pid, 'SIGTERM');
  await expect.poll(() => isAlive(pid)).toBe(false);
  expect(performance.now() - before).toBeLessThan(patience);
}

/** Starts the command of the host, behind these words, with a file for standard output and standard error. */
function start(host: DeafHost, file: number, ...before: readonly string[]): number {
  const [program = '', ...words] = [...before, ...host.command];
  const child = spawn(program, words, { stdio: ['ignore', file, file] });
  onTestFinished(() => void child.kill('SIGKILL'));
  return child.pid ?? 0;
}

describe('where nobody reads', () => {
  test.each(places)('a %s stops nothing', async (place) => {
    await using host = new DeafHost(nvme, e1000e);
    const stage = await Stage.open(place, host.command);
    await liveThrough(host, stage.pid);
  });

  test.each(['pipe', 'stopped terminal'] as const)(
    'a %s does not keep the daemon from ending',
    async (place) => {
      await using host = new DeafHost(nvme);
      const stage = await Stage.open(place, host.command);
      await host.untilServed(stage.pid);
      const { code, milliseconds } = await stage.end('SIGTERM');
      expect(code).toBe(0);
      expect(milliseconds).toBeLessThan(patience);
    },
  );

  test('a terminal does not keep a daemon with a defect alive', async () => {
    await using host = new DeafHost(nvme);
    const defect = `process.on('SIGUSR2', () => { process.emitWarning('w'); throw new Error('a defect'); })`;
    const NODE_OPTIONS = `--import=data:text/javascript,${encodeURIComponent(defect)}`;
    const stage = await Stage.open('terminal', host.command, { NODE_OPTIONS });
    await host.untilServed(stage.pid);
    const standIn = await host.untilStandIn();
    expect((await stage.end('SIGUSR2')).code).toBe(1);
    await host.untilServed(standIn);
    await end(standIn);
  });

  test.each(['pipe', 'terminal'] as const)('what a %s held up comes when it is read', async (place) => {
    await using host = new DeafHost(nvme);
    const stage = await Stage.open(place, host.command);
    await host.untilServed(stage.pid);
    stage.read((line) => host.hear(line));
    await host.until('the first event', ({ type }) => type === 'backend.ready');
    await stage.end('SIGTERM');
  });
});

describe('where nothing can be written', () => {
  test('a device without room stops nothing', async () => {
    await using host = new DeafHost(nvme, e1000e);
    await liveThrough(host, start(host, openSync('/dev/full', 'w')));
  });

  test('a descriptor that is closed is not taken by anything else', async () => {
    await using host = new DeafHost(nvme, e1000e);
    const pid = start(host, openSync('/dev/null', 'w'), 'sh', '-c', 'exec "$@" <&- >&- 2>&-', 'sh');
    await host.untilServed(pid);
    const standIn = await host.untilStandIn();
    for (const each of [pid, standIn]) {
      for (const fd of [1, 2]) expect(readlinkSync(`/proc/${each}/fd/${fd}`)).toBe('/dev/null');
    }
    await liveThrough(host, pid);
  });

  test('a file that may not grow stops nothing', async () => {
    await using host = new DeafHost(nvme, e1000e);
    const log = new Log(host);
    await liveThrough(host, start(host, log.fd, ...log.limit));
  });

  test('a line of which a part was written is finished, and then what is missing is told', async () => {
    await using host = new DeafHost(nvme);
    const log = new Log(host);
    const pid = start(host, log.fd, ...log.limit);
    await host.untilServed(pid);
    expect(log.end).toMatch(/^\{[^}]*$/);
    log.unlimit(pid);
    await expect.poll(() => log.events.map(({ type }) => type)).toContain('output.dropped');
    const [first, second, ...others] = log.events;
    expect(first).toMatchObject({ type: expect.any(String) });
    expect(second).toMatchObject({ type: 'output.dropped', data: { lines: expect.any(Number) } });
    expect(others).toEqual([]);
    process.kill(pid, 'SIGTERM');
    await expect.poll(() => log.events.at(-1)).toMatchObject({ type: 'backend.state', to: 'stopped' });
  });

  test('a line that a killed daemon has left half written is the only one that is damaged', async () => {
    await using host = new DeafHost(nvme);
    const log = new Log(host);
    const pid = start(host, log.fd, ...log.limit);
    await host.untilServed(pid);
    const standIn = await host.untilStandIn();
    log.unlimit(standIn);
    const torn = log.end;
    process.kill(pid, 'SIGKILL');
    await expect.poll(() => log.lines.join('\n')).toContain('"to":"daemon"');
    expect(log.lines[0]).toBe(torn);
    expect(log.lines.slice(1).map((line) => JSON.parse(line) as unknown).length).toBeGreaterThan(0);
    await end(standIn);
  });
});

/** A log that may not grow any more, with room for a part of a line. */
class Log {
  readonly fd: number;
  readonly limit: readonly string[];
  readonly #file: string;
  readonly #room = 70;
  readonly #size = 0x10_0000;

  constructor(host: DeafHost) {
    this.#file = join(host.directory, 'log');
    writeFileSync(this.#file, `${'#'.repeat(this.#size - this.#room - 1)}\n`);
    this.fd = openSync(this.#file, 'a');
    onTestFinished(() => closeSync(this.fd));
    this.limit = ['prlimit', `--fsize=${this.#size}:unlimited`];
  }

  get #text(): string {
    return readFileSync(this.#file)
      .subarray(this.#size - this.#room)
      .toString();
  }

  get lines(): readonly string[] {
    return this.#text.split('\n').slice(0, -1);
  }

  get events(): readonly BackendEvent[] {
    return this.lines.map((line) => JSON.parse(line) as BackendEvent);
  }

  /** What stands behind the last end of a line but one. */
  get end(): string {
    return this.#text.trimEnd().split('\n').at(-1) ?? '';
  }

  unlimit(pid: number): void {
    execFileSync('prlimit', ['--pid', String(pid), '--fsize=unlimited:unlimited']);
  }
}
