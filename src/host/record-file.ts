import { join } from 'node:path';
import { formatSbdf, type Sbdf } from '../address.ts';
import { PcibackError } from '../errors.ts';
import { exhaustion } from './exhaustion.ts';
import { mapFile } from './files.ts';
import { stateFiles } from './state-files.ts';

const recordBytes = 8192;

/** Maps the record of a function in a state directory, and makes it if need be. Throws BAD-DIRECTORY or OUT-OF-RESOURCES. */
export function mapRecordFile(stateDirectory: string, sbdf: Sbdf): ArrayBuffer {
  const records = join(stateDirectory, 'record');
  try {
    stateFiles.makeDirectory(records);
    return mapFile(join(records, formatSbdf(sbdf)), recordBytes, { create: true });
  } catch (cause) {
    const exhausted = exhaustion(cause, `the record of ${formatSbdf(sbdf)} cannot be mapped`);
    if (exhausted) throw exhausted;
    const remedy = 'see that there is a directory that can be written, with room left';
    throw new PcibackError('BAD-DIRECTORY', `no record can be kept in ${records}`, remedy, { cause });
  }
}
