// Whoever owns a file can truncate it while we have it mapped; the next access then raises SIGBUS, which by default kills
// the process and with it every other guest. Guarded memory survives: the lost page is replaced by a page of zeroes that
// nobody shares, and the range is marked as vanished.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace pciback {

struct GuardedRange {
  std::atomic<uintptr_t> start{0};  // 0: free
  std::atomic<size_t> length{0};
  std::atomic<bool> vanished{false};
};

// There is room for as many ranges as there is memory. Null when there is none left.
GuardedRange* guard_memory(void* start, size_t length);
void unguard_memory(GuardedRange* range);

// The guarded range that holds this address; null when there is none. Async-signal-safe. It looks at every range there ever
// was at once, some nanoseconds each: only a page that is lost has to be looked for.
GuardedRange* find_guarded(const void* address);

}  // namespace pciback
