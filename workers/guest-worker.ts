/**
 * The entry point of the worker threads. A guest is one task, which ends when the control plane says so; many of them share a
 * thread, and each has an event channel, a page and functions of its own.
 */
import { openPlatform } from '../src/host/index.ts';
import type { Platform, PlatformOptions } from '../src/host/platform.ts';
import { GuestRuntime } from './guest-runtime.ts';
import type { GuestTask } from './messages.ts';

/** Opened once by every thread; a thread never serves two of them. */
let platform: Platform | undefined;

const platformFor = (options: PlatformOptions): Platform => (platform ??= openPlatform(options));

/** Serves a guest. Resolves when it is asked to end; rejects when something went wrong that only concerns this guest. */
export default function serveGuest({ domid, platform: options, port }: GuestTask): Promise<void> {
  return new Promise((resolve, reject) => {
    const runtime = new GuestRuntime(platformFor(options), domid, port, { resolve, reject });
    runtime.start();
  });
}
