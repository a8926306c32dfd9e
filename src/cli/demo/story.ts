/** The whole life of passed-through functions, from hiding to giving back, in a few seconds. */
import {
  type BackendEvent,
  type ExportedStatus,
  type FunctionFacts,
  type Sbdf,
  className,
  demoInventory,
  describe,
  formatSbdf,
  isExportable,
  loadNames,
} from '../../index.ts';
import type { AttemptResult } from '../../xpci/index.ts';
import { Cast, type Guest } from './cast.ts';
import { describeEvent } from './event-line.ts';
import type { Stage } from './stage.ts';
import { until } from './wait.ts';

export interface DemoResult {
  readonly ok: boolean;
  readonly guests: number;
  readonly functions: number;
  readonly requests: number;
  readonly denied: number;
  readonly hotplugs: number;
  readonly resets: number;
  readonly workerRestarts: number;
  readonly lostRequests: number;
  readonly seconds: number;
}

export interface DemoOptions {
  readonly sysfs?: string;
  readonly signal: AbortSignal;
}

/** Functions that each of the two guests starts with. */
const perGuest = 2;
/** How long both guests send requests without a pause while a worker is killed. */
const loadSeconds = 1;

/** Rejects with the reason of `signal` when that is aborted, with everything undone. */
export async function runDemo(stage: Stage, { sysfs, signal }: DemoOptions): Promise<DemoResult> {
  signal.throwIfAborted();
  const begin = process.hrtime.bigint();
  const { functions } = demoInventory(2 * perGuest, { sysfs });
  const tally = new Tally();
  const abandoned = new Promise<never>((_, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true });
  });
  const cast = new Cast(functions, (event) => {
    tally.note(event);
    stage.aside(describeEvent(event));
  });
  try {
    await Promise.race([perform(cast, functions, stage, tally), abandoned]);
  } finally {
    stage.heading('Closing down');
    await cast.disband({ atOnce: signal.aborted });
  }
  const seconds = Number((process.hrtime.bigint() - begin) / 10_000_000n) / 100;
  const result = tally.result(seconds);
  summarise(stage, result);
  return result;
}

async function perform(
  cast: Cast,
  functions: readonly FunctionFacts[],
  stage: Stage,
  tally: Tally,
): Promise<void> {
  stage.heading('Coming up: a xenstored, a back-end and its workers, in a directory');
  await cast.gather();
  const exported = choose(functions);
  showFunctions(stage, functions, exported);

  stage.heading(
    'Hiding them from the host: pciback.hide=' + exported.map((sbdf) => `(${short(sbdf)})`).join(''),
  );
  for (const sbdf of exported) await cast.backend.hide(sbdf);

  stage.heading('Starting two guests');
  const [first, second] = [exported.slice(0, perGuest), exported.slice(perGuest)];
  stage.line(`web:  pci = [${first.map((sbdf) => `'${short(sbdf)}'`).join(', ')}]`);
  stage.line(`db:   pci = [${second.map((sbdf) => `'${short(sbdf)}'`).join(', ')}]`);
  const [web, db] = await Promise.all([cast.boot(1, 'web', first), cast.boot(2, 'db', second)]);
  tally.guests = 2;
  tally.functions = exported.length;

  for (const guest of [web, db]) {
    stage.heading(`The bus as ${guest.name} sees it`);
    await bringUp(guest);
    const { lines } = await guest.process.call('listing', {});
    for (const line of lines) stage.line(line);
  }

  stage.heading('Interrupts');
  for (const guest of [web, db]) await showInterrupts(cast, guest, stage);

  stage.heading('db turns hostile');
  const { results } = await db.process.call('hostile', {});
  showAttempts(stage, results);
  tally.attempts(results);

  const [moved] = second;
  if (moved !== undefined) {
    stage.heading(`Handing ${short(moved)} from db to web: unplugged here, reset, plugged in there`);
    tally.count(cast);
    await cast.detach(db.domid, [moved]);
    const { method, milliseconds } = await cast.backend.reset(moved);
    stage.line(
      `reset once more, by hand: ${method ?? 'no method'}, ${milliseconds} ms, as it was when it was hidden`,
    );
    await cast.attach(web.domid, [moved]);
    tally.hotplugs += 2;
    const { lines } = await web.process.call('listing', {});
    for (const line of lines.filter((text) => !text.startsWith(' '))) stage.line(`web sees ${line}`);
  }

  stage.heading('Killing a worker under load');
  const before = requestsOf(cast);
  const killWhenBusy = async (): Promise<void> => {
    await until(() => requestsOf(cast) > before + 1000, 1000 * loadSeconds);
    await cast.backend.killWorker(web.domid);
  };
  const loads = [web, db].map(({ process }) => process.call('load', { seconds: loadSeconds }));
  const [reports] = await Promise.all([Promise.all(loads), killWhenBusy()]);
  tally.lost += reports.reduce((sum, { lost, wrong }) => sum + lost + wrong, 0);
  const total = reports.reduce((sum, { requests }) => sum + requests, 0);
  const longest = Math.max(...reports.map((report) => report.longest));
  stage.line(`${total} requests, ${tally.lost} lost; the longest took ${longest.toFixed(1)} ms`);
  tally.count(cast);
}

/** What a driver does first: decode, master, message-signalled interrupts where there are any. */
async function bringUp({ process }: Guest): Promise<void> {
  await process.call('enable', {});
  const { functions } = await process.call('status', {});
  for (const { address, msixEntries } of functions) {
    if (msixEntries > 0) await process.call('enableMsix', { address, count: Math.min(msixEntries, 8) });
  }
}

async function showInterrupts(cast: Cast, { domid, name, process }: Guest, stage: Stage): Promise<void> {
  await process.call('interrupts', {});
  const owned = cast.backend.status().guests.find((guest) => guest.domid === domid)?.functions ?? [];
  const sent = owned.reduce((sum, { sbdf }) => sum + cast.backend.signal(sbdfOf(cast, sbdf)), 0);
  const { pirqs } = await process.call('interrupts', {});
  const heard = pirqs.reduce((sum, { events }) => sum + events, 0);
  stage.line(`${name}: its functions signalled ${sent} vectors, it heard ${heard} interrupts`);
}

const sbdfOf = (cast: Cast, text: string): Sbdf => {
  const facts = cast.backend.inventory.functions.find(({ sbdf }) => formatSbdf(sbdf) === text);
  if (!facts) throw new Error(`${text} is not of this host`);
  return facts.sbdf;
};

/** As many as both guests start with, in the order of the host. */
function choose(functions: readonly FunctionFacts[]): readonly Sbdf[] {
  return functions
    .filter(isExportable)
    .slice(0, 2 * perGuest)
    .map(({ sbdf }) => sbdf);
}

function showFunctions(stage: Stage, functions: readonly FunctionFacts[], chosen: readonly Sbdf[]): void {
  const names = loadNames(functions);
  const captured = functions.filter(({ origin }) => origin === 'capture').length;
  stage.heading('What this machine has');
  stage.table(
    ['function', 'ids', 'class', 'name', 'driver', ''],
    functions.map((facts) => [
      formatSbdf(facts.sbdf),
      `${hex4(facts.vendor)}:${hex4(facts.device)}`,
      className(facts.classCode),
      describe(facts, names),
      facts.driver ?? '-',
      chosen.includes(facts.sbdf) ? 'to a guest' : '',
    ]),
  );
  if (captured > 0)
    stage.line(`${captured} of them are bundled captures: this machine has too few of its own.`);
  stage.line('Guests get models of these functions; nothing is ever written to the functions themselves.');
}

function showAttempts(stage: Stage, results: readonly AttemptResult[]): void {
  const tried = results.filter(({ verdict }) => verdict !== 'absent');
  // A second function is attacked the same way; once is enough to show.
  const first = new Map(tried.toReversed().map((result) => [result.name, result] as const));
  stage.table(
    ['attempt', 'what db sent', 'what became of it', ''],
    [...first.values()]
      .toReversed()
      .map(({ name, request, answer, verdict }) => [name, request, answer, verdict]),
  );
}

function summarise(stage: Stage, result: DemoResult): void {
  stage.heading('All in all');
  stage.table(
    ['', ''],
    Object.entries(result).map(([name, value]) => [name, String(value)]),
  );
}

const exportedOf = (cast: Cast): readonly ExportedStatus[] =>
  cast.backend.status().guests.flatMap(({ functions }) => functions);
const requestsOf = (cast: Cast): number =>
  exportedOf(cast).reduce((sum, { requests }) => sum + (requests ?? 0), 0);

const short = (sbdf: Sbdf): string => formatSbdf(sbdf).replace(/^0000:/, '');
const hex4 = (value: number): string => value.toString(16).padStart(4, '0');

/** What has happened, from the events and from what the guests say. */
class Tally {
  guests = 0;
  functions = 0;
  hotplugs = 0;
  lost = 0;
  readonly #counters = new Map<string, ExportedStatus>();
  #resets = 0;
  #restarts = 0;
  #held = true;

  note({ type, data }: BackendEvent): void {
    if (type === 'reset.completed') this.#resets++;
    if (type === 'worker.died') this.#restarts++;
    // The hostile guest brings about more than is told one by one.
    if (type === 'events.suppressed') {
      this.#resets += Number(data?.['reset.completed'] ?? 0);
      this.#restarts += Number(data?.['worker.died'] ?? 0);
    }
  }

  attempts(results: readonly AttemptResult[]): void {
    this.#held &&= results.every(({ verdict }) => verdict !== 'breached');
  }

  /** Takes note of the counters so far: those of a function begin anew with its next guest. */
  count(cast: Cast): void {
    for (const { domid, functions } of cast.backend.status().guests) {
      for (const counters of functions) this.#counters.set(`${domid} ${counters.sbdf}`, counters);
    }
  }

  #total(counter: 'requests' | 'denied'): number {
    return [...this.#counters.values()].reduce((sum, counters) => sum + (counters[counter] ?? 0), 0);
  }

  result(seconds: number): DemoResult {
    return {
      ok: this.#held && this.lost === 0 && this.guests === 2 && this.#restarts > 0,
      guests: this.guests,
      functions: this.functions,
      requests: this.#total('requests'),
      denied: this.#total('denied'),
      hotplugs: this.hotplugs,
      resets: this.#resets,
      workerRestarts: this.#restarts,
      lostRequests: this.lost,
      seconds,
    };
  }
}
