/**
 * The page that a front-end shares with its back-end (xen/include/public/io/pciif.h), to the byte. All fields are
 * little-endian with natural alignment and no padding, the same for 32-bit and 64-bit guests.
 *
 *     0      flags        bit 0 request pending, bit 1 front-end handles AER, bit 2 AER request pending
 *     4      op           548 bytes: one request, answered in place
 *     552    aer_op       20 bytes: the back-end's request to the front-end
 *     572    unused up to 4096: never read, never written
 */
export const pageSize = 4096;

/** The protocol version, compared as text with the `magic` key. It was never raised when MSI and AER were added. */
export const protocolMagic = '7';

export const Flag = {
  /** Set by the front-end with a request, cleared by the back-end with the answer. */
  requestActive: 1 << 0,
  /** Set once by a front-end that can take AER calls. */
  aerHandler: 1 << 1,
  /** Set by the back-end with an AER request, cleared by the front-end with its answer. */
  aerActive: 1 << 2,
} as const;

export const Command = {
  confRead: 0,
  confWrite: 1,
  enableMsi: 2,
  disableMsi: 3,
  enableMsix: 4,
  disableMsix: 5,
  aerDetected: 6,
  aerResume: 7,
  aerMmio: 8,
  aerSlotReset: 9,
  enableMultiMsi: 10,
} as const;

/** The errors of the wire. Nothing else is ever answered (Linux lets raw errno values through). */
export const WireError = {
  success: 0,
  deviceNotFound: -1,
  invalidOffset: -2,
  accessDenied: -3,
  notImplemented: -4,
  operationFailed: -5,
} as const;
export type WireError = (typeof WireError)[keyof typeof WireError];

/** Where the parts of the page lie, in bytes. */
export const PageOffset = { flags: 0, op: 4, aerOp: 552, end: 572 } as const;

/** Size of one request in bytes, and the number of MSI-X entries at its end. */
export const opSize = 548;
export const maxMsixEntries = 128;

/** Index of each field of a request, in 32-bit words from the start of the request. */
export const OpWord = {
  cmd: 0,
  err: 1,
  domain: 2,
  bus: 3,
  devfn: 4,
  offset: 5,
  size: 6,
  value: 7,
  info: 8,
  /** 128 words: vector in the low half, table entry in the high half. */
  msixEntries: 9,
} as const;

/** What a front-end publishes of its ring before it goes to Initialised. */
export interface PublishedRing {
  /** Grant reference of the shared page. */
  readonly grantRef: number;
  /** The front-end's unbound event channel. */
  readonly port: number;
}
