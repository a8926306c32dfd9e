import { PcibackError } from '../errors.ts';
import { isNativeError } from './native.ts';

/** What the kernel ran out of, and who can give more of it, by errno. */
const limits: Readonly<Record<string, { readonly what: string; readonly remedy: string }>> = {
  ENOMEM: {
    what: 'no more memory can be mapped',
    remedy:
      'allow more mappings (sysctl vm.max_map_count, then start the daemon again), or hide fewer functions',
  },
  EMFILE: {
    what: 'the daemon may open no more files',
    remedy: 'allow it more (ulimit -Hn, LimitNOFILE of its unit), then start it again',
  },
  ENFILE: { what: 'the host has no more files to open', remedy: 'allow more: sysctl fs.file-max' },
};

/** The refusal for an error of the addon that says that the kernel has run out of something; undefined for any other. */
export function exhaustion(cause: unknown, wanted: string): PcibackError | undefined {
  const limit = isNativeError(cause) ? limits[cause.code] : undefined;
  return limit && new PcibackError('OUT-OF-RESOURCES', `${wanted}: ${limit.what}`, limit.remedy, { cause });
}
