import { nativeAddon } from './native.ts';

/**
 * Puts this process into a process group of its own: neither an interrupt from the terminal, nor a shell that kills the job
 * that started it, reaches it any more. It stays in its session, because Linux schedules a session like one process: alone in
 * one, it could wait for seconds while the processes of the others keep all processors busy (sched_autogroup).
 */
export const leaveProcessGroup = (): void => nativeAddon().leaveProcessGroup();
