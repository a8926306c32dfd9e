/** The host's functions, and the hypervisor in a directory. */
import type { Mutant } from '../mutant.ts';

export const host: readonly Mutant[] = [
  {
    name: 'pages of BARs that lie in one page are found',
    source: 'XSA-461',
    file: 'src/host/shared-pages.ts',
    find: 'if (!other || other.first > one.last) break;',
    put: 'if (!other || other.first >= one.last) break;',
    tests: ['test/host/shared-pages.test.ts'],
  },
  {
    name: 'registers that nobody answered for are no registers',
    source: 'PCI Local Bus 3.0, 6.1',
    file: 'src/host/silent.ts',
    find: '  if (!answersNow(hardware)) throw notAnswering(hardware.sbdf);\n',
    put: '',
    tests: ['test/backend/host-functions.test.ts', 'test/backend/reset-unowned.test.ts'],
  },
  {
    name: 'a function is reserved for its stub before its driver loses it',
    source: 'a module may be loaded in between',
    file: 'src/host/driver-binding.ts',
    find: '  await core.setOverride(stub);\n',
    put: '',
    tests: ['test/host/driver-binding.test.ts'],
  },
  {
    name: 'a function that its stub did not take is told',
    source: 'DRIVER-BINDING',
    file: 'src/host/driver-binding.ts',
    find: '  if (holder === stub) return;\n  throw',
    put: '  if (holder !== undefined) return;\n  throw',
    tests: ['test/host/driver-binding.test.ts'],
  },
  {
    name: 'a page is a file of 4096 bytes',
    source: 'numbers that a guest wrote become parts of paths',
    file: 'native/loopback_directory.cc',
    find: '  if (!S_ISREG(status.st_mode) || status.st_size != pciif::kPageSize) return {EINVAL, "open"};\n',
    put: '',
    tests: ['test/host/hypervisor.test.ts', 'test/host/hypervisor-ring.test.ts'],
    build: 'native',
  },
  {
    name: 'no symbolic link is followed to a page or a port',
    source: 'a guest makes its own directory',
    file: 'native/loopback_directory.cc',
    find: 'constexpr int kUseAsIs = O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY;',
    put: 'constexpr int kUseAsIs = O_CLOEXEC | O_NONBLOCK | O_NOCTTY;',
    tests: [
      'test/host/hypervisor.test.ts',
      'test/host/hypervisor-ring.test.ts',
      'test/host/front-ring.test.ts',
    ],
    build: 'native',
  },
  {
    name: 'a peer is named by plain decimals',
    source: 'numbers that a guest wrote become parts of paths',
    file: 'native/loopback_directory.cc',
    find: "  if (text.empty() || (text.size() > 1 && text.front() == '0')) return false;\n",
    put: '',
    tests: ['test/host/front-ring.test.ts'],
    build: 'native',
  },
];
