// Runs QEMU: never longer than this process, its serial port logged with the time.
import { spawn } from 'node:child_process';
import { createWriteStream, openSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { createInterface } from 'node:readline';

export function startQemu(args, run) {
  const command = ['--pdeathsig', 'KILL', 'qemu-system-x86_64', ...args];
  writeFileSync(join(run, 'qemu.command'), `setpriv ${command.map((word) => `'${word}'`).join(' ')}\n`);
  const child = spawn('setpriv', command, { stdio: ['pipe', 'pipe', openSync(join(run, 'qemu.log'), 'w')] });
  const qemu = new Qemu(child);
  logSerial(qemu, child.stdout, join(run, 'serial.log'));
  return qemu;
}

// Keys for dom0's kernel (break of the hvc console, then SysRq: all messages, blocked tasks, running tasks), then for Xen (its switch
// sequence, then: domains, run queues, event channels, interrupts, registers of dom0).
const questions = ['\x0f9', '\x0fw', '\x0fl', '\x01\x01\x01', 'q', 'r', 'e', 'i', '0'];

class Qemu {
  /** Why it was ended, if it was ended before its time. */
  endedBecause = 'the machine went down';
  #child;
  #began = Date.now();

  constructor(child) {
    this.#child = child;
  }

  get pid() {
    return this.#child.pid;
  }

  /** Since the machine was switched on. */
  seconds() {
    return (Date.now() - this.#began) / 1000;
  }

  /** Has a machine that stands still write to its serial log what it is waiting for. */
  async question() {
    for (const keys of questions) {
      this.#child.stdin.write(keys);
      await setTimeout(1000);
    }
  }

  end(reason = this.endedBecause) {
    this.endedBecause = reason;
    this.#child.kill('SIGKILL');
  }
}

function logSerial(qemu, stream, file) {
  const log = createWriteStream(file);
  createInterface({ input: stream }).on('line', (text) => {
    const line = text.trimEnd();
    if (line === '') return;
    const timed = `${qemu.seconds().toFixed(1).padStart(6)} ${line}\n`;
    log.write(timed);
    if (process.env.PCIBACK_XEN_VERBOSE) process.stderr.write(timed);
  });
}
