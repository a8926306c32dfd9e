import { nativeAddon } from './native.ts';

/**
 * Has nothing that is printed to standard error without our doing block, such as the last words of V8: for a process that must not stop.
 */
export const unblockStandardError = (): void => nativeAddon().unblockStandardError();
