/**
 * In which ways a function can be reset. Only its registers and its neighbours are looked at; nothing is touched.
 */
import { busOf, formatSbdf, segmentOf } from '../address.ts';
import { Af, CapabilityId, Header, Pcie, Pm, Status } from '../config-space/bits.ts';
import { findCapability } from '../config-space/capabilities.ts';
import { byteAt, dwordAt, wordAt } from '../config-space/image.ts';
import { bridgeOf } from '../topology/bridges.ts';
import type { FunctionFacts } from './platform.ts';
import type { SilentFunction } from './silent.ts';

/** One way to reset a function, and whether it is open. */
export interface ResetMethod {
  /** As `reset_method` of sysfs spells it. */
  readonly method: string;
  readonly usable: boolean;
  readonly why: string;
}

type Candidate = Omit<FunctionFacts, 'resetMethods'>;
/** Another function of the host, which may not answer. */
type Neighbour = Pick<FunctionFacts | SilentFunction, 'sbdf' | 'config'>;
type Finding = Omit<ResetMethod, 'method'>;

const yes = (why: string): Finding => ({ usable: true, why });
const no = (why: string): Finding => ({ usable: false, why });

/** The order in which Linux tries them (drivers/pci/pci.c, pci_reset_fn_methods). */
const findings: Readonly<Record<string, (facts: Candidate, host: readonly Neighbour[]) => Finding>> = {
  device_specific: () => no('the kernel knows no reset that is particular to this device'),
  acpi: () => no('the firmware offers none (ACPI _RST)'),
  flr: functionLevelReset,
  af_flr: advancedFeaturesReset,
  pm: powerManagementReset,
  bus: secondaryBusReset,
};

/** The methods that the registers of a function and its place promise, where no kernel says which ones it offers. */
export const possibleResetMethods = (facts: Candidate, host: readonly Neighbour[]): string[] =>
  Object.keys(findings).filter((method) => findings[method]?.(facts, host).usable);

/**
 * Every method with the reason for or against it: first those that the host offers, as it would try them, then the others in
 * Linux's order. `host` is all functions of the host, also those that do not answer.
 */
export function resetMethods(facts: FunctionFacts, host: readonly Neighbour[]): readonly ResetMethod[] {
  const offered = facts.resetMethods.map((method) => {
    const finding = findings[method]?.(facts, host) ?? no('');
    // Linux makes its list when a function is found, before it has seen the functions that come after it.
    if (method === 'bus' && othersOnBus(facts, host).length > 0) return { method, ...finding };
    return { method, ...yes(finding.usable ? finding.why : 'the kernel offers it') };
  });
  const others = Object.entries(findings)
    .filter(([method]) => !facts.resetMethods.includes(method))
    .map(([method, find]) => {
      const { usable, why } = find(facts, host);
      return { method, ...no(usable ? `${why}, but the kernel does not offer it` : why) };
    });
  return [...offered, ...others];
}

/** Of 64 bytes only the status register tells whether there is a list at all. */
function withoutCapability(facts: Candidate, name: string): Finding {
  const hidden = facts.config.length <= Header.end && hasList(facts);
  return no(hidden ? 'only the first 64 bytes of its registers can be read; root sees all' : `no ${name}`);
}

const hasList = ({ config }: Candidate): boolean =>
  (wordAt(config, Header.status) & Status.capabilityList) !== 0;

/** PCI Express Base 4.0, 6.6.2: optional, announced in Device Capabilities. */
function functionLevelReset(facts: Candidate): Finding {
  const at = capability(facts, CapabilityId.pciExpress);
  if (at === undefined) return withoutCapability(facts, 'PCI Express capability');
  return (dwordAt(facts.config, at + Pcie.deviceCapabilities) & Pcie.flrCapable) !== 0
    ? yes('function level reset')
    : no('no function level reset');
}

/** The same for conventional functions (PCI ECN Advanced Capabilities), usable only with its Transactions Pending bit. */
function advancedFeaturesReset(facts: Candidate): Finding {
  const at = capability(facts, CapabilityId.advancedFeatures);
  if (at === undefined) return withoutCapability(facts, 'Advanced Features capability');
  const needed = Af.flrCapable | transactionsPendingCapable;
  return (byteAt(facts.config, at + Af.capabilities) & needed) === needed
    ? yes('function level reset of Advanced Features')
    : no('Advanced Features without function level reset');
}

const transactionsPendingCapable = 1 << 0;

/** From D3hot to D0 a function loses its state, unless it says that it keeps it (PCI Power Management 1.2, 3.2.4). */
function powerManagementReset(facts: Candidate): Finding {
  const at = capability(facts, CapabilityId.powerManagement);
  if (at === undefined) return withoutCapability(facts, 'Power Management capability');
  return (wordAt(facts.config, at + Pm.control) & Pm.noSoftReset) === 0
    ? yes('loses its state in D3hot')
    : no('keeps its state in D3hot (No_Soft_Reset)');
}

/** The bridge above resets all that is behind it (PCI-to-PCI Bridge 1.2, 3.2.5.17): nothing else may be there. */
function secondaryBusReset(facts: Candidate, host: readonly Neighbour[]): Finding {
  const { sbdf } = facts;
  const above = host.find(
    (other) =>
      segmentOf(other.sbdf) === segmentOf(sbdf) &&
      bridgeOf(other.sbdf, other.config)?.secondaryBus === busOf(sbdf),
  );
  if (above === undefined) return no('no bridge is above it');
  if (bridgeOf(sbdf, facts.config)) return no('it is a bridge: the functions behind it would be reset too');
  const [other, ...more] = othersOnBus(facts, host);
  if (other === undefined) return yes(`alone behind ${formatSbdf(above.sbdf)}`);
  const rest = more.length > 0 ? ` and ${more.length} more` : '';
  return no(`shares its bus with ${formatSbdf(other.sbdf)}${rest}`);
}

const othersOnBus = ({ sbdf }: Candidate, host: readonly Neighbour[]): readonly Neighbour[] =>
  host.filter(
    (other) =>
      other.sbdf !== sbdf && segmentOf(other.sbdf) === segmentOf(sbdf) && busOf(other.sbdf) === busOf(sbdf),
  );

const capability = ({ config }: Candidate, id: number): number | undefined =>
  config.length > Header.end ? findCapability(config, id) : undefined;
