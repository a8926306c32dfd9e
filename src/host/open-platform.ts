import { LoopbackPlatform } from './loopback.ts';
import type { Platform, PlatformOptions } from './platform.ts';
import { XenPlatform } from './xen.ts';

/** Opens the platform for the thread that calls. Throws NO-XEN, NO-PERMISSION, BAD-DIRECTORY or NO-NATIVE-ADDON. */
export function openPlatform(options: PlatformOptions): Platform {
  return options.kind === 'loopback' ? new LoopbackPlatform(options.directory) : new XenPlatform(options);
}
