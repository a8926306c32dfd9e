/**
 * Takes functions from the drivers of dom0 while it runs, and gives them back. Every step looks at what the kernel shows rather
 * than at what was done before, so that what a killed process left in the middle is carried on with, or put back, all the same.
 */
import { existsSync, readlinkSync } from 'node:fs';
import { basename, join } from 'node:path';
import { formatSbdf, type Sbdf } from '../address.ts';
import { PcibackError } from '../errors.ts';
import { DriverCore } from './driver-core.ts';
import { driverDirectory, functionDirectory, type HostRoot } from './host-root.ts';
import { isStub, type StubDriver, stubDrivers } from './stubs.ts';

export type { StubDriver } from './stubs.ts';

/** How a function was before it was taken. Plain data, to be stored until it is given back. */
export interface FormerBinding {
  /** Null when no driver had it, or a stub had it already. */
  readonly formerDriver: string | null;
  /** `power/control`: `auto` or `on`; null when it was not changed. */
  readonly powerControl: string | null;
  /** `driver_override`, where somebody had reserved the function for one driver. */
  readonly driverOverride?: string | null;
}

export interface StubBinding extends FormerBinding {
  readonly stub: StubDriver;
}

/** Which function; all that is needed of its facts. */
interface Addressed {
  readonly sbdf: Sbdf;
}

/**
 * The stub to use: that of the kernel's own back-end where it is loaded, since libxl takes a function for assignable only when
 * that driver has it (libxl_pci.c, libxl__device_pci_assignable_add). Throws NO-STUB-DRIVER.
 */
export function stubDriver(root: HostRoot): StubDriver {
  const found = stubDrivers.find((name) => existsSync(driverDirectory(root, name)));
  if (found !== undefined) return found;
  throw new PcibackError('NO-STUB-DRIVER', 'neither pci-stub nor pciback is loaded', 'modprobe pci-stub');
}

/** The driver that has the function now; null when none has, or there is no such function. */
export function driverOf(root: HostRoot, sbdf: Sbdf): string | null {
  try {
    return basename(readlinkSync(join(functionDirectory(root, sbdf), 'driver')));
  } catch {
    return null;
  }
}

/** Throws NOT-HIDDEN unless a stub has the function. */
export function requireStub(root: HostRoot, sbdf: Sbdf): void {
  const driver = driverOf(root, sbdf);
  if (isStub(driver)) return;
  const name = formatSbdf(sbdf);
  throw new PcibackError(
    'NOT-HIDDEN',
    `${name} was taken from its stub: ${driver ?? 'no driver'} has it`,
    `hide it again: pciback hide ${name}`,
  );
}

/**
 * What is to be given back one day. Once `bindStub` has begun nothing else remembers it, so whoever may be killed stores it
 * before. Rejects with NO-SUCH-FUNCTION or NO-PERMISSION.
 */
export async function formerBinding(root: HostRoot, { sbdf }: Addressed): Promise<FormerBinding> {
  return withoutStub(await lookAt(new DriverCore(root, sbdf)));
}

async function lookAt(core: DriverCore): Promise<FormerBinding> {
  return {
    formerDriver: await core.driver(),
    powerControl: await core.powerControl(),
    driverOverride: await core.override(),
  };
}

const withoutStub = ({
  formerDriver,
  powerControl,
  driverOverride = null,
}: FormerBinding): FormerBinding => ({
  formerDriver: isStub(formerDriver) ? null : formerDriver,
  powerControl,
  driverOverride: isStub(driverOverride) ? null : driverOverride,
});

/**
 * Moves a function to the stub driver, powered, decoding, and with its GSI routed. One that a stub has stays as it is. On any
 * failure everything is put back before the promise is rejected: with NO-STUB-DRIVER, NO-SUCH-FUNCTION, NO-PERMISSION or
 * DRIVER-BINDING.
 */
export async function bindStub(root: HostRoot, { sbdf }: Addressed): Promise<StubBinding> {
  const core = new DriverCore(root, sbdf);
  const before = await lookAt(core);
  const holder = before.formerDriver;
  // Xen's stub has enabled the function when it took it; pci-stub, as the kernel's command line names it, never does.
  if (isStub(holder) && (holder === 'pciback' || (await core.enabled()))) {
    return { stub: holder, formerDriver: null, powerControl: null, driverOverride: null };
  }
  const stub = isStub(holder) ? holder : stubDriver(root);
  try {
    await moveToStub(core, stub);
  } catch (error) {
    // A stub takes the function back only while it is reserved for it: it need not know it by its ids.
    const reserved = isStub(holder) ? { ...before, driverOverride: holder } : withoutStub(before);
    throw await withUndone(error, core, reserved);
  }
  return { stub, ...withoutStub(before) };
}

/** From which stub a function was moved to which. */
export interface StubChange {
  readonly from: StubDriver;
  readonly to: StubDriver;
}

/** The move that would bring a function from the stub that has it to the one that the toolstack looks for; null when there is none to make. */
export function stubChange(root: HostRoot, { sbdf }: Addressed): StubChange | null {
  const from = driverOf(root, sbdf);
  if (!isStub(from)) return null;
  const to = stubDriver(root);
  return from === to ? null : { from, to };
}

/**
 * Moves a function from one stub to another, which no driver of the host has it in between. On any failure the first one has it again
 * before the promise is rejected: with NO-SUCH-FUNCTION, NO-PERMISSION or DRIVER-BINDING.
 */
export async function changeStub(root: HostRoot, { sbdf }: Addressed, change: StubChange): Promise<void> {
  const core = new DriverCore(root, sbdf);
  try {
    await moveToStub(core, change.to);
  } catch (error) {
    await core.removeSlot();
    await moveToStub(core, change.from);
    throw error;
  }
}

/** The override comes first: while no driver has the function, a module that is loaded just then must not get it. */
async function moveToStub(core: DriverCore, stub: StubDriver): Promise<void> {
  await setPowerControl(core, 'on');
  await core.setOverride(stub);
  if ((await core.driver()) !== null) await core.unbind();
  if (!(await core.enabled())) await core.setEnabled(true);
  await core.probe();
  const holder = await core.driver();
  if (holder === stub) return;
  throw new PcibackError(
    'DRIVER-BINDING',
    `${core.name}: ${stub} did not take it: ${holder ?? 'no driver'} has it`,
    'the kernel log (dmesg) tells why',
  );
}

async function withUndone(error: unknown, core: DriverCore, before: FormerBinding): Promise<unknown> {
  try {
    await putBack(core, before);
    return error;
  } catch (second) {
    if (!(error instanceof PcibackError && second instanceof PcibackError)) return error;
    if (second.reason === error.reason && second.message === error.message) return error;
    const message = `${error.message}; and it could not be put back: ${second.message}`;
    return new PcibackError(error.reason, message, second.remedy, { cause: error });
  }
}

/**
 * Gives a function back to the driver that had it; without one it is left to none. What is back already stays as it is.
 * Rejects with NOT-RETURNED when that driver is gone or refuses: no driver has the function then, and nothing of the stub is
 * left. Otherwise with NO-SUCH-FUNCTION, NO-PERMISSION or DRIVER-BINDING.
 */
export async function unbindStub(root: HostRoot, { sbdf }: Addressed, former: FormerBinding): Promise<void> {
  await putBack(new DriverCore(root, sbdf), former);
}

async function putBack(core: DriverCore, former: FormerBinding): Promise<void> {
  const present = await core.driver();
  if (isStub(present) && present !== former.formerDriver) await core.unbind();
  if ((await core.driver()) === null && (await core.enabled())) await core.setEnabled(false);
  await core.setOverride(former.driverOverride ?? null);
  if (former.formerDriver !== 'pciback') await core.removeSlot();
  await setPowerControl(core, former.powerControl);
  if (former.formerDriver !== null) await returnTo(core, former.formerDriver);
}

async function returnTo(core: DriverCore, driver: string): Promise<void> {
  if ((await core.driver()) !== null) return;
  const refusal = await core.bind(driver).then(
    () => undefined,
    (error: unknown) => error,
  );
  const holder = await core.driver();
  if (holder !== null && (holder === driver || !isStub(holder))) return;
  // A stub that knows the function by its ids has caught it again.
  if (holder !== null) await core.unbind();
  if (refusal !== undefined && !(refusal instanceof PcibackError)) throw refusal;
  const why = refusal ? ` (${refusal.message})` : '';
  throw new PcibackError(
    'NOT-RETURNED',
    `${core.name}: ${driver} did not take it back${why}; no driver has it`,
    `load the driver, and bind it by hand: echo ${core.name} > /sys/bus/pci/drivers/${driver}/bind`,
    { cause: refusal },
  );
}

async function setPowerControl(core: DriverCore, value: string | null): Promise<void> {
  const present = await core.powerControl();
  if (value !== null && present !== null && present !== value) await core.setPowerControl(value);
}
