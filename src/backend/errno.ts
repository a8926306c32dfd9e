import type { Reason } from '../errors.ts';

/** The errno that Linux xen-pciback puts before the text of a fatal error; toolstacks show both. */
const errnos: Partial<Record<Reason, number>> = {
  'BAD-MAGIC': 14, // EFAULT
  'FRONTEND-KEYS': 2, // ENOENT, as xenbus_gather reports a missing key
  'BACKEND-KEYS': 2,
  'NO-SLOT': 12, // ENOMEM
  'NOT-HIDDEN': 22, // EINVAL: "couldn't locate PCI device"
  'FUNCTION-IN-USE': 22,
  'HEADER-TYPE': 22,
  BRIDGE: 22,
  'GRANT-FAILED': 22,
  'EVENT-CHANNEL-FAILED': 22,
};

const EIO = 5;

export const errnoOf = (reason: Reason): number => errnos[reason] ?? EIO;
