/**
 * A guest as a process of its own:
 *
 *     node guest-main.js --loopback DIR --domid N [--variant linux|netbsd|minios] [--magic TEXT] [--patience MS]
 *
 * Reads commands from standard input and writes events and replies to standard output (guest-protocol.ts). It ends when its
 * front-end has closed, when its standard input ends, and on SIGTERM, after an orderly close.
 */
import { createInterface } from 'node:readline';
import { parseArgs } from 'node:util';
import { plain } from '../text.ts';
import { FrontEnd } from './frontend.ts';
import { Guest } from './guest.ts';
import type { GuestCommand, GuestMessage } from './guest-protocol.ts';
import { connectGuest, LoopbackHypervisor } from './loopback.ts';
import { linux } from './variants/linux.ts';
import { minios } from './variants/minios.ts';
import { netbsd } from './variants/netbsd.ts';

const variants = { linux, netbsd, minios };

async function main(): Promise<void> {
  const { directory, domid, variant, magic } = readArguments();
  const connection = await connectGuest(directory, domid);
  const hypervisor = new LoopbackHypervisor(directory, domid);
  const frontEnd = new FrontEnd({
    store: connection.store,
    hypervisor,
    variant,
    ...(magic === undefined ? {} : { magic }),
  });
  const guest = new Guest({ domid, frontEnd, interrupts: hypervisor, rawPage: () => hypervisor.rawPage() });

  const commands = createInterface({ input: process.stdin });
  guest.events.subscribe((event) => {
    if (event.type === 'fatal') process.exitCode = 1;
    say(event);
  });
  frontEnd.events.subscribe({
    complete: () => {
      connection.close();
      commands.close();
      process.stdin.destroy();
    },
  });
  commands.on('line', (line) => void obey(guest, line));
  commands.on('close', () => void frontEnd.stop());
  process.once('SIGTERM', () => void frontEnd.close());
  say({ type: 'started', domid, pid: process.pid, variant: variant.name });
}

async function obey(guest: Guest, line: string): Promise<void> {
  let id = 0;
  try {
    const command = JSON.parse(line) as GuestCommand;
    ({ id } = command);
    say({ type: 'reply', id, ok: true, result: await guest.perform(command.do, command) });
  } catch (error) {
    say({ type: 'reply', id, ok: false, error: error instanceof Error ? error.message : String(error) });
  }
}

function say(message: GuestMessage): void {
  process.stdout.write(`${JSON.stringify(message)}\n`);
}

function readArguments() {
  const { values } = parseArgs({
    options: {
      loopback: { type: 'string' },
      domid: { type: 'string' },
      variant: { type: 'string', default: 'linux' },
      magic: { type: 'string' },
      patience: { type: 'string' },
    },
  });
  const variant = variants[values.variant as keyof typeof variants] as typeof linux | undefined;
  if (values.loopback === undefined || values.domid === undefined || variant === undefined) {
    throw new Error(
      'usage: guest-main --loopback DIR --domid N [--variant linux|netbsd|minios] [--magic TEXT] [--patience MS]',
    );
  }
  const { loopback: directory, domid, magic, patience } = values;
  const { answerTimeout } = variant;
  const timeout = patience === undefined ? answerTimeout : Number(patience);
  return { directory, domid: Number(domid), variant: { ...variant, answerTimeout: timeout }, magic };
}

try {
  await main();
} catch (error) {
  process.stderr.write(`guest: ${plain(error instanceof Error ? error.message : String(error))}\n`);
  process.exitCode = 1;
}
