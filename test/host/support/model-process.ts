// Does one thing to a model and prints what it finds: another process of the same host.
import { openModel } from '../../../src/host/model.ts';
import { ensureModel } from '../../../src/host/model-file.ts';
import { captured, sbdf } from './functions.ts';

const [action, directory = '', address = ''] = process.argv.slice(2);
if (action === 'ensure') {
  ensureModel(directory, captured('8086:10d3'));
} else if (action === 'write') {
  const fn = openModel(directory, sbdf(address));
  fn.write(0x3c, 1, 0x2a);
  fn.faults = 1;
  // As abruptly as a daemon that is killed.
  process.kill(process.pid, 'SIGKILL');
} else {
  process.stdout.write(openModel(directory, sbdf(address)).read(0x3c, 1).toString(16));
}
