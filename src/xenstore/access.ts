import { refusedWith, XenstoreError } from './errors.ts';
import type { Permission } from './permission.ts';
import {
  decodeStrings,
  decodeText,
  encodePathAndValue,
  encodeStrings,
  messageName,
  MessageType,
} from './wire.ts';

/** Reading from the store. A path starts with `/`, or is relative to the home of the domain that asks. */
export interface XenstoreReader {
  /** The value as text (UTF-8); undefined when there is no such node. */
  read(path: string): Promise<string | undefined>;
  /** The value, byte by byte; undefined when there is no such node. */
  readBytes(path: string): Promise<Uint8Array | undefined>;
  /** The names of the children, sorted; undefined when there is no such node. */
  directory(path: string): Promise<string[] | undefined>;
  /** The permission list, owner first; undefined when there is no such node. */
  getPerms(path: string): Promise<Permission[] | undefined>;
}

/**
 * Reading and writing. Every method rejects with `XenstoreError` when xenstored turns the request down, and with
 * `ConnectionLost` when the connection goes away before the answer.
 */
export interface XenstoreAccess extends XenstoreReader {
  /** Writes a value; missing nodes on the way are made. Path and value together: at most 4095 bytes. */
  write(path: string, value: string | Uint8Array): Promise<void>;
  /** Makes a node with an empty value; one that exists keeps its value. */
  mkdir(path: string): Promise<void>;
  /** Removes a node and all below it. A node that does not exist is no error. */
  rm(path: string): Promise<void>;
  /** Replaces the permission list. The first entry names the owner. */
  setPerms(path: string, permissions: readonly Permission[]): Promise<void>;
}

/** Sends one request and resolves with the payload of its reply. */
export type Ask = (type: MessageType, payload: Uint8Array, subject: string) => Promise<Uint8Array>;

/** How often a listing in parts starts again because the directory changes under it. */
const maxListingRestarts = 50;

/** The requests that read and change nodes, over whatever carries them: a client, or a transaction. */
export class Access implements XenstoreAccess {
  readonly #ask: Ask;

  constructor(ask: Ask) {
    this.#ask = ask;
  }

  async read(path: string): Promise<string | undefined> {
    const value = await unlessMissing(this.#onPath(MessageType.READ, path));
    return value && decodeText(value);
  }

  async readBytes(path: string): Promise<Uint8Array | undefined> {
    const value = await unlessMissing(this.#onPath(MessageType.READ, path));
    // The reply is a window into a network buffer that is many times as large.
    return value && Uint8Array.from(value);
  }

  async directory(path: string): Promise<string[] | undefined> {
    try {
      const list = await unlessMissing(this.#onPath(MessageType.DIRECTORY, path));
      return list && decodeStrings(list).sort();
    } catch (error) {
      if (!refusedWith(error, 'E2BIG')) throw error;
      const names = await unlessMissing(this.#directoryInParts(path, error));
      return names?.sort();
    }
  }

  async getPerms(path: string): Promise<Permission[] | undefined> {
    const list = await unlessMissing(this.#onPath(MessageType.GET_PERMS, path));
    return list && (decodeStrings(list) as Permission[]);
  }

  async write(path: string, value: string | Uint8Array): Promise<void> {
    checkPath(MessageType.WRITE, path);
    await this.#ask(MessageType.WRITE, encodePathAndValue(path, value), path);
  }

  async mkdir(path: string): Promise<void> {
    await this.#onPath(MessageType.MKDIR, path);
  }

  async rm(path: string): Promise<void> {
    // Both daemons answer ENOENT only when the parent is missing as well: for us that is the same, it is not there.
    await unlessMissing(this.#onPath(MessageType.RM, path));
  }

  async setPerms(path: string, permissions: readonly Permission[]): Promise<void> {
    await this.#onPath(MessageType.SET_PERMS, path, ...permissions);
  }

  /**
   * A list that is too long for one reply. Every part names the generation of the node; when that changes midway the
   * parts do not fit together and the listing starts again. The last part ends with an empty name.
   */
  async #directoryInParts(path: string, tooBig: XenstoreError): Promise<string[]> {
    for (let attempt = 0; attempt < maxListingRestarts; attempt++) {
      const names = await this.#tryDirectoryInParts(path, tooBig);
      if (names) return names;
    }
    throw new XenstoreError(
      'EAGAIN',
      'DIRECTORY_PART',
      path,
      'the directory changes faster than it can be read',
    );
  }

  async #tryDirectoryInParts(path: string, tooBig: XenstoreError): Promise<string[] | undefined> {
    const names: string[] = [];
    let generation: string | undefined;
    for (let offset = 0; ;) {
      let part: Uint8Array;
      try {
        part = await this.#onPath(MessageType.DIRECTORY_PART, path, String(offset));
      } catch (error) {
        throw refusedWith(error, 'ENOSYS') ? tooBig : error;
      }
      const [partGeneration = '', ...found] = decodeStrings(part);
      generation ??= partGeneration;
      if (partGeneration !== generation) return undefined;
      const last = found.indexOf('');
      names.push(...(last < 0 ? found : found.slice(0, last)));
      if (last >= 0 || found.length === 0) return names;
      offset += part.length - (partGeneration.length + 1);
    }
  }

  async #onPath(type: MessageType, path: string, ...more: string[]): Promise<Uint8Array> {
    checkPath(type, path);
    return this.#ask(type, encodeStrings(path, ...more), path);
  }
}

/** A NUL would end the path early, and the request would be about another node. */
function checkPath(type: MessageType, path: string): void {
  if (path === '' || path.includes('\0')) {
    throw new XenstoreError('EINVAL', messageName(type), JSON.stringify(path), 'this is not a path');
  }
}

async function unlessMissing<T>(reply: Promise<T>): Promise<T | undefined> {
  try {
    return await reply;
  } catch (error) {
    if (refusedWith(error, 'ENOENT')) return undefined;
    throw error;
  }
}
