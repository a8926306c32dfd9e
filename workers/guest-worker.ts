/**
 * The entry point of the worker threads. A guest is one task, which ends when the control plane says so; many of them share a
 * thread, and each has an event channel, a page and functions of its own.
 */
import { openPlatform } from '../src/host/index.ts';
import type { Platform, PlatformOptions } from '../src/host/platform.ts';
import { GuestRuntime } from './guest-runtime.ts';
import type { GuestTask, WarmUp, WorkerTask } from './messages.ts';
import { rehearse } from './rehearsal.ts';

/** Opened once by every thread: the one that guests are on, and the one of the rehearsal. */
const platforms = new Map<string, Platform>();

function platformFor(options: PlatformOptions): Platform {
  const key = `${options.kind} ${options.directory ?? ''}`;
  const platform = platforms.get(key) ?? openPlatform(options);
  platforms.set(key, platform);
  return platform;
}

/** Resolves when it is done; rejects when something went wrong that only concerns this task. */
export default function run(task: WorkerTask): Promise<void> {
  return 'warmUp' in task ? warmUp(task) : serveGuest(task);
}

async function warmUp({ warmUp: options, rehearsal, domid }: WarmUp): Promise<void> {
  platformFor(options);
  await rehearse(platformFor(rehearsal), rehearsal.directory, domid);
}

/** Until it is asked to end. */
function serveGuest({ domid, domain, platform: options, port, resume }: GuestTask): Promise<void> {
  return new Promise((resolve, reject) => {
    const runtime = new GuestRuntime(platformFor(options), domid, port, { resolve, reject });
    runtime.start(resume, domain);
  });
}
