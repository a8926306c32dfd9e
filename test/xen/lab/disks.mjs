// What a scenario may plug into its controllers as drive `disk` and drive `stick`: each begins with its own name, so that a guest that reads
// it has read it from there.
import { openSync, ftruncateSync, writeSync, closeSync } from 'node:fs';
import { join } from 'node:path';

const size = 2 ** 24;

/** QEMU's arguments for them; the files are made in the directory. */
export function driveArguments(directory) {
  return ['disk', 'stick'].flatMap((name) => {
    const file = join(directory, `${name}.img`);
    const handle = openSync(file, 'w');
    writeSync(handle, `This is the ${name} of the lab.\n`);
    ftruncateSync(handle, size);
    closeSync(handle);
    return ['-drive', `if=none,id=${name},format=raw,file=${file}`];
  });
}
