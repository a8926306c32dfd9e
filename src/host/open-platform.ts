import { PcibackError } from '../errors.ts';
import { LoopbackPlatform } from './loopback.ts';
import type { Platform, PlatformOptions } from './platform.ts';

/** Opens the platform for the thread that calls. Throws NO-XEN, BAD-DIRECTORY or NO-NATIVE-ADDON. */
export function openPlatform(options: PlatformOptions): Platform {
  if (options.kind === 'loopback') return new LoopbackPlatform(options.directory);
  throw new PcibackError(
    'NO-XEN',
    'this version of pciback serves the loopback platform only',
    'name a directory with --loopback',
  );
}
