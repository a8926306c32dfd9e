/** Fake libraries of Xen in a temporary directory, and processes that find them there. */
import { execFile, execFileSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

/** One connection: how it is opened, what is called on it. */
export interface Scene {
  readonly root: string;
  readonly journal: string;
  /** Results of the libraries that are not 0: `name=number ...`. */
  readonly script: string;
  readonly calls: readonly Call[];
}

/** A method and its arguments. */
export type Call = readonly [string, ...unknown[]];

export type Outcome =
  | { readonly results: readonly unknown[] }
  | { readonly refused: string; readonly message: string; readonly remedy: string };

export interface Played {
  readonly outcome: Outcome;
  /** What the libraries were asked for. */
  readonly journal: readonly string[];
}

type Asked = Partial<Pick<Scene, 'script' | 'calls' | 'root'>>;

/** What is asked for first on every connection, */
export const opened = [
  'xengnttab_open',
  'xenevtchn_open',
  'xenevtchn_close',
  'xencall_open',
  'xc_interface_open',
  'xc_domain_getinfolist 0 1',
];
/** and last. */
export const closed = ['xc_interface_close', 'xencall_close, 0 buffers left', 'xengnttab_close'];

/** A release that no machine has installed. */
export const release = { major: 4, minor: 98 };
const control = 'libxenctrl';
const stable = ['libxengnttab', 'libxenevtchn', 'libxencall'];

/** JSON has no bigints: `123n` stands for one. */
const withBigInts = (_key: string, value: unknown): unknown =>
  typeof value === 'bigint' ? `${value}n` : value;

/** Without a domain 0 that runs nothing can be opened. */
const ordinary = 'xc_domain_getinfolist=1';

export class FakeXen implements Disposable {
  readonly #path = mkdtempSync(join(tmpdir(), 'fake-xen-'));
  #scenes = 0;

  constructor() {
    const libraries = [...stable, control];
    mkdirSync(this.in('lib'));
    for (const name of libraries) {
      const soname = name === control ? `${name}.so.${release.major}.${release.minor}` : `${name}.so.1`;
      this.compile(join(import.meta.dirname, `${name}.c`), `lib/${soname}`);
    }
    this.run(release.major, release.minor);
  }

  in(name: string): string {
    return join(this.#path, name);
  }

  compile(source: string, library: string): void {
    const options = ['-std=gnu11', '-D_GNU_SOURCE', '-Wall', '-Wextra', '-Werror', '-shared', '-fPIC'];
    execFileSync('cc', [...options, '-o', this.in(library), source]);
  }

  /** Another set of the same libraries. */
  copyLibraries(name: string): void {
    cpSync(this.in('lib'), this.in(name), { recursive: true });
  }

  /** Makes a root in which this release runs. */
  run(major: number, minor: number, root = 'root'): string {
    const version = this.in(`${root}/sys/hypervisor/version`);
    mkdirSync(version, { recursive: true });
    writeFileSync(join(version, 'major'), `${major}\n`);
    writeFileSync(join(version, 'minor'), `${minor}\n`);
    return this.in(root);
  }

  /** Plays the scenes in one process, with the libraries in the named directory. */
  async play(asked: readonly Asked[], libraries = 'lib'): Promise<readonly Played[]> {
    const scenes = asked.map(({ root, script, calls }): Scene => {
      const journal = this.in(`journal-${this.#scenes++}`);
      return {
        root: root ?? this.in('root'),
        journal,
        script: `${script ?? ''} ${ordinary}`,
        calls: calls ?? [],
      };
    });
    const program = join(import.meta.dirname, 'program.ts');
    const env = { ...process.env, LD_LIBRARY_PATH: this.in(libraries) };
    const child = ['--import', 'tsx', program, JSON.stringify(scenes, withBigInts)];
    const { stdout, stderr } = await promisify(execFile)(process.execPath, child, { env });
    if (stderr !== '') throw new Error(stderr);
    const outcomes = JSON.parse(stdout) as Outcome[];
    return scenes.map(({ journal }, index) => ({
      outcome: outcomes[index] ?? { results: [] },
      journal: existsSync(journal) ? readFileSync(journal, 'utf8').trimEnd().split('\n') : [],
    }));
  }

  [Symbol.dispose](): void {
    rmSync(this.#path, { recursive: true, force: true });
  }
}
