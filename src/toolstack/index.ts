/** What a toolstack does: read what administrators write, and give functions to guests and take them back. */
export { attach, type AttachedFunction, type AttachOptions, type AttachResult } from './attach.ts';
export { detach } from './detach.ts';
export { defaultPciOptions } from './pci-options.ts';
export { addEntry, type FunctionToAttach, makeDirectories } from './device-entries.ts';
export * from './grammars.ts';
export type { HandshakeOptions, Outcome, Side, Xenstore } from './handshake.ts';
