/** A copy of the project in which protections are taken out, one at a time. The work tree itself is never touched. */
import { execFile } from 'node:child_process';
import { rmSync } from 'node:fs';
import { cp, mkdir, mkdtemp, readFile, readdir, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import type { Mutant } from './mutant.ts';

const run = promisify(execFile);
const origin = join(import.meta.dirname, '../..');

type Build = NonNullable<Mutant['build']>;
const builders: Readonly<Record<Build, string>> = { native: 'native/build.mjs', bundle: 'src/bundle.mjs' };

/** The addon or the bundle could not be built. */
export class BuildFailed extends Error {
  override readonly name = 'BuildFailed';
}

/** What git would commit, changes included. */
async function sources(): Promise<readonly string[]> {
  const { stdout } = await run('git', ['ls-files', '-z', '-co', '--exclude-standard'], { cwd: origin });
  return stdout.split('\0').filter((name) => name !== '');
}

export class Tree implements AsyncDisposable {
  readonly path: string;
  /** Built from sources that have changed since. */
  readonly #stale = new Set<Build>();

  static async make(): Promise<Tree> {
    const tree = new Tree(await mkdtemp(join(tmpdir(), 'pciback-mutants-')));
    for (const name of [...(await sources()), 'dist', 'native/build']) {
      await mkdir(dirname(tree.in(name)), { recursive: true });
      // Times are kept: make goes by them. A file that was removed, but not from the index, is none.
      await cp(join(origin, name), tree.in(name), { recursive: true, preserveTimestamps: true }).catch(
        (error: NodeJS.ErrnoException) => {
          if (error.code !== 'ENOENT') throw error;
        },
      );
    }
    // A directory of its own, since tools keep what they know in it.
    const modules = tree.in('node_modules');
    await mkdir(modules);
    for (const name of await readdir(join(origin, 'node_modules'))) {
      if (name !== '.vite') await symlink(join(origin, 'node_modules', name), join(modules, name));
    }
    return tree;
  }

  private constructor(path: string) {
    this.path = path;
    process.once('exit', this.#remove);
  }

  in(name: string): string {
    return join(this.path, name);
  }

  /** Does something without the protection; afterwards it is there again. Rejects with BuildFailed. */
  async without<T>({ file, find, put, build }: Mutant, work: () => Promise<T>): Promise<T> {
    const path = this.in(file);
    const text = await readFile(path, 'utf8');
    await writeFile(
      path,
      text.replace(find, () => put),
    );
    if (build) this.#stale.add(build);
    try {
      await this.#build(build);
      return await work();
    } finally {
      await writeFile(path, text);
      if (build) this.#stale.add(build);
    }
  }

  /** Builds what is stale. What was built without a protection must not serve the tests of the next one. */
  async #build(wanted: Build | undefined): Promise<void> {
    for (const each of this.#stale) {
      try {
        await run(process.execPath, [builders[each]], { cwd: this.path });
      } catch (error) {
        throw new BuildFailed(String((error as { stderr?: string }).stderr ?? error));
      }
      if (each !== wanted) this.#stale.delete(each);
    }
  }

  readonly #remove = (): void => rmSync(this.path, { recursive: true, force: true });

  async [Symbol.asyncDispose](): Promise<void> {
    process.off('exit', this.#remove);
    await rm(this.path, { recursive: true, force: true });
  }
}
