/** The package that this code is part of, whether it runs from the sources, compiled file by file, or bundled. */
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';

const require = createRequire(import.meta.url);
const description = 'pciback/package.json';

export const packageVersion = (): string => (require(description) as { version: string }).version;

/** The programs of the package, one bundled file each that a process or a thread starts from. */
export const program = (name: 'main' | 'guest-worker'): URL =>
  new URL(`dist/bundle/${name}.js`, pathToFileURL(require.resolve(description)));
