/** Which hypervisor a command is about, and what is found where there. */
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { ControlClient } from '../monitor/index.ts';
import { PcibackError } from '../errors.ts';
import { lastDomid, parseDecimal } from '../xenbus/index.ts';
import type { XenstoreClient, XenstoreClientOptions } from '../xenstore/index.ts';

export interface Target {
  readonly kind: 'loopback' | 'xen';
  /** Where the daemon keeps what it knows, and where it is found. */
  readonly directory: string;
}

const xenDirectory = '/run/pciback';

/** The directory that was named, else Xen. Throws NO-XEN. */
export function findTarget(loopback: string | undefined): Target {
  if (loopback !== undefined) return { kind: 'loopback', directory: resolve(loopback) };
  if (existsSync('/dev/xen')) return { kind: 'xen', directory: xenDirectory };
  throw new PcibackError(
    'NO-XEN',
    'this machine does not run under Xen: there is no /dev/xen',
    'use a hypervisor in a directory: --loopback DIR, or PCIBACK_LOOPBACK=DIR',
  );
}

/** Where the daemon listens for other commands. */
export const controlSocketPath = ({ directory }: Target): string => join(directory, 'state', 'control.sock');

/** The directory, if a daemon that does not run any more has left functions hidden there, for the next one. */
export function leftHidden(loopback: string | undefined): string | undefined {
  if (loopback === undefined && !existsSync('/dev/xen')) return undefined;
  const { directory } = findTarget(loopback);
  try {
    return readdirSync(join(directory, 'state', 'function')).length > 0 ? directory : undefined;
  } catch {
    return undefined;
  }
}

/** Throws NO-PERMISSION, or BAD-DIRECTORY when nothing can be there. */
function isDirectory(path: string): boolean {
  try {
    return statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false;
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException;
    if (code === 'EACCES' || code === 'EPERM') {
      throw new PcibackError('NO-PERMISSION', `may not look at ${path}`, 'run as the user whose it is', {
        cause,
      });
    }
    const what = `${path} cannot be looked at: ${code ?? message}`;
    throw new PcibackError('BAD-DIRECTORY', what, 'name another directory', { cause });
  }
}

/** Connects to the running daemon. Throws NO-DAEMON, BAD-DIRECTORY or NO-PERMISSION. */
export async function connectDaemon(target: Target): Promise<ControlClient> {
  const start = target.kind === 'loopback' ? `pciback serve --loopback ${target.directory}` : 'pciback serve';
  if (target.kind === 'loopback' && !isDirectory(target.directory)) {
    throw new PcibackError(
      'BAD-DIRECTORY',
      `${target.directory} is not a directory`,
      `start a daemon there: ${start}`,
    );
  }
  try {
    return await ControlClient.connect(controlSocketPath(target));
  } catch (error) {
    if (!(error instanceof PcibackError) || error.reason !== 'NO-DAEMON') throw error;
    const where = target.kind === 'loopback' ? ` serves ${target.directory}` : ' runs';
    throw new PcibackError('NO-DAEMON', `no pciback daemon${where}`, `start one: ${start}`, { cause: error });
  }
}

/** Connects to the daemon if there is one: much can be told without it. Throws BAD-DIRECTORY or NO-PERMISSION. */
export async function connectIfRunning(loopback: string | undefined): Promise<ControlClient | undefined> {
  try {
    return await connectDaemon(findTarget(loopback));
  } catch (error) {
    const isAbsent =
      error instanceof PcibackError && (error.reason === 'NO-DAEMON' || error.reason === 'NO-XEN');
    if (isAbsent) return undefined;
    throw error;
  }
}

/** Loads the client only now: most commands ask no more than the daemon. Throws NO-XENSTORE or NO-PERMISSION. */
export async function connectXenstore(
  target: Target,
  options: Pick<XenstoreClientOptions, 'requestTimeoutMs' | 'reconnect'> = {},
): Promise<XenstoreClient> {
  const { XenstoreClient } = await import('../xenstore/index.ts');
  return XenstoreClient.connect({
    ...options,
    ...(target.kind === 'loopback' && { path: join(target.directory, 'xenstored', 'socket') }),
  });
}

export interface Connections {
  readonly daemon: ControlClient;
  readonly store: XenstoreClient;
}

/** Runs `body` with connections to the daemon and to xenstored, and ends them. */
export async function whileConnected(
  target: Target,
  body: (to: Connections) => Promise<void>,
): Promise<void> {
  const daemon = await connectDaemon(target);
  try {
    const store = await connectXenstore(target);
    try {
      await body({ daemon, store });
    } finally {
      store.close();
    }
  } finally {
    daemon.close();
  }
}

/** Reads a domain id. Throws BAD-DOMID. */
export function domidOf(text: string): number {
  const domid = parseDecimal(text, lastDomid);
  if (domid === undefined) {
    throw new PcibackError(
      'BAD-DOMID',
      `'${text}' is not a domain id`,
      `give a number from 1 to ${lastDomid}, as xl list shows it`,
    );
  }
  if (domid > 0) return domid;
  throw new PcibackError('BAD-DOMID', 'domain 0 is the host itself', 'give the id of a guest');
}

/** Throws NO-SUCH-DOMAIN unless the domain exists and is not about to end. */
export async function requireDomain(target: Target, store: XenstoreClient, domid: number): Promise<void> {
  if (target.kind === 'xen') {
    if (await store.isIntroduced(domid)) return;
    throw new PcibackError('NO-SUCH-DOMAIN', `there is no domain ${domid}`, 'xl list shows which there are');
  }
  const directory = join(target.directory, 'dom');
  const file = join(directory, String(domid));
  const state = existsSync(file) ? readFileSync(file, 'utf8').trim() : undefined;
  if (state === 'running') return;
  const others = readdirSync(directory).filter((name) => Number(parseDecimal(name, lastDomid)) > 0);
  const remedy =
    others.length === 0 ? `no guest exists here; a guest makes ${file}` : `guests here: ${others.join(', ')}`;
  const what = state === undefined ? `there is no domain ${domid}` : `domain ${domid} is ending (${state})`;
  throw new PcibackError('NO-SUCH-DOMAIN', what, remedy);
}
