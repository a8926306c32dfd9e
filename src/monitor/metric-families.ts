/**
 * What there is to see of a daemon, by name. Labels are addresses of this host's functions, domain ids of guests that are there,
 * and names from fixed lists.
 */
import type { FunctionSample, XenstoreSample } from './metrics-sample.ts';
import type { Tally } from './tally.ts';

/** States of a function, as events and `pciback status` name them. */
const functionStates = [
  'hidden',
  'binding',
  'bound',
  'connected',
  'connected.flr',
  'connected.dead',
  'reset',
  'quarantined',
] as const;

export type Labels = Readonly<Record<string, string | number>>;
export type Series = readonly [labels: Labels, value: number];

/** Everything that a scrape draws from. */
export interface View {
  readonly version: string;
  readonly functions: readonly FunctionSample[];
  readonly tally: Tally;
  readonly xenstore: XenstoreSample | undefined;
  readonly unrefused: ReadonlyMap<string, number>;
  readonly throttled: ReadonlyMap<number, number>;
  readonly resets: ReadonlyMap<string, readonly [Labels, number]>;
  readonly stalled: number;
}

export interface Family {
  readonly type: 'gauge' | 'counter';
  readonly help: string;
  readonly labels: readonly string[];
  readonly read: (view: View) => readonly Series[];
}

const alone = (value: number | undefined): readonly Series[] => (value === undefined ? [] : [[{}, value]]);
const assigned = ({ functions }: View): readonly FunctionSample[] =>
  functions.filter(({ domid }) => domid !== null);

export const families: Readonly<Record<string, Family>> = {
  build_info: {
    type: 'gauge',
    help: 'Always 1; the labels say which pciback this is and which Node.js runs it.',
    labels: ['version', 'node_version'],
    read: ({ version }) => [[{ version, node_version: process.version }, 1]],
  },
  devices: {
    type: 'gauge',
    help: 'PCI functions that are taken from their host drivers, by state.',
    labels: ['state'],
    read: ({ functions }) =>
      functionStates.map((state) => [{ state }, functions.filter((each) => each.state === state).length]),
  },
  device_info: {
    type: 'gauge',
    help: 'Always 1; who has a function, at which address on its bus, which driver it was taken from, and how it would be reset.',
    labels: ['sbdf', 'domid', 'vdev', 'driver_before', 'reset_method'],
    read: ({ functions }) =>
      functions.map(({ sbdf, domid, vdev, driverBefore, resetMethod }) => [
        {
          sbdf,
          domid: domid ?? '',
          vdev: vdev ?? '',
          driver_before: driverBefore ?? '',
          reset_method: resetMethod ?? '',
        },
        1,
      ]),
  },
  device_state: {
    type: 'gauge',
    help: '1 for the state that a function is in, 0 for every other.',
    labels: ['sbdf', 'state'],
    read: ({ functions }) =>
      functions.flatMap(({ sbdf, state }) =>
        functionStates.map((each): Series => [{ sbdf, state: each }, each === state ? 1 : 0]),
      ),
  },
  ops_total: {
    type: 'counter',
    help: 'Requests of guests to their functions: reads of registers, writes by whether any of it was denied, and requests for MSI or MSI-X that failed. Not counted: accesses outside of the configuration space, requests to no function, interrupts switched on or off.',
    labels: ['cmd', 'result'],
    read: ({ tally }) => [
      [{ cmd: 'conf_read', result: 'success' }, tally.reads],
      [{ cmd: 'conf_write', result: 'success' }, tally.writesDone],
      [{ cmd: 'conf_write', result: 'denied' }, tally.denied],
      [{ cmd: 'enable_interrupts', result: 'failed' }, tally.failures],
    ],
  },
  config_writes_denied_total: {
    type: 'counter',
    help: 'Writes that a guest was denied, by the kind of register. A dword register counts no further than 65535 for one guest.',
    labels: ['sbdf', 'reg_class'],
    read: ({ functions, tally }) =>
      functions.flatMap(({ sbdf }) =>
        [...tally.deniedOf(sbdf)].map(([name, denied]): Series => [{ sbdf, reg_class: name }, denied]),
      ),
  },
  evtchn_throttled_total: {
    type: 'counter',
    help: 'Times that a guest kept sending events without requests, until its event channel was unmasked more and more slowly.',
    labels: ['domid'],
    read: ({ throttled }) => [...throttled].map(([domid, times]) => [{ domid }, times]),
  },
  resets_total: {
    type: 'counter',
    help: 'Resets of functions, by the method and by how they ended.',
    labels: ['method', 'result'],
    read: ({ resets }) => [...resets.values()],
  },
  msi_vectors: {
    type: 'gauge',
    help: 'Message-signalled interrupt vectors that a guest has switched on.',
    labels: ['sbdf', 'kind'],
    read: (view) =>
      assigned(view).flatMap(({ sbdf, record }) =>
        ['msi', 'msix'].map((kind): Series => [
          { sbdf, kind },
          record?.interrupts === kind ? record.vectors : 0,
        ]),
      ),
  },
  pirqs_mapped: {
    type: 'gauge',
    help: 'Physical interrupts that are mapped for message-signalled vectors of a guest.',
    labels: ['domid'],
    read: (view) => {
      const byDomain = new Map<number, number>();
      for (const { domid, record } of assigned(view))
        byDomain.set(domid ?? 0, (byDomain.get(domid ?? 0) ?? 0) + (record?.vectors ?? 0));
      return [...byDomain].map(([domid, pirqs]) => [{ domid }, pirqs]);
    },
  },
  stalled_handshakes: {
    type: 'gauge',
    help: 'Guests whose next step has depended on the same side for more than 10 seconds; pciback status says on which, and since when.',
    labels: [],
    read: ({ stalled }) => alone(stalled),
  },
  xenstore_requests_total: {
    type: 'counter',
    help: 'Requests sent to xenstored by operation and errno; errno is "none" for those that were not refused (so far).',
    labels: ['op', 'errno'],
    read: ({ xenstore, unrefused }) => [
      ...[...unrefused].map(([op, times]): Series => [{ op, errno: 'none' }, times]),
      ...Object.entries(xenstore?.refusals ?? {}).map(([key, times]): Series => {
        const [op = '', errno = ''] = key.split(' ');
        return [{ op, errno }, times];
      }),
    ],
  },
  xenstore_transaction_retries_total: {
    type: 'counter',
    help: 'Transactions that were run again because somebody else had changed what they read.',
    labels: [],
    read: ({ xenstore }) => alone(xenstore?.transactionRetries),
  },
  xenstore_reconnects_total: {
    type: 'counter',
    help: 'Connections to xenstored that were made after the first.',
    labels: [],
    read: ({ xenstore }) => alone(xenstore?.reconnects),
  },
  watch_events_total: {
    type: 'counter',
    help: 'Watch events that xenstored has sent.',
    labels: [],
    read: ({ xenstore }) => alone(xenstore?.events),
  },
};
