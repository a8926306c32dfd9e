export {
  type FrontendKeys,
  frontendKeyNames,
  parseFrontendKeys,
  publishOther,
  sameKeys,
} from './frontend-keys.ts';
export {
  backendPath,
  backendRoot,
  claimPath,
  driverPath,
  domainPath,
  domidOfBackendPath,
  errorPath,
  errorReasonPath,
  errorRemedyPath,
  frontendPath,
  lastDomid,
  domainKindPaths,
} from './paths.ts';
export { XenbusState, parseXenbusState, xenbusStateName } from './state.ts';
export { parseDecimal, quote } from './text.ts';
export {
  type DeviceEntry,
  type GuestView,
  absentView,
  askBackendView,
  mostDevices,
  readBackendView,
} from './view.ts';
