import { PcibackError } from '../errors.ts';
import type { BackendEvent, TopologyKind } from '../index.ts';
import { type ListenAddress, parseListenAddress, resolveListenAddress } from '../monitor/index.ts';
import { parseDecimal } from '../xenbus/index.ts';
import { defineCommand, loopbackOption } from './command.ts';
import { standsIn, startStandIn, whenGone } from './stand-in.ts';
import { controlSocketPath, findTarget } from './target.ts';

export const serve = defineCommand({
  operands: '',
  arity: [0, 0],
  description: [
    'Serves guests until it is told to stop, and prints what happens as NDJSON. "backend.ready" is printed when guests that',
    'were running are served again and what --hide names is hidden. SIGTERM closes all guests and gives their functions back; a',
    'daemon that is killed leaves them running, and the next one goes on where it was. It outlives the terminal it was started from.',
    '',
    'On Xen it also hides what pciback.hide= or xen-pciback.hide= on the command line of the kernel names, takes guests over from',
    "the kernel's xen-pciback before their front-ends are up, and refuses functions that no IOMMU confines.",
    '',
    'On Xen, or with --stand-in, a second process that has loaded everything takes over when this one dies, before a guest notices.',
    'A serve that is started then is handed the guests by it. SIGTERM ends both.',
    '',
    'With --loopback DIR a directory takes the place of Xen. Its xenstored is started when none answers there.',
  ].join('\n'),
  examples: [
    { line: "pciback serve --loopback /tmp/host --hide '(00:03.0)(00:04.0)'", does: 'a host in a directory' },
    {
      line: 'pciback serve --loopback /tmp/host --sysfs ./captured',
      does: 'with the functions of another machine',
    },
  ],
  options: {
    ...loopbackOption,
    sysfs: { type: 'string', value: 'DIR', help: 'take the functions from a captured sysfs tree' },
    hide: { type: 'string', value: 'LIST', help: 'hide these first, e.g. (03:00.0)(04:00.*)' },
    'boot-cfg': { type: 'string', value: 'FILE', help: "hide what pciback.hide= of NetBSD's boot.cfg names" },
    topology: {
      type: 'string',
      value: 'KIND',
      help: 'how guests see their functions: on a virtual bus (vpci, the default) or where they are (passthrough)',
    },
    workers: {
      type: 'string',
      value: 'N',
      help: 'threads that serve guests; default: one a processor, at least 2, at most 4',
    },
    'state-dir': {
      type: 'string',
      value: 'DIR',
      help: 'where to keep what a successor takes over; the control socket stays',
    },
    metrics: {
      type: 'string',
      value: 'HOST:PORT',
      help: 'serve metrics for Prometheus at http://HOST:PORT/metrics, and /healthz; HOST is a loopback address',
    },
    'metrics-any-address': {
      type: 'boolean',
      help: 'serve metrics also where other machines can read them',
    },
    'without-iommu': {
      type: 'boolean',
      help: 'export functions although nothing keeps them from the memory of the host and of other guests',
    },
    'stand-in': {
      type: 'boolean',
      help: 'have a second process ready that takes over at once when the daemon dies; as it is on Xen',
      insteadOf: 'no-stand-in',
    },
    'no-stand-in': {
      type: 'boolean',
      help: 'have none; as it is with --loopback',
    },
    xen: {
      type: 'boolean',
      help: 'serve the guests of the Xen host that this is, whatever PCIBACK_LOOPBACK says',
      insteadOf: 'loopback',
    },
  },
  isDaemon: true,
  async run({ options }, { output, signal }) {
    const { interpretOnly } = await import('./interpret.ts');
    interpretOnly();
    const { unblockStandardError } = await import('../host/index.ts');
    unblockStandardError();
    const { readBootCfgHide, readKernelHide } = await import('./files.ts');
    const target = findTarget(options.loopback);
    const bootCfg = options['boot-cfg'];
    const hide = [
      options.hide ?? '',
      bootCfg === undefined ? '' : await readBootCfgHide(bootCfg),
      target.kind === 'xen' ? await readKernelHide() : '',
    ]
      .join(' ')
      .trim();
    const metrics = await metricsOf(options.metrics, options['metrics-any-address']);
    const role = await standsIn();
    const wantsStandIn = options['stand-in'] ?? (target.kind === 'xen' && !options['no-stand-in']);
    const { PciBackend } = await import('../index.ts');
    const backend = new PciBackend({
      platform: { ...target, withoutIommu: options['without-iommu'] ?? false },
      controlSocket: controlSocketPath(target),
      ...(options.sysfs && { sysfs: options.sysfs }),
      ...(hide && { hide }),
      ...(options['state-dir'] && { stateDirectory: options['state-dir'] }),
      ...(options.topology && { topology: topologyOf(options.topology) }),
      ...(metrics && { metrics }),
      ...(options.workers && { workers: workersOf(options.workers) }),
      ...(wantsStandIn && { standIn: startStandIn }),
      ...(role && { standsIn: role }),
    });
    const ended = new Promise<void>((resolve) => {
      // What happens is told by the daemon that it stands in for, until it has taken over.
      let isHeard = !role;
      const hear = (event: BackendEvent): void => {
        isHeard ||= event.type === 'backend.standIn';
        if (isHeard) output.printEvent(event);
      };
      backend.events$.subscribe({ next: hear, complete: resolve });
    });
    const stop = (): void => void backend.stop();
    // Nobody started it by hand, so who is done with the directory may not know that there is something to end.
    if (role && target.kind === 'loopback') whenGone(target.directory, stop);
    signal.throwIfAborted();
    signal.addEventListener('abort', stop, { once: true });
    try {
      await backend.start();
    } catch (error) {
      // Stopped while it came up, it ends as if it had been up, and so does a stand-in that is not needed. Whatever else went wrong is
      // to be told.
      const isRefusal = error instanceof PcibackError && error.reason !== 'STOPPED';
      const mayStop = signal.aborted || (role !== undefined && error instanceof PcibackError);
      if (isRefusal || !mayStop) throw error;
    }
    await ended;
  },
});

/** Where to serve metrics, looked up: an address that may not be used is refused before anything is started. */
async function metricsOf(where: string | undefined, anyAddress = false): Promise<ListenAddress | undefined> {
  if (where !== undefined) {
    const named = { ...parseListenAddress(where), anyAddress };
    return { ...named, host: await resolveListenAddress(named) };
  }
  if (!anyAddress) return undefined;
  throw new PcibackError(
    'USAGE',
    '--metrics-any-address alone serves nothing',
    'write --metrics HOST:PORT with it',
  );
}

function topologyOf(text: string): TopologyKind {
  if (text === 'vpci' || text === 'passthrough') return text;
  throw new PcibackError(
    'USAGE',
    `'${text}' is no topology`,
    'write --topology vpci or --topology passthrough',
  );
}

function workersOf(text: string): number {
  const workers = parseDecimal(text, 64);
  if (workers !== undefined && workers >= 1) return workers;
  throw new PcibackError(
    'USAGE',
    `'${text}' is no number of workers`,
    'write --workers with a number from 1 to 64',
  );
}
