/** The pciif ring: its layout, and what becomes of the requests in it. */
export * from './layout.ts';
export type { ExportedFunction, FindFunction, Pirqs } from './exported-function.ts';
export { RingOperations } from './operations.ts';
export { defaultPacing, type Pacing, requestStream, type StreamHooks } from './request-stream.ts';
export { revoke } from './vectors.ts';
