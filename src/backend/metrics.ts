/** Serves metrics of a back-end: gathers what they are made of, and passes its events on. */
import type { Observable } from 'rxjs';
import { type Sbdf, formatSbdf, formatVdev, parseSbdf } from '../address.ts';
import {
  type FunctionRecord,
  InterruptKind,
  type RegisterClass,
  type Seized,
  compileFilter,
  defaultMode,
  registerClasses,
} from '../config-space/index.ts';
import type { BackendEvent } from '../monitor/index.ts';
import { packageVersion } from '../package.ts';
import type { ListenAddress } from '../monitor/listen-address.ts';
import type { FunctionSample, MetricsSource, RecordSample } from '../monitor/metrics-sample.ts';
import type { Guests } from './guests.ts';
import type { XenstoreClient } from '../xenstore/index.ts';
import type { Records } from './records.ts';
import { type Entry, type Registry, contextOf, stateOf } from './registry.ts';
import { isStalled } from './waits.ts';

export interface MetricsParts {
  readonly records: Records;
  readonly registry: Registry;
  readonly xenstore: XenstoreClient;
  readonly guests: Pick<Guests, 'sessions'>;
  /** State of the daemon. */
  readonly state: () => string;
}

export interface RunningMetrics {
  readonly url: string;
  close(): void;
}

/** Rejects with USAGE or CANNOT-LISTEN. Loads what it takes only now: most who embed a back-end do without. */
export async function startMetrics(
  where: ListenAddress,
  parts: MetricsParts,
  events$: Observable<BackendEvent>,
): Promise<RunningMetrics> {
  const [{ Metrics }, { serveMetrics }] = await Promise.all([
    import('../monitor/metrics.ts'),
    import('../monitor/metrics-server.ts'),
  ]);
  const metrics = new Metrics(metricsSource(parts), { version: packageVersion() });
  const server = await serveMetrics(metrics, where);
  const hearing = events$.subscribe((event) => metrics.hear(event));
  return {
    url: server.url,
    close: () => {
      hearing.unsubscribe();
      server.close();
    },
  };
}

const kinds = {
  [InterruptKind.none]: 'none',
  [InterruptKind.msi]: 'msi',
  [InterruptKind.msix]: 'msix',
} as const;

export function metricsSource({ records, registry, xenstore, guests, state }: MetricsParts): MetricsSource {
  /** What stays the same for as long as a function is hidden. */
  const lasting = new WeakMap<Seized, readonly RegisterClass[]>();

  const recordOf = ({ facts: { sbdf }, seized }: Entry): RecordSample | null => {
    const classes = lasting.get(seized) ?? registerClasses(compileFilter(seized, defaultMode));
    lasting.set(seized, classes);
    const record = records.ifAny(sbdf);
    return record ? sampleRecord(record, classes) : null;
  };

  const sample = (entry: Entry): FunctionSample => {
    const { sbdf, driver, resetMethods } = entry.facts;
    const { guestAddress } = contextOf(entry);
    return {
      sbdf: formatSbdf(sbdf),
      state: stateOf(entry),
      // While the host works on a function, it stands in as domain 0.
      domid: registry.ownerOf(sbdf) || null,
      vdev: guestAddress === null ? null : formatVdev(guestAddress),
      driverBefore: driver,
      resetMethod: resetMethods[0] ?? null,
      record: recordOf(entry),
    };
  };

  return {
    get supervisor() {
      return state();
    },
    functions: () => registry.entries().map(sample),
    function: (text) => {
      const sbdf: Sbdf | undefined = parseSbdf(text);
      const entry = sbdf === undefined ? undefined : registry.get(sbdf);
      return entry && sample(entry);
    },
    guests: () => guests.sessions().map(({ domid, wait }) => ({ domid, isStalled: isStalled(wait) })),
    xenstore: () => xenstore.counters,
  };
}

function sampleRecord(record: FunctionRecord, classes: readonly RegisterClass[]): RecordSample {
  const deniedByClass = new Map<string, number>();
  for (const [dword, name] of classes.entries()) {
    const times = record.deniedAt(4 * dword);
    if (times > 0) deniedByClass.set(name, (deniedByClass.get(name) ?? 0) + times);
  }
  const { denied } = record;
  return {
    generation: record.generation,
    denied,
    reads: record.reads,
    writes: record.writes,
    failures: record.failures,
    deniedByClass,
    interrupts: kinds[record.interruptKind],
    vectors: record.vectors,
  };
}
