import type { BackendStatus, ExportedStatus, GuestStatus } from '../index.ts';
import { cutToColumns, plain } from '../text.ts';
import { defineCommand, loopbackOption } from './command.ts';
import type { Output } from './output.ts';
import { connectDaemon, findTarget } from './target.ts';
import { formatTable } from './table.ts';

/** Asks the running daemon. Throws NO-DAEMON. */
export async function askStatus(
  target: Parameters<typeof connectDaemon>[0],
  signal: AbortSignal,
): Promise<BackendStatus> {
  const daemon = await connectDaemon(target);
  try {
    return await daemon.call<BackendStatus>('status', {}, { signal });
  } finally {
    daemon.close();
  }
}

/** What is said of a guest that is left to the kernel. */
export const servedByKernel = "served by the kernel's xen-pciback";

/** What is said of a function that is being reset in place of its state. */
export const beingReset = (since: string | null | undefined): string | undefined =>
  since ? `being reset since ${since}` : undefined;

/** What keeps a guest from its next step; nothing, or one line. */
function standing({ reachedBy, waitingFor, waitingSince }: GuestStatus): readonly string[] {
  const hvm = reachedBy === 'device model';
  const seconds = waitingSince === null ? 0 : Math.floor((Date.now() - Date.parse(waitingSince)) / 1000);
  return [
    ...(hvm ? ['HVM: its device model reaches the functions; no front-end will come'] : []),
    ...(waitingFor ? [`waiting for ${waitingFor}${seconds > 0 ? ` (for ${seconds} s)` : ''}`] : []),
  ];
}

/** A toolstack gives names, but a name is as long as its writer likes. */
const mostOfName = 64;

/** `reasons`: what has become of functions, by address. */
function guestLines(guest: GuestStatus, reasons: ReadonlyMap<string, string>): readonly string[] {
  const { domid, name, servedBy, backendState, frontendState, functions } = guest;
  const called = name ? ` (${cutToColumns(plain(name), mostOfName)})` : '';
  const by = servedBy === 'kernel' ? `${servedByKernel}; ` : '';
  const head = `domain ${domid}${called}: ${by}back-end ${backendState}, front-end ${frontendState}`;
  const row = ({ sbdf, vdev, state, resettingSince, requests, denied }: ExportedStatus): string[] => [
    sbdf,
    vdev ?? '-',
    beingReset(resettingSince) ?? state,
    String(requests ?? '-'),
    String(denied ?? '-'),
  ];
  const table = formatTable(['FUNCTION', 'IN THE GUEST', 'STATE', 'REQUESTS', 'DENIED'], functions.map(row));
  const lost = functions.flatMap(({ sbdf }) => {
    const reason = reasons.get(sbdf);
    return reason === undefined ? [] : [`${sbdf} ${plain(reason)}`];
  });
  return [head, ...[...standing(guest), ...table, ...lost].map((line) => `  ${line}`)];
}

function notSaved({ path, error, since, files }: NonNullable<BackendStatus['stateNotSaved']>): string {
  const more = files > 1 ? ` (and ${files - 1} more)` : '';
  return `state not saved: ${path}: ${error}${more}, since ${since}; guests are served on, and it is tried again`;
}

function show(status: BackendStatus, output: Output): void {
  const { pid, directory, topology, state, tookOver, standIn, stateNotSaved, guests, functions } = status;
  output.print(`pciback daemon ${pid}, ${state}, serves ${directory}, topology ${topology}`);
  if (tookOver || standIn !== null) {
    const taken = tookOver ? 'this daemon was one itself and took over' : undefined;
    const next = standIn === null ? 'none is ready' : `process ${standIn} takes over when this one dies`;
    output.print(`stand-in: ${[taken, next].filter(Boolean).join('; ')}`);
  }
  if (stateNotSaved) output.print(notSaved(stateNotSaved));
  const reasons = new Map(
    functions.flatMap(({ sbdf, reason }) => (reason === null ? [] : [[sbdf, reason] as const])),
  );
  for (const guest of guests) output.print(['', ...guestLines(guest, reasons)]);
  // Domain 0 stands for the back-end itself.
  const free = functions.filter(({ owner }) => owner === null || owner === 0);
  if (guests.length === 0) output.print(['', 'no guests; give one a function: pciback attach DOMID SPEC']);
  if (free.length === 0) return;
  const rows = free.map(({ sbdf, state: its, resettingSince, reason }) => [
    sbdf,
    beingReset(resettingSince) ??
      (its === 'quarantined' ? { text: its, styled: output.style('red', its) } : its),
    reason ?? '',
  ]);
  output.print(['', ...formatTable(['FUNCTION', 'STATE', 'REASON'], rows, output.width)]);
}

export const status = defineCommand({
  operands: '',
  arity: [0, 0],
  description: `Asks the running daemon which guests it serves, how far each has got with connecting and who it is waiting for, which functions each has and at which address, how many requests were answered and how many writes denied; then the functions that are hidden and free.`,
  examples: [
    { line: 'pciback status', does: 'who has what' },
    { line: 'pciback status --json | jq .guests', does: 'the same for a program' },
  ],
  options: loopbackOption,
  async run({ options }, { output, signal }) {
    const answer = await askStatus(findTarget(options.loopback), signal);
    if (options.json) output.printJson(answer);
    else show(answer, output);
  },
});
