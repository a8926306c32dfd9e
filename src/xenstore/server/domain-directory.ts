import { existsSync, type FSWatcher, lstatSync, readdirSync, readFileSync, watch } from 'node:fs';
import { join } from 'node:path';
import type { DomainState } from './domain.ts';

/** The largest id of a domain; ids above mean something else to Xen (DOMID_FIRST_RESERVED). */
const maxDomid = 32751;
/** How often everything is looked at whatever inotify says: its queue can overflow, and watches can run out. */
const safetyScanMs = 2000;

/**
 * The domains of a loopback hypervisor: one file each in `DIR/dom`, named by the decimal domain id, with the text
 * `running`, `shutdown <code>` or `dying`. Other names are ignored.
 */
export class DomainDirectory {
  readonly #directory: string;
  readonly #changed: (domid: number) => void;
  readonly #replaced: (domid: number) => void;
  readonly #scanned: () => void;
  readonly #gone: () => void;
  readonly #seen = new Set<number>();
  /** Of each domain that runs, what tells its file from the file of another domain that gets its id. */
  readonly #running = new Map<number, string>();
  #watcher: FSWatcher | undefined;
  #timer: NodeJS.Timeout | undefined;

  /** `changed`: look at this domain; `replaced`: it has gone, and another one has its id; `scanned`: all have been looked at; `gone`: the directory does not exist any more. */
  constructor(
    directory: string,
    on: {
      changed: (domid: number) => void;
      replaced: (domid: number) => void;
      scanned: () => void;
      gone: () => void;
    },
  ) {
    this.#directory = directory;
    this.#changed = on.changed;
    this.#replaced = on.replaced;
    this.#scanned = on.scanned;
    this.#gone = on.gone;
  }

  start(): void {
    try {
      this.#watcher = watch(this.#directory, (_event, name) => this.#notice(name));
      this.#watcher.on('error', () => {});
    } catch {
      // No inotify watch is left on this machine: the scans alone find everything, only later.
    }
    this.#timer = setInterval(() => this.#scan(), safetyScanMs);
    this.#scan();
  }

  close(): void {
    this.#watcher?.close();
    clearInterval(this.#timer);
  }

  state(domid: number): DomainState | undefined {
    if (domid < 0 || domid > maxDomid) return undefined;
    const path = join(this.#directory, String(domid));
    let text: string;
    try {
      if (!lstatSync(path, { throwIfNoEntry: false })?.isFile()) return undefined;
      text = readFileSync(path, 'utf8');
    } catch {
      // It went away just now, or this process has no file descriptor left. The next look will tell; a domain is not
      // declared dead for that.
      return 'running';
    }
    if (text.startsWith('dying')) return 'dying';
    return text.startsWith('shutdown') ? 'shutdown' : 'running';
  }

  #notice(name: string | null): void {
    const domid = name === null ? undefined : parseDomid(name);
    if (domid !== undefined) this.#look(domid);
    else if (name === null) this.#scan();
    // The name may be that of the directory itself, which then was removed.
    else if (!existsSync(this.#directory)) this.#gone();
  }

  #scan(): void {
    let names: string[];
    try {
      names = readdirSync(this.#directory);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') this.#gone();
      return;
    }
    for (const name of names) {
      const domid = parseDomid(name);
      if (domid !== undefined) this.#seen.add(domid);
    }
    for (const domid of this.#seen) this.#look(domid);
    this.#scanned();
  }

  #look(domid: number): void {
    const state = this.state(domid);
    if (state === undefined) this.#seen.delete(domid);
    else this.#seen.add(domid);
    if (state === undefined) this.#running.delete(domid);
    if (state === 'running' && this.#isAnother(domid)) this.#replaced(domid);
    this.#changed(domid);
  }

  /** It may have gone and come again between two looks. A file that says something else than `running` may be put in the place of one. */
  #isAnother(domid: number): boolean {
    const file = lstatSync(join(this.#directory, String(domid)), { bigint: true, throwIfNoEntry: false });
    if (!file) return false;
    const identity = `${file.ino}.${file.birthtimeNs}`;
    const known = this.#running.get(domid);
    this.#running.set(domid, identity);
    return known !== undefined && known !== identity;
  }
}

function parseDomid(name: string): number | undefined {
  if (!/^(?:0|[1-9][0-9]{0,4})$/.test(name)) return undefined;
  const domid = Number(name);
  return domid <= maxDomid ? domid : undefined;
}
