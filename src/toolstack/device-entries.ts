/**
 * The functions of a guest as its back-end directory lists them: `key-N`, `dev-N` and the rest for N from 0 to
 * `num_devs`-1. The numbers have no gaps; after one function goes the higher ones move down, so N is no identity.
 */
import { formatSbdf, type Sbdf } from '../address.ts';
import {
  backendPath,
  claimPath,
  domainPath,
  frontendPath,
  XenbusState,
  type DeviceEntry,
} from '../xenbus/index.ts';
import type { XenstoreAccess } from '../xenstore/index.ts';
import { formatOptsKey, type PciOptions } from './pci-options.ts';

export interface FunctionToAttach {
  readonly sbdf: Sbdf;
  /** Device and function wanted on the guest's bus; 0 means any. */
  readonly devfn: number;
  readonly options: PciOptions;
  /** The name by which it was asked for, if it was. */
  readonly name?: string;
}

/** What there is of one function, in libxl's order. Not all of them always. */
const perFunction = ['state', 'key', 'dev', 'vdev', 'opts', 'vdevfn', 'name'] as const;

/**
 * Makes both directories anew, as libxl does: the back-end's owned by domain 0 and readable for the guest, the front-end's
 * owned by the guest. What is made inside them later inherits that. `first` is the state in which the back-end's begins.
 */
export async function makeDirectories(tx: XenstoreAccess, domid: number, first: XenbusState): Promise<void> {
  const [backend, frontend] = [backendPath(domid), frontendPath(domid)];
  const home = domainPath(domid);
  if ((await tx.read(home)) === undefined) {
    await tx.mkdir(home);
    await tx.setPerms(home, ['n0', `r${domid}`]);
  }
  const name = await tx.read(`${home}/name`);
  await tx.rm(frontend);
  await tx.mkdir(frontend);
  await tx.setPerms(frontend, [`n${domid}`, 'r0']);
  await tx.write(`${frontend}/backend`, backend);
  await tx.write(`${frontend}/backend-id`, '0');
  await tx.write(`${frontend}/state`, String(XenbusState.Initialising));
  await tx.rm(backend);
  await tx.mkdir(backend);
  await tx.setPerms(backend, ['n0', `r${domid}`]);
  await tx.write(`${backend}/frontend`, frontend);
  await tx.write(`${backend}/frontend-id`, String(domid));
  await tx.write(`${backend}/online`, '1');
  await tx.write(`${backend}/state`, String(first));
  await tx.write(`${backend}/domain`, name ?? `Domain-${domid}`);
}

/** Removes both directories, and the guest's place below `backend/pci`, which held nothing else. */
async function removeDirectories(tx: XenstoreAccess, domid: number): Promise<void> {
  for (const directory of [backendPath(domid), frontendPath(domid)]) {
    await tx.rm(directory);
    const parent = directory.slice(0, directory.lastIndexOf('/'));
    if ((await tx.directory(parent))?.length === 0) await tx.rm(parent);
  }
}

/** Lists one more function as number `index`, for the back-end to export, and claims it for the guest. */
export async function addEntry(
  tx: XenstoreAccess,
  domid: number,
  index: number,
  { sbdf, devfn, options, name }: FunctionToAttach,
): Promise<void> {
  const write = (key: string, value: string): Promise<void> =>
    tx.write(`${backendPath(domid)}/${key}-${index}`, value);
  await tx.write(claimPath(sbdf), String(domid));
  await write('key', formatSbdf(sbdf));
  await write('dev', formatSbdf(sbdf));
  if (devfn !== 0) await write('vdevfn', devfn.toString(16));
  if (name !== undefined) await write('name', name);
  await write('opts', formatOptsKey(options));
  await write('state', String(XenbusState.Initialising));
  await tx.write(`${backendPath(domid)}/num_devs`, String(index + 1));
}

/**
 * Takes functions off the list and gives up the guest's claims to them. The others move down; with the last function both
 * directories go.
 */
export async function removeEntries(
  tx: XenstoreAccess,
  domid: number,
  devices: readonly DeviceEntry[],
  leaving: readonly DeviceEntry[],
): Promise<void> {
  for (const { sbdf } of leaving) if (sbdf !== undefined) await releaseClaim(tx, domid, sbdf);
  const staying = devices.filter((device) => !leaving.includes(device));
  if (staying.length === 0) return removeDirectories(tx, domid);
  const path = (key: string, index: number): string => `${backendPath(domid)}/${key}-${index}`;
  for (const [to, { index: from }] of staying.entries()) {
    if (to !== from) await Promise.all(perFunction.map((key) => move(tx, path(key, from), path(key, to))));
  }
  for (let index = staying.length; index < devices.length; index += 1) {
    await Promise.all(perFunction.map((key) => tx.rm(path(key, index))));
  }
  await tx.write(`${backendPath(domid)}/num_devs`, String(staying.length));
}

async function move(tx: XenstoreAccess, from: string, to: string): Promise<void> {
  const value = await tx.read(from);
  await (value === undefined ? tx.rm(to) : tx.write(to, value));
}

/** Gives a claim up if it is this guest's; what else is kept about the function stays. */
export async function releaseClaim(tx: XenstoreAccess, domid: number, sbdf: Sbdf): Promise<void> {
  const claim = claimPath(sbdf);
  if ((await tx.read(claim)) !== String(domid)) return;
  await tx.rm(claim);
  const parent = claim.slice(0, claim.lastIndexOf('/'));
  if ((await tx.directory(parent))?.length === 0) await tx.rm(parent);
}
