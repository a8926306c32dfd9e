/** What can be seen of a daemon from outside: events, and the control socket. */
export { type CallOptions, ControlClient, type StreamListener } from './control-client.ts';
export type { ControlMethods, ControlStreams } from './control-server.ts';
export { type BackendEvent, type EventType, failureDetails, makeEvent } from './events.ts';
export { type ListenAddress, parseListenAddress, resolveListenAddress } from './listen-address.ts';
export { type FunctionReport, type InventoryReport, reportInventory } from './inventory-report.ts';
