/**
 * Domains of the loopback platform: a domain exists as long as its file does. Whoever plays the hypervisor's toolstack makes
 * and removes them; a guest does not do that for itself.
 */
import { link, mkdir, open, readFile, rm, unlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { PcibackError } from '../errors.ts';
import { lastDomid } from '../xenbus/paths.ts';

/** What the file of a domain says. */
export type DomainState = 'running' | 'dying' | `shutdown ${number}`;

/** Makes a domain that runs. Throws BAD-DOMID, also when there is such a domain already. */
export async function createDomain(directory: string, domid: number): Promise<void> {
  const file = domainFile(directory, domid);
  await mkdir(join(directory, 'dom'), { recursive: true });
  const temporary = await writeTemporary(file, 'running');
  try {
    // Unlike a rename, a link does not replace a domain that is there.
    await link(temporary, file);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    throw new PcibackError(
      'BAD-DOMID',
      `domain ${domid} exists already in ${directory}`,
      'choose another domain id, or destroy that domain first',
      { cause: error },
    );
  } finally {
    await unlink(temporary);
  }
}

/** Says that a domain has shut down, or is being torn down. Its file stays the same: another file is another domain. */
export async function setDomainState(directory: string, domid: number, state: DomainState): Promise<void> {
  const file = await open(domainFile(directory, domid), 'r+');
  try {
    const text = `${state}\n`;
    const { size } = await file.stat();
    // At once with what is left of a longer text; readers do not mind the end of a line.
    await file.write(text.padEnd(size, '\n'), 0);
    await file.truncate(text.length);
  } finally {
    await file.close();
  }
}

/** What the file of a domain says; undefined when there is no such domain. */
export async function domainState(directory: string, domid: number): Promise<string | undefined> {
  try {
    return (await readFile(domainFile(directory, domid), 'utf8')).trimEnd();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

/** Removes a domain, and its pages and event channels with it. A domain that is not there is no error. */
export async function destroyDomain(directory: string, domid: number): Promise<void> {
  await rm(domainFile(directory, domid), { force: true });
  await Promise.all(
    ['gnt', 'evt'].map((kind) => rm(join(directory, kind, String(domid)), { recursive: true, force: true })),
  );
}

function domainFile(directory: string, domid: number): string {
  if (!Number.isInteger(domid) || domid < 1 || domid > lastDomid) {
    throw new PcibackError(
      'BAD-DOMID',
      `${domid} cannot be the id of a guest`,
      `use a number from 1 to ${lastDomid}`,
    );
  }
  return join(directory, 'dom', String(domid));
}

/** Readers ignore names that are not decimal numbers, so the text is complete before it can be seen. */
async function writeTemporary(file: string, state: DomainState): Promise<string> {
  const temporary = `${file}.${process.pid}.new`;
  await rm(temporary, { force: true });
  // Others may write to this directory: what they could have put there meanwhile is not followed.
  await writeFile(temporary, `${state}\n`, { flag: 'wx' });
  return temporary;
}
