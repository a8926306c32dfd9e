// Tells what dom0 writes to its story (dom0/story.sh has the format), line by line as it comes, and counts the facts.
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';

const margin = ' '.repeat(19);
const column = (seconds) => `${Number(seconds).toFixed(1).padStart(6)} s`;

export class Story {
  passed = 0;
  failed = 0;
  #trying = 'Xen starts dom0, and dom0 its first process';

  /** Until the story ends, or the machine does; that is a failure then. */
  async follow(file, qemu) {
    // Ends with the machine, but not before all is read.
    const tail = spawn('tail', ['-n', '+1', '-f', `--pid=${qemu.pid}`, file], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    for await (const line of createInterface({ input: tail.stdout })) {
      const [kind, ...words] = line.split('\t');
      if (kind === 'up') this.#holds(qemu.seconds(), this.#trying, words[0]);
      else if (kind === 'part') console.log(` ${words[0].replace(/^\d+-/, '').replaceAll('-', ' ')}`);
      else if (kind === 'try') this.#trying = words[0];
      else if (kind === 'ok') this.#holds(...words);
      else if (kind === 'failed') this.#fails(...words);
      else if (kind === 'end') {
        tail.kill();
        return;
      }
    }
    this.#fails(qemu.seconds(), this.#trying, '', qemu.endedBecause);
  }

  #holds(seconds, what, seen) {
    this.passed += 1;
    this.#trying = 'the scenario goes on';
    console.log(`  ok     ${column(seconds)}  ${what}${laidOut(seen)}`);
  }

  #fails(seconds, what, seen, why) {
    this.failed += 1;
    console.log(`  FAILED ${column(seconds)}  ${what}${laidOut(seen)}\n${margin}why: ${why}`);
  }
}

/** One line stands behind the fact, several stand under it. */
function laidOut(seen) {
  const lines = seen.split('\x1f').filter((line) => line.trim() !== '');
  if (lines.length === 0) return '';
  return lines.length === 1 ? `: ${lines[0].trim()}` : lines.map((line) => `\n${margin}${line}`).join('');
}
