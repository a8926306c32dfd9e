/** A host with real functions, whose drivers the test plays: models stand in for their registers. */
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import type { Sbdf } from '../../src/address.ts';
import { HostFunctions } from '../../src/backend/host-functions.ts';
import { Registry } from '../../src/backend/registry.ts';
import { type FunctionFacts, LoopbackPlatform } from '../../src/host/index.ts';
import type { StubChange } from '../../src/host/driver-binding.ts';
import type { Taken } from '../../src/host/platform.ts';
import type { BackendEvent } from '../../src/monitor/index.ts';
import { captured, sbdf } from '../host/support/functions.ts';
import { Loopback } from '../toolstack/loopback.ts';

export const nic: FunctionFacts = { ...captured('8086:10d3'), resetMethods: ['flr'] };
export const other: FunctionFacts = { ...nic, sbdf: sbdf('0000:7f:00.0') };
/** One without a way to reset it. */
export const stuck: FunctionFacts = { ...nic, sbdf: sbdf('0000:7f:01.0'), resetMethods: [] };
const former = { formerDriver: null, powerControl: null };

/** A host with two real functions, whose drivers the test plays: models stand in for their registers. */
export class PlayedHost extends LoopbackPlatform {
  override readonly kind = 'xen';
  readonly directory: string;
  readonly drivers = new Map<number, string | null>();
  /** What has taken the place of a function; null when nothing has. */
  readonly replaced = new Map<number, { vendor: number; device: number } | null>();
  readonly below = new Map<number, readonly Sbdf[]>();
  /** Whether xen-pciback has been loaded since functions were hidden. */
  hasKernelStub = false;
  readonly takenFor: (number | undefined)[] = [];
  readonly returned: Taken[] = [];

  constructor(directory: string) {
    super(directory);
    this.directory = directory;
  }

  override factsOf(at = nic.sbdf): FunctionFacts | null {
    const facts = [nic, other, stuck].find((each) => each.sbdf === at);
    return facts ? { ...facts, driver: this.drivers.get(at) ?? null } : null;
  }

  override identityOf(at = nic.sbdf): { vendor: number; device: number } | null {
    return this.replaced.has(at)
      ? (this.replaced.get(at) ?? null)
      : { vendor: nic.vendor, device: nic.device };
  }

  override functionsBelow(at = nic.sbdf): readonly Sbdf[] {
    return this.below.get(at) ?? [];
  }

  override async changeStub(facts = nic): Promise<StubChange | null> {
    if (!this.hasKernelStub || this.drivers.get(facts.sbdf) !== 'pci-stub') return null;
    this.drivers.set(facts.sbdf, 'pciback');
    // The new stub resets it, and leaves it otherwise than it was.
    const hardware = this.openFunction(facts.sbdf);
    hardware.write(0x0c, 1, 0x77);
    hardware.close();
    return { from: 'pci-stub', to: 'pciback' };
  }

  override driverOf(at = nic.sbdf): string | null {
    return this.drivers.get(at) ?? null;
  }

  override async takeFromHost(facts: FunctionFacts, _force?: boolean, guest?: number): Promise<Taken> {
    await super.takeFromHost(facts);
    this.takenFor.push(guest);
    const driver = this.drivers.get(facts.sbdf) ?? null;
    const isStub = driver === 'pciback' || driver === 'pci-stub';
    if (!isStub) this.drivers.set(facts.sbdf, 'pciback');
    const formerDriver = isStub ? null : driver;
    return {
      facts: { ...facts, driver: formerDriver },
      former: { ...former, formerDriver },
      wasDriven: true,
    };
  }

  override async returnToHost(taken?: Taken): Promise<void> {
    if (!taken) return;
    this.returned.push(taken);
    if (taken.former) this.drivers.set(taken.facts.sbdf, taken.former.formerDriver);
  }
}

export async function setting(drivers: Readonly<Record<number, string>>) {
  const { directory, store } = await Loopback.start();
  const platform = new PlayedHost(directory);
  onTestFinished(() => platform.close());
  for (const [at, driver] of Object.entries(drivers)) platform.drivers.set(Number(at), driver);
  const registry = new Registry(join(directory, 'state/function'), () => {});
  const events: BackendEvent[] = [];
  const parts = { platform, registry, xenstore: store, emit: (event: BackendEvent) => events.push(event) };
  const host = new HostFunctions(parts, { functions: [nic, other], warnings: [] });
  return { platform, registry, store, host, events };
}
