/** What `pciback bench` runs. Absolute figures are the machine's; the ratios are ours. */
export { benchConfigSpace, type ConfigSpaceBenchRow } from './config-space.ts';
export { benchRing, type RingBenchmark, type RingBenchmarkOptions, type RingFigures } from './ring.ts';
