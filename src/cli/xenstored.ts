import { PcibackError } from '../errors.ts';
import { runXenstored } from '../xenstore/server/index.ts';
import { defineCommand, loopbackOption } from './command.ts';
import { findTarget } from './target.ts';

export const xenstored = defineCommand({
  operands: '--loopback DIR',
  arity: [0, 0],
  description: `Serves xenstore for a hypervisor in a directory: DIR/xenstored/socket with the rights of domain 0, and DIR/xenstored/dom<domid> for each domain that has a file in DIR/dom. It speaks the wire protocol of Xen's own xenstored, so xenstore-ls and the like work with XENSTORED_PATH=DIR/xenstored/socket.

pciback serve starts one by itself where none answers; it is needed alone only to have xenstore without a back-end. It prints one line when it is ready and ends on SIGTERM, or when the directory is gone.`,
  examples: [{ line: 'pciback xenstored --loopback /tmp/lab', does: 'serve xenstore for /tmp/lab' }],
  options: {
    ...loopbackOption,
    'own-group': {
      type: 'boolean',
      help: 'go on when the terminal interrupts, or a shell kills, what started it',
    },
  },
  isDaemon: true,
  async run({ options }, { output, signal }) {
    if (options.loopback === undefined) {
      throw new PcibackError(
        'USAGE',
        'xenstored needs a directory',
        'write --loopback DIR; on Xen, Xen brings its own',
      );
    }
    const target = findTarget(options.loopback);
    if (target.kind !== 'loopback') return;
    const { directory } = target;
    if (options['own-group']) {
      const { leaveProcessGroup } = await import('../host/index.ts');
      leaveProcessGroup();
    }
    const onReady = (): void => output.printEvent({ type: 'xenstored.ready', directory, pid: process.pid });
    await runXenstored({ directory, signal, onReady });
  },
});
