// The directory that dom0 mounts as /lab: its own scripts, the scenario, and room for the story and for logs.
import { execFileSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

export function makeShare({ directory, lab, folder, scenario }) {
  mkdirSync(join(directory, 'logs'), { recursive: true });
  cpSync(join(lab, 'dom0'), join(directory, 'dom0'), { recursive: true });
  cpSync(folder, join(directory, 'scenario'), { recursive: true });
  writeFileSync(join(directory, 'settings'), `xenstored=${scenario.xenstored}\n`);
  writeFileSync(join(directory, 'story'), '');
  if (existsSync(join(folder, 'guest')))
    packForGuests(join(folder, 'guest'), join(directory, 'guest-files.cpio'));
  return directory;
}

/** An initial file system may be several archives one after the other; this one goes behind the guests' own. */
function packForGuests(folder, archive) {
  const pack = 'find . -print0 | cpio --quiet --null -o -H newc -R 0:0 >"$1"';
  execFileSync('sh', ['-c', pack, 'sh', archive], { cwd: folder });
}
