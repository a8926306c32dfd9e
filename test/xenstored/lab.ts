/**
 * Debian's own xenstore daemons and tools, fetched but not installed, and the means to run them without a hypervisor. All is
 * kept in a folder below the temporary directory and fetched once.
 */
import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const run = promisify(execFile);

const packages = `
  xen-utils-4.17 xenstore-utils libxenstore4 libxenmisc4.17 libxencall1 libxendevicemodel1 libxenevtchn1
  libxenforeignmemory1 libxengnttab1 libxenhypfs1 libxentoolcore1 libxentoollog1 libxen-dev libyajl2 python3-pyxs
`
  .trim()
  .split(/\s+/);

const folder = join(tmpdir(), 'pciback-xenstored-lab');
const root = join(folder, 'root');
const source = (name: string): string => fileURLToPath(new URL(name, import.meta.url));

/** Says why the suite cannot run here. */
export class LabRefusal extends Error {}

/** Fetches and builds what is missing. Throws `LabRefusal` where that cannot be done. */
export async function prepareLab(): Promise<void> {
  if (process.platform !== 'linux' || process.arch !== 'x64')
    throw new LabRefusal('the daemons are fetched for Linux on x86-64');
  for (const program of ['apt-get', 'dpkg', 'gcc', 'python3']) {
    await run('which', [program]).catch(() => {
      throw new LabRefusal(
        `${program} is not there; on Debian 12: apt-get install apt dpkg gcc libc6-dev python3`,
      );
    });
  }
  const complete = join(folder, 'complete');
  if (!existsSync(complete)) {
    rmSync(folder, { recursive: true, force: true });
    mkdirSync(join(folder, 'debs'), { recursive: true });
    await download();
    for (const deb of readdirSync(join(folder, 'debs')))
      await run('dpkg', ['-x', join(folder, 'debs', deb), root]);
    writeFileSync(complete, '');
  }
  const include = join(root, 'usr/include');
  const shim = [
    '-O2',
    '-fPIC',
    '-shared',
    '-I',
    include,
    '-o',
    join(folder, 'fake-xen.so'),
    source('fake-xen.c'),
    '-ldl',
  ];
  await run('gcc', shim);
  await run('gcc', ['-O2', '-o', join(folder, 'fake-guest'), source('fake-guest.c')]);
}

async function download(): Promise<void> {
  // Root may read the folder where the user that apt drops to may not.
  const apt = ['-o', 'APT::Sandbox::User=root', '-qq'];
  const fetch = (): Promise<unknown> =>
    run('apt-get', [...apt, 'download', ...packages], { cwd: join(folder, 'debs') });
  try {
    await fetch().catch(async () => {
      await run('apt-get', [...apt, 'update']);
      await fetch();
    });
  } catch (error) {
    const reason = error instanceof Error ? error.message.trim().split('\n').at(-1) : String(error);
    throw new LabRefusal(`the packages of Debian 12 (bookworm) cannot be fetched: ${reason}`);
  }
}

export const environment: NodeJS.ProcessEnv = {
  PATH: process.env['PATH'],
  LD_LIBRARY_PATH: ['usr/lib/x86_64-linux-gnu', 'usr/lib/xen-4.17/lib/x86_64-linux-gnu']
    .map((path) => join(root, path))
    .join(':'),
  PYTHONPATH: join(root, 'usr/lib/python3/dist-packages'),
};

const xenBinary = (name: string): string => join(root, 'usr/lib/xen-4.17/bin', name);

/** Runs a stock tool against a socket; resolves with what it prints, rejects when it fails. */
export async function tool(socket: string, name: string, ...parameters: string[]): Promise<string> {
  const candidates = [join(root, 'usr/bin', name), join(root, 'usr/sbin', name), xenBinary(name)];
  const program = candidates.find((path) => existsSync(path)) ?? name;
  const { stdout } = await run(program, parameters, {
    env: { ...environment, XENSTORED_PATH: socket },
    timeout: 60_000,
  });
  return stdout;
}

/** The same, started but not awaited. */
export const startTool = (socket: string, name: string, ...parameters: string[]): ChildProcess =>
  spawn(join(root, 'usr/bin', name), parameters, { env: { ...environment, XENSTORED_PATH: socket } });

export type Kind = 'C xenstored' | 'oxenstored';

/** A stock daemon with a fake hypervisor of its own. */
export class StockDaemon {
  readonly kind: Kind;
  readonly directory = mkdtempSync('/dev/shm/xs-');
  readonly socket = join(this.directory, 'run/socket');
  readonly #fakeXen = join(this.directory, 'xen');
  #children: ChildProcess[] = [];

  static async start(kind: Kind): Promise<StockDaemon> {
    const daemon = new StockDaemon(kind);
    await daemon.start();
    return daemon;
  }

  private constructor(kind: Kind) {
    this.kind = kind;
  }

  /** Starts the daemon, or starts it anew: the store is empty and no domain but 0 exists. */
  async start(): Promise<void> {
    const runDirectory = join(this.directory, 'run');
    for (const path of [runDirectory, this.#fakeXen]) {
      rmSync(path, { recursive: true, force: true });
      mkdirSync(path);
    }
    const config = join(runDirectory, 'ox.conf');
    const settings = {
      'pid-file': join(runDirectory, 'pid'),
      'xenstored-kva': join(this.#fakeXen, 'gnt/0/1'),
      'xenstored-port': join(this.#fakeXen, 'xsd_port'),
      'xenstored-log-file': join(runDirectory, 'log'),
      'access-log-file': join(runDirectory, 'access'),
      persistent: 'false',
    };
    writeFileSync(
      config,
      Object.entries(settings)
        .map(([key, value]) => `${key} = ${value}\n`)
        .join(''),
    );
    const command =
      this.kind === 'oxenstored'
        ? [xenBinary('oxenstored'), '--no-fork', '--config-file', config]
        : [xenBinary('xenstored'), '-N'];
    this.#spawn(command, { LD_PRELOAD: join(folder, 'fake-xen.so'), XENSTORED_RUNDIR: runDirectory });
    await this.#appears(this.socket);
  }

  /** Makes a domain and has it introduced; resolves with a socket that is its. One client at a time. */
  async guest(domid: number): Promise<string> {
    const socket = join(this.directory, `dom${domid}`);
    const guest = this.#spawn([join(folder, 'fake-guest'), String(domid), socket, this.socket], {});
    await Promise.race([
      once(guest.stdout ?? guest, 'data'),
      once(guest, 'exit').then(() => Promise.reject(new Error(`guest ${domid} did not come up`))),
    ]);
    return socket;
  }

  /** Changes what the hypervisor says of a domain, and tells the daemon to look. */
  setDomain(domid: number, state: string | undefined): void {
    const path = join(this.#fakeXen, `dom/${domid}`);
    if (state === undefined) rmSync(path);
    else writeFileSync(path, state);
    writeFileSync(join(this.#fakeXen, 'evt/0/virq3'), 'x', { flag: 'r+' });
  }

  /** Ends it. oxenstored does not heed SIGTERM while a guest has a transaction open. */
  async stop(): Promise<void> {
    const children = this.#children.splice(0);
    await Promise.all(
      children.map(async (child) => {
        if (child.exitCode !== null || child.signalCode !== null) return;
        const ended = once(child, 'exit');
        child.kill('SIGKILL');
        await ended;
      }),
    );
  }

  async remove(): Promise<void> {
    await this.stop();
    rmSync(this.directory, { recursive: true, force: true });
  }

  #spawn([program = '', ...parameters]: string[], more: NodeJS.ProcessEnv): ChildProcess {
    const child = spawn(program, parameters, {
      env: { ...environment, FAKE_XEN: this.#fakeXen, ...more },
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    this.#children.push(child);
    return child;
  }

  async #appears(path: string): Promise<void> {
    for (let attempt = 0; attempt < 200; attempt++) {
      if (existsSync(path)) return;
      await delay(25);
    }
    throw new Error(`${this.kind} did not come up`);
  }
}
