/** What a back-end can have done before it is its turn: nothing here is noticed by a guest, or by who serves it meanwhile. */
import { mkdtempSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Piscina } from 'piscina';
import type { WorkerTask } from '../../workers/messages.ts';
import { type PlatformOptions, hostInventory, openPlatform, setPriorityOfThreads } from '../host/index.ts';
import { type BackendEvent, failureDetails, makeEvent } from '../monitor/index.ts';
import { XenstoreClient } from '../xenstore/index.ts';
import { prepareLoopback } from './directories.ts';
import type { PciBackendOptions } from './options.ts';
import { makePool } from './pool.ts';
import { Rehearsal } from './rehearsal.ts';
import type { Running } from './running.ts';
import { type Place, takeFreeTurn } from './turn.ts';
import { ensureXenstored, socketOf } from './xenstored.ts';

type Emit = (event: BackendEvent) => void;

/** Adds what it makes to `running` as it comes, so that it can be undone when the rest fails. Takes the turn if it is nobody's. */
export async function prepare(
  running: Running,
  { platform: where, functions, sysfs, workers, standsIn }: PciBackendOptions,
  place: Place,
  emit: Emit,
): Promise<void> {
  if (!standsIn) {
    if (where.kind === 'loopback') prepareLoopback(where.directory);
    place.state.open();
    running.lock = await takeFreeTurn(place);
    if (running.lock) place.state.makeStandInLock();
  }
  running.platform = openPlatform(where);
  // Threads take a while to start; guests of a predecessor are waiting.
  running.pool = makePool(workers ?? defaultWorkers());
  running.rehearsal = new Rehearsal(running.pool, where, standsIn?.scratch ?? scratch(running, place));
  const warm = running.rehearsal.ofThreads(where);
  running.inventory = functions
    ? { functions, warnings: [] }
    : (running.platform.inventory() ?? hostInventory({ sysfs }));
  for (const warning of running.inventory.warnings) emit(makeEvent('warning', failureDetails(warning)));
  if (running.lock) await provideXenstored(running, where, emit);
  running.xenstore = await XenstoreClient.connect(
    where.kind === 'loopback' ? { path: socketOf(where.directory) } : {},
  );
  // Guests that are served meanwhile can wait for that, those of a daemon that is dead cannot.
  if (!running.lock) {
    await Promise.all([warm, running.rehearsal.ofGuest()]);
    await running.rehearsal.end();
  }
  if (standsIn?.priority) setPriorityOfThreads(standsIn.priority.takingOver);
}

/** Has a thread that took the place of a dead one rehearse as those before it did, which are idle enough to do it with it. */
export async function rehearseReplacement(
  pool: Piscina<WorkerTask, void>,
  where: PlatformOptions,
  { state }: Place,
): Promise<void> {
  const rehearsal = new Rehearsal(pool, where, state.scratch());
  try {
    await rehearsal.ofThreads(where);
  } finally {
    await rehearsal.end();
  }
}

/** Scratch directories left by a killed daemon are removed by the next lock holder. */
function scratch({ lock }: Running, { state }: Place): string {
  if (!lock) return mkdtempSync(join(tmpdir(), 'pciback-'));
  state.clearScratch();
  return state.scratch();
}

/** When one of them dies, the guests that it served go on at once only where there is another. */
const defaultWorkers = (): number => Math.max(2, Math.min(4, availableParallelism()));

/** On loopback, starts a xenstored unless one answers. Only for who has the turn. */
export async function provideXenstored(running: Running, where: PlatformOptions, emit: Emit): Promise<void> {
  if (where.kind !== 'loopback' || !(await ensureXenstored(where.directory))) return;
  running.startedXenstored = true;
  emit(makeEvent('xenstored.started', { to: socketOf(where.directory) }));
}
