// Shows the ends of all logs of a run that failed; whoever reads it may not have the machine that it ran on.
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';

const lastLines = 60;

export function showLogs(run) {
  const logs = join(run, 'share/logs');
  const files = [
    ...readdirSync(logs).map((name) => join(logs, name)),
    join(run, 'serial.log'),
    join(run, 'qemu.log'),
  ];
  for (const file of files.filter((name) => existsSync(name))) {
    const lines = readFileSync(file, 'utf8').trimEnd().split('\n');
    const shown = lines.slice(-lastLines);
    console.log(`\n  ---- ${file}, ${shown.length} of ${lines.length} lines`);
    for (const line of shown) console.log(`  | ${line}`);
  }
}
