import type { Piscina } from 'piscina';
import type { WorkerTask } from '../../workers/messages.ts';
import type { FileLock, Inventory, Platform } from '../host/index.ts';
import type { ControlServer } from '../monitor/control-server.ts';
import type { XenstoreClient } from '../xenstore/index.ts';
import type { Inheritance } from './engine.ts';
import type { Guests } from './guests.ts';
import type { HostFunctions } from './host-functions.ts';
import type { RunningMetrics } from './metrics.ts';
import type { Rehearsal } from './rehearsal.ts';
import type { Records } from './records.ts';
import type { Registry } from './registry.ts';
import type { StandIns } from './stand-ins.ts';

/** Everything that exists only while the back-end runs, and has to be let go of in the end. */
export interface Running {
  lock?: FileLock | undefined;
  platform?: Platform;
  pool?: Piscina<WorkerTask, void>;
  /** What functions there were when it was prepared. */
  inventory?: Inventory;
  /** The embedded xenstored was started by this back-end. */
  startedXenstored?: boolean;
  xenstore?: XenstoreClient;
  inheritance?: Inheritance;
  registry?: Registry;
  records?: Records;
  host?: HostFunctions;
  guests?: Guests;
  control?: ControlServer;
  metrics?: RunningMetrics;
  standIns?: StandIns;
  rehearsal?: Rehearsal;
}
