#include "fault_guard.h"

#include <csignal>
#include <mutex>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>

namespace pciback {
namespace {

// Fixed and lock-free, since a signal handler reads it.
constexpr size_t kMaxRanges = 2048;
constexpr uintptr_t kClaimed = 1;
GuardedRange ranges[kMaxRanges];
std::atomic<size_t> ranges_ever_used{0};

struct sigaction previous_action;
uintptr_t host_page_size;

// A fault elsewhere is none of our business: it goes where it would have gone without us.
void pass_on(int signal_number, siginfo_t* info, void* context) {
  if (previous_action.sa_flags & SA_SIGINFO) return previous_action.sa_sigaction(signal_number, info, context);
  const bool was_sent = info->si_code <= 0;  // by kill(2) and the like, not by a faulting instruction
  if (previous_action.sa_handler == SIG_IGN && was_sent) return;
  if (previous_action.sa_handler != SIG_DFL && previous_action.sa_handler != SIG_IGN)
    return previous_action.sa_handler(signal_number);
  signal(signal_number, SIG_DFL);      // a faulting instruction runs again and ends the process
  if (was_sent) raise(signal_number);  // nothing would run again: delivered when this handler returns
}

void on_bus_error(int signal_number, siginfo_t* info, void* context) {
  const int saved_errno = errno;
  if (info->si_code > 0) {
    if (GuardedRange* range = find_guarded(info->si_addr)) {
      auto* page = reinterpret_cast<void*>(reinterpret_cast<uintptr_t>(info->si_addr) & ~(host_page_size - 1));
      if (mmap(page, host_page_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == page) {
        range->vanished.store(true, std::memory_order_release);
        errno = saved_errno;
        return;
      }
    }
  }
  errno = saved_errno;
  pass_on(signal_number, info, context);
}

void install_handler() {
  host_page_size = static_cast<uintptr_t>(sysconf(_SC_PAGESIZE));
  struct sigaction action = {};
  action.sa_sigaction = on_bus_error;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK;
  sigemptyset(&action.sa_mask);
  sigaction(SIGBUS, &action, &previous_action);
}

}  // namespace

GuardedRange* guard_memory(void* start, size_t length) {
  static std::once_flag installed;
  std::call_once(installed, install_handler);
  for (size_t i = 0; i < kMaxRanges; i++) {
    GuardedRange& range = ranges[i];
    uintptr_t free = 0;
    if (!range.start.compare_exchange_strong(free, kClaimed)) continue;
    range.length.store(length);
    range.vanished.store(false);
    range.start.store(reinterpret_cast<uintptr_t>(start));
    size_t used = ranges_ever_used.load();
    while (used < i + 1 && !ranges_ever_used.compare_exchange_weak(used, i + 1)) {
    }
    return &range;
  }
  return nullptr;
}

void unguard_memory(GuardedRange* range) { range->start.store(0); }

GuardedRange* find_guarded(const void* address) {
  const auto wanted = reinterpret_cast<uintptr_t>(address);
  const size_t used = ranges_ever_used.load();
  for (size_t i = 0; i < used; i++) {
    const uintptr_t start = ranges[i].start.load();
    if (start > kClaimed && wanted >= start && wanted - start < ranges[i].length.load()) return &ranges[i];
  }
  return nullptr;
}

}  // namespace pciback
