/**
 * Where a guest's PCI device lives in xenstore. libxl uses back-end domain 0 and device id 0 for PCI, always: one pair of
 * directories carries all functions of a guest (libxl_pci.c).
 */
import { type Sbdf, formatXenstoreSbdf } from '../address.ts';

/** Every guest with passed-through functions has a directory below this one. */
export const backendRoot = '/local/domain/0/backend/pci';

/** Highest id that a domain can have; above it Xen keeps ids with a meaning of their own (DOMID_FIRST_RESERVED). */
export const lastDomid = 0x7fef;

export const domainPath = (domid: number): string => `/local/domain/${domid}`;
export const backendPath = (domid: number): string => `${backendRoot}/${domid}/0`;
export const frontendPath = (domid: number): string => `${domainPath(domid)}/device/pci/0`;

const errors = (domid: number): string => `${domainPath(0)}/error/backend/pci/${domid}/0`;

/** Where xenbus puts the text of a fatal error of this back-end. */
export const errorPath = (domid: number): string => `${errors(domid)}/error`;

/** Our own keys beside that text: the reason code of the error, and what to do about it. */
export const errorReasonPath = (domid: number): string => `${errors(domid)}/reason`;
export const errorRemedyPath = (domid: number): string => `${errors(domid)}/remedy`;

/** What tells an HVM guest from others: libxl's own note, and what toolstacks leave for the firmware and the device model of one. */
export const domainKindPaths = (domid: number) =>
  ({
    type: `/libxl/${domid}/type`,
    firmware: `${domainPath(domid)}/hvmloader`,
    deviceModel: `${domainPath(0)}/device-model/${domid}/state`,
  }) as const;

/** Says which domain a function is handed to: the claim that keeps two toolstacks from handing it out twice. */
export const claimPath = (sbdf: Sbdf): string => `/libxl/pci/${formatXenstoreSbdf(sbdf)}/domid`;

/** Where libxl keeps the sysfs directory of the driver that a function goes back to. */
export const driverPath = (sbdf: Sbdf): string => `/libxl/pci/${formatXenstoreSbdf(sbdf)}/driver_path`;

/** The guest whose back-end directory, or something in it, a watch reports; undefined for the root itself. */
export function domidOfBackendPath(path: string): number | undefined {
  const match = /^\/local\/domain\/0\/backend\/pci\/(0|[1-9]\d{0,4})(?:\/|$)/.exec(path);
  const domid = Number(match?.[1]);
  return match && domid <= lastDomid ? domid : undefined;
}
