import { LoopbackPlatform } from './loopback.ts';
import { type Platform, type PlatformOptions, xenDirectory } from './platform.ts';
import { RehearsalPlatform } from './rehearsal-platform.ts';
import { XenPlatform } from './xen.ts';

/** Opens the platform for the thread that calls. Throws NO-XEN, NO-PERMISSION, BAD-DIRECTORY or NO-NATIVE-ADDON. */
export function openPlatform(options: PlatformOptions): Platform {
  if (options.kind === 'loopback') {
    return new LoopbackPlatform(options.directory, undefined, options.stateDirectory);
  }
  if (options.kind === 'rehearsal') return new RehearsalPlatform(options.directory);
  const { directory = xenDirectory, stateDirectory, withoutIommu = false } = options;
  return new XenPlatform({ directory, ...(stateDirectory && { stateDirectory }), withoutIommu });
}
