/** Stage 4: can the function be taken from dom0, and is it clean afterwards? */
import { formatSbdf } from '../../address.ts';
import { Command, Header } from '../../config-space/bits.ts';
import { wordAt } from '../../config-space/image.ts';
import { resetMethods } from '../../host/reset.ts';
import {
  type Check,
  fail,
  isDriven,
  listed,
  ofFunctions,
  ofMachine,
  pass,
  skip,
  type Stage,
  warn,
} from '../check.ts';
import { interruptsOf, legacyLine } from '../interrupts.ts';
import { stateOf } from '../state.ts';

const stub = ofMachine('stub', 'is there a driver to hold functions with?', ({ stubs, canLoadStub }) => {
  if (stubs.includes('pciback'))
    return pass('xen-pciback is loaded: pci = [...] works with xl, and the daemon takes over from it');
  if (stubs.includes('pci-stub')) {
    return pass('pci-stub is loaded: pciback attach works; for pci = [...] with xl, modprobe xen-pciback');
  }
  if (canLoadStub) {
    return pass(
      'pci-stub is loaded when it is needed: pciback attach works; for pci = [...] with xl, modprobe xen-pciback',
    );
  }
  return fail(
    'NO-STUB-DRIVER',
    'neither pci-stub nor xen-pciback is loaded, nor is pci-stub among the modules of this kernel',
    'a function that no driver holds can be taken by any driver at any time',
    'install a kernel with CONFIG_PCI_STUB; or modprobe xen-pciback, which also has pci = [...] work with xl',
  );
});

const driver = ofFunctions('driver', 'who drives it?', (fn) => {
  if (isDriven(fn)) return pass(`${fn.driver}, until pciback hide takes it`);
  return pass(fn.driver === null ? 'no driver' : `${fn.driver} holds it for guests`);
});

const inUse = ofFunctions('in-use', 'can dom0 do without it?', ({ users, driver: name, sbdf }) => {
  if (users === null) return name === null ? pass('no driver has it') : skip('not told');
  if (users.length === 0) return pass('dom0 is not using it');
  const told = users.slice(0, 8).map(({ what, detail }) => `${what} (${detail})`);
  const remedies = [...new Set(users.map(({ remedy }) => remedy))].slice(0, 3);
  return fail(
    'HOST-USES-IT',
    `in use: ${listed(told)}`,
    'dom0 would lose it while it works with it',
    `stop that first (${remedies.join('; ')}); pciback hide --force ${formatSbdf(sbdf)} takes it all the same`,
  );
});

const state: Check = {
  id: 'state',
  question: 'is it free?',
  check: (facts) => stateOf(facts),
};

const reset = ofFunctions('reset', 'can it be reset?', (fn, { functions, silent }) => {
  const methods = resetMethods(fn, [...functions, ...silent]);
  const usable = methods.filter((each) => each.usable);
  const [first, ...others] = usable.map(({ method }) => method);
  if (first !== undefined) return pass(`by ${first}${others.length > 0 ? `, or ${others.join(', ')}` : ''}`);
  return warn(
    'no method to reset it alone',
    `it is quarantined when its guest gives it back; ${methods.map(({ method, why }) => `${method}: ${why}`).join('; ')}`,
    'give it to one guest only, or leave it to the host',
  );
});

/** What a guest can be given as the number of a line (libxl: 255 is "not connected"). */
const isRouted = (line: number): boolean => line > 0 && line < 255;

const interrupts = ofFunctions('interrupts', 'how can it signal?', (fn) => {
  const { kinds, refused } = interruptsOf(fn);
  const line = legacyLine(fn);
  const names = kinds.map((kind) =>
    kind === 'INTx' && typeof line === 'number' ? `INTx on line ${line}` : kind,
  );
  const onlyHeader = fn.config.length <= Header.end ? ' (of its capabilities nothing can be read)' : '';
  const hasDeadLine = typeof line === 'number' && !isRouted(line);
  if (refused.length > 0) {
    const what = `guests are refused ${listed(refused)}`;
    const isSilent = kinds.every((kind) => kind === 'INTx' && hasDeadLine);
    const why = isSilent ? 'no other interrupt is left' : `what is left is ${listed(names)}`;
    const remedy = "use another function, or see whether the vendor's firmware update mends its capabilities";
    return isSilent ? fail('NO-INTERRUPT', what, why, remedy) : warn(what, why, remedy);
  }
  if (kinds.length === 0) {
    if (onlyHeader) return skip(`no INTx${onlyHeader}`, '', 'run it as root');
    return pass('it has no interrupts: its driver polls');
  }
  if (!hasDeadLine) return pass(listed(names) + onlyHeader);
  const why = `the kernel gives it line ${line}, which leads nowhere`;
  const alone = kinds.length === 1 && !onlyHeader;
  const remedy = 'see what the kernel says of its interrupt at boot (ACPI routing tables of the firmware)';
  if (alone) return fail('NO-INTERRUPT', 'INTx only, and not routed', why, remedy);
  return warn(listed(names) + onlyHeader, why, 'see that the guest uses MSI or MSI-X');
});

const decode = ofFunctions('memory-decode', 'do its BARs answer?', (fn) => {
  const hasMemory = fn.resources.some(({ kind }) => kind === 'memory32' || kind === 'memory64');
  if (!hasMemory) return pass('it has no memory BARs');
  if ((wordAt(fn.config, Header.command) & Command.memory) !== 0) return pass('memory decoding is on');
  if (fn.physicalFunction !== null) return pass('decoding is in the hands of its physical function');
  if (fn.enabled === true && !isDriven(fn)) {
    return warn(
      'memory decoding is off',
      'Xen prepares MSI-X only for a function whose memory answers',
      `hide it anew: pciback unhide ${formatSbdf(fn.sbdf)}; pciback hide ${formatSbdf(fn.sbdf)}`,
    );
  }
  return pass('memory decoding is off, until pciback hide enables the function');
});

export const bindingStage: Stage = {
  stage: 'binding',
  title: 'Binding and reset',
  checks: [stub, driver, inUse, state, reset, interrupts, decode],
};
