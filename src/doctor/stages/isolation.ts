/** Stage 3: can the function be kept apart from the rest of the machine? */
import { formatSbdf } from '../../address.ts';
import { headerTypeOf, isBridge } from '../../host/identity.ts';
import { sharedPages } from '../../host/shared-pages.ts';
import type { SilentFunction } from '../../host/silent.ts';
import {
  fail,
  isDriven,
  listed,
  nameFunctions,
  ofFunctions,
  pass,
  skip,
  type Stage,
  warn,
} from '../check.ts';
import type { Facts, KnownFunction } from '../facts.ts';
import { interruptsOf, legacyLine } from '../interrupts.ts';
import { Neighbourhood } from '../neighbours.ts';

const bridges = ofFunctions('bridges', 'is it a function that a guest can have?', (fn) => {
  const layout = headerTypeOf(fn.config);
  if (layout > 1) {
    return fail(
      'HEADER-TYPE',
      `header type ${layout}`,
      'only types 0 and 1 are understood',
      'leave it to the host',
    );
  }
  if (isBridge(fn) || layout === 1) {
    return fail(
      'BRIDGE',
      'a bridge',
      'guests have a flat bus of their own',
      'give the guest what is behind it, or serve with --topology passthrough',
    );
  }
  return pass('an endpoint');
});

const intx = ofFunctions('shared-intx', 'does it have its interrupt line for itself?', (fn, facts) => {
  const line = legacyLine(fn);
  if (line === 'none') return pass('no INTx');
  if (line === 'unknown') return skip('its line is not known until the function is enabled without MSI');
  const others = facts.functions.filter((other) => other.sbdf !== fn.sbdf && legacyLine(other) === line);
  // A driver that switched to messages has let go of the line, and does not mind what happens to it.
  const sharing = others.filter((other) => isDriven(other) && other.messageVectors.length === 0);
  if (others.length === 0) return pass(`line ${line} is its own`);
  if (sharing.length === 0) return pass(`of those on line ${line} no other uses it`);
  const listeners = facts.machine?.interruptUsers.get(line) ?? [];
  const users = listeners.length > 0 ? `; ${listed(listeners.slice(0, 8))} listen on it` : '';
  const what = `line ${line} is shared with ${nameFunctions(sharing)}${users}`;
  const why = 'as long as a guest does not quiet its device, the line stays asserted, and dom0 gives it up';
  const canSignal = interruptsOf(fn).kinds.some((kind) => kind !== 'INTx');
  if (canSignal) return warn(what, why, 'see that the guest uses MSI or MSI-X, which the function has');
  const remedy = 'hide the others as well, or move the card to a slot with a line of its own';
  return fail('NOT-ISOLATED', what, `the function has nothing but INTx; ${why}`, remedy);
});

const pages = ofFunctions('shared-pages', 'are its BARs alone in their pages?', (fn, facts) => {
  const shared = sharedPages([...facts.functions, ...facts.silent]).filter(({ sbdf }) => sbdf === fn.sbdf);
  if (shared.length === 0) return pass('no page is shared');
  const places = shared
    .slice(0, 8)
    .map(
      ({ bar, other, page }) =>
        `BAR ${bar} with BAR ${other.bar} of ${formatSbdf(other.sbdf)} in page 0x${page.toString(16)}`,
    );
  return fail(
    'NOT-ISOLATED',
    `shares ${listed(places)}`,
    'memory is given to guests by the page, with all that is in it',
    `boot dom0 with pci=resource_alignment=${formatSbdf(fn.sbdf)}, which gives each of its BARs pages of its own`,
  );
});

type Neighbour = KnownFunction | SilentFunction;
const neighbourhoods = new WeakMap<Facts, Neighbourhood<Neighbour>>();
function neighbourhood(facts: Facts): Neighbourhood<Neighbour> {
  const known =
    neighbourhoods.get(facts) ?? new Neighbourhood<Neighbour>([...facts.functions, ...facts.silent]);
  neighbourhoods.set(facts, known);
  return known;
}

const siblings = ofFunctions('siblings', 'is it the only function of its device?', (fn, facts) => {
  const others = neighbourhood(facts).siblingsOf(fn);
  if (others.length === 0) return pass('the only function of its device');
  return warn(
    `its device has ${nameFunctions(others)} as well`,
    'functions of one device can reach each other without passing the IOMMU, and are often reset together',
    others.some(isBridge)
      ? 'the host keeps the bridge among them: give it only to a guest that you would trust with the host'
      : `give all of them to the same guest: ${formatSbdf(fn.sbdf).replace(/\.\d$/, '.*')}`,
  );
});

const unreadablePort = skip(
  'not to be told',
  'of the registers of a port above too little can be read',
  'run it as root, or capture the tree as root',
);

const requester = ofFunctions('shared-bus', 'does the IOMMU know it from its neighbours?', (fn, facts) => {
  const others = neighbourhood(facts).sharingRequester(fn);
  if (others === null) return unreadablePort;
  if (others.length === 0) return pass('it has a requester ID of its own');
  const what = `behind one conventional bus with ${nameFunctions(others)}`;
  const why = 'the IOMMU takes whatever is behind that bus for one device';
  const driven = others.filter(isDriven);
  if (driven.length === 0) return warn(what, why, 'give all of them to the same guest');
  const remedy = `hide ${nameFunctions(driven)} as well and give all to the same guest, or use another slot`;
  return fail('NOT-ISOLATED', what, why, remedy);
});

const acs = ofFunctions('acs', 'do the ports above keep it from its peers?', (fn, facts) => {
  const peers = neighbourhood(facts).peersOf(fn);
  if (peers === null) return unreadablePort;
  if (peers.length === 0) return pass('no peer is reached past the IOMMU');
  return warn(
    `may reach ${nameFunctions(peers)}`,
    'a port above has no Access Control Services, so requests between its devices may not pass the IOMMU',
    'give all of them to one guest that you trust with them, or use a slot behind another root port',
  );
});

const group = ofFunctions('iommu-group', 'is it alone in its IOMMU group?', (fn, { functions }) => {
  if (fn.iommuGroup === null) return skip('it is in none, as under Xen always');
  const others = functions.filter(
    (other) => other.sbdf !== fn.sbdf && other.iommuGroup === fn.iommuGroup && !isBridge(other),
  );
  if (others.length === 0) return pass(`alone in group ${fn.iommuGroup}`);
  return warn(
    `shares group ${fn.iommuGroup} with ${nameFunctions(others)}`,
    'Linux finds that they cannot be kept apart',
    'give all of them to the same guest',
  );
});

const virtualFunctions = ofFunctions('sriov', 'does it have virtual functions?', (fn, facts) => {
  const own = [...facts.functions, ...facts.silent].filter(
    ({ physicalFunction }) => physicalFunction === fn.sbdf,
  );
  if (own.length === 0) return pass(fn.physicalFunction === null ? 'none' : 'it is one itself');
  return warn(
    `has virtual functions: ${nameFunctions(own)}`,
    'whoever has the physical function can reset all of them, and they vanish with it',
    `give guests the virtual functions; or first write 0 to /sys/bus/pci/devices/${formatSbdf(fn.sbdf)}/sriov_numvfs`,
  );
});

const reserved = ofFunctions('reserved-memory', 'does firmware use memory through it?', () =>
  skip('not to be told from dom0: reserved memory (RMRR) shows when Xen assigns the function'),
);

export const isolationStage: Stage = {
  stage: 'isolation',
  title: 'Isolation',
  checks: [bridges, intx, pages, siblings, requester, acs, group, virtualFunctions, reserved],
};
