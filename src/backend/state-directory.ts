/**
 * Everything that the daemon keeps for its successor: every name below the state directory, and what happens when one of them cannot
 * be written.
 *
 *     lock, stand-in       locks: the daemon that serves, and the standby that is next
 *     function/SBDF        who has a hidden function, and what it was before it was hidden
 *     ring/DOMID           the page and the event channel of a guest that is served
 *     paused/DOMID         a guest that stands still for the moment in which it is taken from the kernel's back-end
 *     record/SBDF          what requests have changed of a function: mapped, and written without system calls
 *     model/SBDF           on loopback, the function itself
 *     rehearsal-*          scratch directories
 */
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PcibackError } from '../errors.ts';
import { type StateFiles, lockFile, stateFiles } from '../host/index.ts';
import { type BackendEvent, failureDetails, makeEvent } from '../monitor/events.ts';
import { makeDirectory } from './make-directory.ts';
import { Saver, describeFailure } from './saver.ts';

const scratchPrefix = 'rehearsal-';

export class StateDirectory {
  readonly path: string;
  readonly saver: Saver;
  readonly files: StateFiles;
  readonly #emit: (event: BackendEvent) => void;
  readonly #kind: 'own' | 'named';

  /** Nothing is made or read yet. One that an administrator has `named` may be reached through links. */
  constructor(
    path: string,
    emit: (event: BackendEvent) => void,
    files = stateFiles,
    kind: 'own' | 'named' = 'own',
  ) {
    this.path = path;
    this.#kind = kind;
    this.files = files;
    this.saver = new Saver(emit);
    this.#emit = emit;
  }

  /** Makes the directory if need be. Throws BAD-DIRECTORY. */
  open(): void {
    makeDirectory(this.path, this.#kind);
  }

  get lock(): string {
    return join(this.path, 'lock');
  }

  get standInLock(): string {
    return join(this.path, 'stand-in');
  }

  /** So that a standby finds it when nothing can be made any more. Only for the lock holder. */
  makeStandInLock(): void {
    try {
      const lock = lockFile(this.standInLock);
      if (lock) lock.unlock();
    } catch {
      // A standby that cannot wait says so itself.
    }
  }

  folder(name: 'function' | 'ring' | 'paused'): string {
    return join(this.path, name);
  }

  /** Throws STATE-NOT-SAVED while a successor would not find all that it has to know. */
  requireSaved(): void {
    if (this.saver.flush()) return;
    const { path = this.path, error = '' } = this.saver.unsaved ?? {};
    throw new PcibackError(
      'STATE-NOT-SAVED',
      `the next daemon would find older state: ${path}: ${error}`,
      'see that it can be written, and try again',
    );
  }

  /** Tells of a file that cannot be read or understood. It stays where it is. */
  tellDamage(name: 'function' | 'ring', key: string, error: unknown): void {
    const path = join(this.folder(name), key);
    this.#emit(
      makeEvent('warning', {
        ...failureDetails(error),
        reason: 'STATE-DAMAGED',
        message: `state not read: ${path}: ${describeFailure(error)}; it is ignored, and left as it is`,
        remedy:
          name === 'function'
            ? 'see what it holds; hide the function again if it should be hidden, which resets it'
            : 'see what it holds, and remove it',
        data: { path },
      }),
    );
  }

  /** An empty directory to work in for a while: here, or elsewhere where none can be made here. Throws when there is none at all. */
  scratch(): string {
    try {
      return mkdtempSync(join(this.path, scratchPrefix));
    } catch {
      return mkdtempSync(join(tmpdir(), 'pciback-'));
    }
  }

  /** Removes scratch directories left by a killed daemon, as far as that can be done. Only for the lock holder. */
  clearScratch(): void {
    for (const name of namesIn(this.path)) {
      if (name.startsWith(scratchPrefix)) removeTree(join(this.path, name));
    }
  }
}

function namesIn(directory: string): readonly string[] {
  try {
    return readdirSync(directory);
  } catch {
    return [];
  }
}

/** Removes a scratch directory. Nobody needs it, and one that cannot be removed hurts nobody. */
export function removeTree(directory: string): void {
  try {
    rmSync(directory, { recursive: true, force: true });
  } catch {
    // The next lock holder tries again.
  }
}
