/** What administrators write, read without touching anything: specifications, xl.cfg, kernel command lines, hide lists. */
export { formatSbdf, formatVdev, makeSbdf, parseSbdf, type Sbdf } from '../address.ts';
export { PcibackError, type Reason, reasons } from '../errors.ts';
export { type BridgePath, followBridgePath } from './address-spellings.ts';
export { type AddressPattern, formatPattern, patternMatches } from './address-text.ts';
export { type BootCfg, type BootEntry, parseBootCfg } from './boot-cfg.ts';
export { showProblem } from './caret.ts';
export { type HideEntry, type HideList, matchHideList, parseHideList } from './hide-list.ts';
export { type BootParameters, parseKernelCommandLine } from './kernel-command-line.ts';
export { nearest } from './nearest.ts';
export { defaultPciOptions, type PciOptions } from './pci-options.ts';
export { type Problem, problemError } from './problem.ts';
export { type HostFunctions, readNames, resolveSpec } from './resolve.ts';
export { parseSpec, type PciSpec, specOf, type SpecResult, type SpecTarget } from './spec.ts';
export { parseXlCfg, type XlCfg } from './xl-cfg.ts';
