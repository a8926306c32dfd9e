import type { Observable } from 'rxjs';

/** What a front-end reads and writes; paths may be relative to its own domain. */
export interface StoreAccess {
  /** Undefined when there is no such node. */
  read(path: string): Promise<string | undefined>;
  write(path: string, value: string): Promise<void>;
  /** A node that does not exist is no error. */
  rm(path: string): Promise<void>;
}

/** A guest's connection to xenstore, with the guest's own rights. */
export interface GuestStore extends StoreAccess {
  /** Runs `body` until its transaction goes through. */
  transaction(body: (access: StoreAccess) => Promise<void>): Promise<void>;
  /** Emits when something at or below `path` may have changed, and once at the beginning. */
  watch(path: string): Observable<unknown>;
}
