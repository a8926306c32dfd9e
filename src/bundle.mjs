// Bundles what processes and threads start from. One file after the other costs a start most of its time, and it costs a
// slow dom0 many seconds; who embeds the library gets it compiled file by file, with the rxjs of his own.
import { rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const root = fileURLToPath(new URL('..', import.meta.url));
const outdir = join(root, 'dist/bundle');
const { resolve } = createRequire(import.meta.url);

// Names of shared chunks change with what is in them.
rmSync(outdir, { recursive: true, force: true });
await build({
  absWorkingDir: root,
  entryPoints: [
    'src/cli/main.ts',
    'src/bench/ring-guest.ts',
    'src/bench/ring-server.ts',
    'src/xpci/guest-main.ts',
    'workers/guest-worker.ts',
  ],
  entryNames: '[name]',
  outdir,
  bundle: true,
  splitting: true,
  format: 'esm',
  platform: 'node',
  target: 'node20.19',
  // Piscina starts its threads from a file of its own; prom-client is CommonJS, and loaded only where metrics are wanted.
  external: ['piscina', 'prom-client'],
  alias: {
    // The modules of rxjs instead of its CommonJS, of which nothing can be left out.
    rxjs: join(dirname(resolve('rxjs/package.json')), 'dist/esm/index.js'),
    // Without the search for an addon, which pays for megabytes only.
    msgpackr: 'msgpackr/pack',
  },
  logLevel: 'warning',
});
