// Builds the addon when it is missing or older than its sources. Says nothing unless something goes wrong; then, everything.
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const here = dirname(fileURLToPath(import.meta.url));
const products = ['pciback.node', 'attribute-writer'].map((name) => join(here, 'build/Release', name));
const stamp = join(here, 'build/built-for');
// Node-API is stable across releases, but libuv, which the addon uses too, makes no such promise.
const target = `${process.version} ${process.platform} ${process.arch}`;

if (!isCurrent()) build();

function isCurrent() {
  if (
    !products.every((product) => existsSync(product)) ||
    !existsSync(stamp) ||
    readFileSync(stamp, 'utf8') !== target
  )
    return false;
  const built = statSync(stamp).mtimeMs;
  const sources = readdirSync(here).filter((name) => /\.(cc|h|gyp|mjs)$/.test(name));
  return sources.every((name) => statSync(join(here, name)).mtimeMs <= built);
}

function build() {
  const args = [findNodeGyp(), 'configure', 'build', '--silent', '--jobs', 'max', ...headersBesideNode()];
  const result = spawnSync(process.execPath, args, { cwd: here, encoding: 'utf8' });
  if (result.status !== 0) {
    process.stderr.write(`${result.stdout ?? ''}${result.stderr ?? ''}${result.error?.message ?? ''}\n`);
    process.stderr.write(
      'pciback: the native addon did not build; it needs a C++20 compiler, make and Python 3\n',
    );
    process.exit(1);
  }
  writeFileSync(stamp, target);
}

/** Our own, when we are developed; where we are a dependency, the one that npm brings along and names to scripts. */
function findNodeGyp() {
  const prefix = dirname(dirname(process.execPath));
  const bundled = join(prefix, 'lib/node_modules/npm/node_modules/node-gyp/bin/node-gyp.js');
  try {
    return createRequire(import.meta.url).resolve('node-gyp/bin/node-gyp.js');
  } catch {
    return process.env.npm_config_node_gyp ?? bundled;
  }
}

/** Headers that were installed with this node save a download. */
function headersBesideNode() {
  const prefix = dirname(dirname(process.execPath));
  return existsSync(join(prefix, 'include/node/node_api.h')) ? [`--nodedir=${prefix}`] : [];
}
