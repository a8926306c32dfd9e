/** Why the connection to Xen cannot be opened, and what to do about it. */
import { PcibackError } from '../errors.ts';
import type { NativeError } from './native.ts';

const bootXen = 'boot Xen 4.12 or later, with this system as its domain 0';
const loadModules =
  'load the modules xen-gntdev, xen-evtchn and xen-privcmd (modprobe), in domain 0 of a machine that runs Xen';
const becomeRoot = 'run as root in domain 0';
const installLibraries =
  'install the libraries of the Xen release that runs (on Debian: libxenmisc of that release, libxengnttab1, libxenevtchn1 and libxencall1)';

/** NO-XEN or NO-PERMISSION, from what the addon's `new Hypervisor('xen', …)` threw. */
export function xenRefusal(cause: NativeError): PcibackError {
  const { code, syscall, subject } = cause;
  const noXen = (message: string, remedy: string): PcibackError =>
    new PcibackError('NO-XEN', message, remedy, { cause });
  if (syscall === 'release') return noXen(`no usable Xen runs here: ${releaseProblem(cause)}`, bootXen);
  if (syscall === 'dlopen') return noXen(`a library of Xen cannot be loaded: ${subject}`, installLibraries);
  // Xen says EACCES, and only then, to a library of another release (xen/common/sysctl.c).
  if (syscall === 'xc_domain_getinfolist' && code === 'EACCES') {
    return noXen('libxenctrl is not of the Xen release that runs', installLibraries);
  }
  if (code === 'EACCES' || code === 'EPERM') {
    return new PcibackError('NO-PERMISSION', `Xen cannot be used: ${cause.message}`, becomeRoot, { cause });
  }
  return noXen(`Xen cannot be used: ${cause.message}`, loadModules);
}

const releaseProblem = ({ code, subject }: NativeError): string =>
  code === 'ENOTSUP' ? `it is ${subject}` : `${subject} cannot be read`;
