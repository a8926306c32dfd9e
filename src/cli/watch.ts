import type { BackendEvent } from '../index.ts';
import { defineCommand, loopbackOption } from './command.ts';
import { describeEvent } from './demo/event-line.ts';
import type { Output } from './output.ts';
import { connectDaemon, findTarget } from './target.ts';

/** Events that call for somebody. */
const alarming: ReadonlySet<BackendEvent['type']> = new Set([
  'warning',
  'attach.failed',
  'reset.failed',
  'event.storm',
  'events.suppressed',
  'worker.died',
]);

/** Local time of day, to the millisecond. */
function timeOf({ time }: BackendEvent): string {
  const at = new Date(time);
  const two = (value: number): string => String(value).padStart(2, '0');
  const seconds = `${two(at.getSeconds())}.${String(at.getMilliseconds()).padStart(3, '0')}`;
  return `${two(at.getHours())}:${two(at.getMinutes())}:${seconds}`;
}

function show(event: BackendEvent, output: Output): void {
  const line = describeEvent(event);
  const time = output.style('dim', timeOf(event));
  output.printPassing(`${time}  ${alarming.has(event.type) ? output.style('red', line) : line}`);
}

export const watch = defineCommand({
  operands: '',
  arity: [0, 0],
  description: `Prints what happens at the running daemon, as it happens: guests that come and go, functions that change hands, resets, writes that are denied. The first event, watch.started, says that nothing after it is missed. With --json it prints the daemon's own events, one object a line.

It ends when the daemon does, by Ctrl-C, or with the first event after its reader has gone. A reader that is too slow loses events rather than slow the daemon down, and is told how many.`,
  examples: [
    { line: 'pciback watch', does: 'follow the daemon' },
    {
      line: `pciback watch --json | jq -c 'select(.type == "register.denied")'`,
      does: 'only denied writes, for a program',
    },
  ],
  options: loopbackOption,
  async run({ options }, { output, signal }) {
    const daemon = await connectDaemon(findTarget(options.loopback));
    const listener = {
      event: (event: BackendEvent): void => (options.json ? output.printEvent(event) : show(event, output)),
      dropped: (events: number): void =>
        options.json
          ? output.printEvent({ type: 'watch.dropped', data: { events } })
          : output.printPassing(`... ${events} events were not read in time`),
    };
    try {
      await daemon.listen<BackendEvent>('watch', listener, {
        signal: AbortSignal.any([signal, output.closed, output.failed]),
      });
    } finally {
      daemon.close();
    }
  },
});
