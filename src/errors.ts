/**
 * The one list of reasons. A reason names why something was refused, failed or happened; errors, events, metrics and the
 * command line all use these words and no others, so that what an administrator reads in one place can be searched for in
 * every other.
 */
export const reasons = {
  // --- what was asked for makes no sense -----------------------------------------------------------------------------
  USAGE: { exitCode: 2, meaning: 'the command line is not of the form the command takes' },
  'BAD-SPEC': { exitCode: 2, meaning: 'a device specification cannot be parsed' },
  'BAD-DOMID': { exitCode: 2, meaning: 'a domain id is not a decimal number from 1 to 32751' },
  'BAD-FILE': { exitCode: 2, meaning: 'a file that was named cannot be read or parsed' },

  // --- it makes sense, but cannot be done now ------------------------------------------------------------------------
  'NO-SUCH-FUNCTION': { exitCode: 1, meaning: 'no PCI function has this address on this host' },
  'NOT-ANSWERING': { exitCode: 1, meaning: 'the function is on the bus, and its registers do not answer' },
  'NO-SUCH-DOMAIN': { exitCode: 1, meaning: 'no domain has this id' },
  'NOT-HIDDEN': { exitCode: 1, meaning: 'the function has not been taken from its host driver' },
  'NO-PASSTHROUGH': { exitCode: 1, meaning: 'the domain was created without a place for PCI functions' },
  'HYPERCALL-FAILED': { exitCode: 1, meaning: 'Xen turned a request of domain 0 down' },
  'KERNEL-BACKEND': { exitCode: 1, meaning: "the host's own back-end serves the guest" },
  'HOST-USES-IT': { exitCode: 1, meaning: 'dom0 itself is using the function' },
  'DRIVER-BINDING': {
    exitCode: 1,
    meaning: 'the kernel did not move the function from one driver to another',
  },
  'NOT-RETURNED': {
    exitCode: 1,
    meaning: 'the former driver did not take the function back',
  },
  'FUNCTION-IN-USE': { exitCode: 1, meaning: 'the function belongs to a guest already' },
  'NOT-ATTACHED': { exitCode: 1, meaning: 'the function is not attached to this guest' },
  QUARANTINED: {
    exitCode: 1,
    meaning: 'the function could not be reset, or not be taken from its guest; it is exported to nobody',
  },
  BRIDGE: { exitCode: 1, meaning: 'a bridge cannot be exported in this topology' },
  'HEADER-TYPE': { exitCode: 1, meaning: 'the configuration header is neither type 0 nor type 1' },
  'NOT-ISOLATED': {
    exitCode: 1,
    meaning: 'the function shares pages, an interrupt line or a requester ID with others',
  },
  'NO-INTERRUPT': { exitCode: 1, meaning: 'no interrupt of the function can reach a guest' },
  'GUEST-SETTINGS': { exitCode: 1, meaning: 'a guest with these settings cannot have PCI functions' },
  'NO-SLOT': { exitCode: 1, meaning: 'no slot is left on the virtual bus' },
  'NO-RESET': { exitCode: 1, meaning: 'the function cannot be reset' },
  'RESET-FAILED': { exitCode: 1, meaning: 'the function could not be reset' },
  'TIMED-OUT': { exitCode: 1, meaning: 'the other side did not answer in time' },
  'XENSTORE-REFUSED': { exitCode: 1, meaning: 'xenstored turned a request down' },
  'REFUSED-BY-GUEST': { exitCode: 1, meaning: 'the front-end turned the request down' },
  'BACKEND-FAILED': { exitCode: 1, meaning: 'the back-end could not do what the toolstack asked for' },
  'NO-DAEMON': { exitCode: 1, meaning: 'no pciback daemon serves this directory' },
  'DAEMON-RUNNING': { exitCode: 1, meaning: 'a pciback daemon serves this directory already' },
  'CONFORMANCE-FAILED': { exitCode: 1, meaning: 'at least one step of the vectors came out differently' },
  'OUTPUT-FAILED': { exitCode: 1, meaning: 'what a command prints cannot be written' },
  'CHECK-FAILED': { exitCode: 1, meaning: 'a file that was checked has mistakes in it' },

  STOPPED: { exitCode: 1, meaning: 'the back-end was stopped before it had come up' },

  // --- a front-end or a toolstack wrote something unusable -----------------------------------------------------------
  'BACKEND-KEYS': { exitCode: 1, meaning: 'keys of the back-end directory are missing or malformed' },
  'FRONTEND-KEYS': { exitCode: 1, meaning: 'keys of the front-end directory are missing or malformed' },
  'BAD-MAGIC': { exitCode: 1, meaning: 'the front-end speaks another version of the protocol' },
  'GRANT-FAILED': { exitCode: 1, meaning: 'the page that the front-end granted cannot be mapped' },
  'EVENT-CHANNEL-FAILED': { exitCode: 1, meaning: 'the event channel of the front-end cannot be bound' },
  'PAGE-VANISHED': { exitCode: 1, meaning: 'the granted page went away while it was mapped' },
  'WRITE-DENIED': { exitCode: 1, meaning: 'a guest wrote a register that it may not change' },
  'EVENT-STORM': { exitCode: 1, meaning: 'a guest sends notifications without requests' },

  // --- the environment lacks something -------------------------------------------------------------------------------
  'NO-XEN': { exitCode: 3, meaning: 'this machine does not run under Xen' },
  'NO-IOMMU': { exitCode: 3, meaning: 'nothing keeps a function from reaching all memory' },
  'NO-STUB-DRIVER': {
    exitCode: 3,
    meaning: 'the kernel has no stub driver that could hold functions for guests',
  },
  'NO-PERMISSION': { exitCode: 3, meaning: 'the operating system refused access' },
  'NO-NATIVE-ADDON': { exitCode: 3, meaning: 'the native addon is missing or does not load' },
  'NO-XENSTORE': { exitCode: 3, meaning: 'xenstored does not answer' },
  'CANNOT-LISTEN': { exitCode: 3, meaning: 'an address cannot be listened at' },
  'OUT-OF-RESOURCES': { exitCode: 3, meaning: 'the kernel grants no more memory mappings or open files' },
  'BAD-DIRECTORY': { exitCode: 3, meaning: 'a directory is missing or cannot be used' },
  'STATE-NOT-SAVED': { exitCode: 1, meaning: 'a file of the state directory cannot be written' },
  'STATE-DAMAGED': { exitCode: 1, meaning: 'a file of the state directory cannot be read or understood' },

  // --- ours ----------------------------------------------------------------------------------------------------------
  'CRASH-LOOP': { exitCode: 1, meaning: 'what serves guests dies again and again, as soon as it has begun' },
  'NO-STAND-IN': { exitCode: 1, meaning: 'no process is there to take over when the daemon dies' },
  'WORKER-DIED': { exitCode: 1, meaning: 'the worker that served the guest ended unexpectedly' },
  INTERNAL: { exitCode: 1, meaning: 'a defect of pciback itself' },
} as const satisfies Record<string, { exitCode: 1 | 2 | 3; meaning: string }>;

export type Reason = keyof typeof reasons;

/** Whether a text that another process wrote is one of the reasons. */
export const isReason = (text: string | undefined): text is Reason =>
  text !== undefined && Object.hasOwn(reasons, text);

/** Every refusal says what happened (`message`), why (`reason`) and what to do about it (`remedy`). */
export class PcibackError extends Error {
  override readonly name = 'PcibackError';
  readonly reason: Reason;
  readonly remedy: string;

  constructor(reason: Reason, message: string, remedy: string, options?: ErrorOptions) {
    super(message, options);
    this.reason = reason;
    this.remedy = remedy;
  }

  /** Exit code of a command that ends with this error: 1 it failed, 2 usage, 3 the environment lacks something. */
  get exitCode(): 1 | 2 | 3 {
    return reasons[this.reason].exitCode;
  }
}
