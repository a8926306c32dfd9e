#include "fault_guard.h"

#include <csignal>
#include <mutex>
#include <new>
#include <sys/mman.h>
#include <unistd.h>
#include <vector>

#include <cerrno>

namespace pciback {
namespace {

// A signal handler reads the chunks without a lock: they are added at the front, and neither move nor are given back.
struct Chunk {
  GuardedRange ranges[512];
  Chunk* next = nullptr;
};
std::atomic<Chunk*> newest_chunk{nullptr};

std::mutex free_mutex;
std::vector<GuardedRange*>& free_ranges() {
  // Never destroyed: a worker may still unmap while the process runs its exit handlers.
  static auto* all = new std::vector<GuardedRange*>;
  return *all;
}

bool add_chunk() {
  auto* chunk = new (std::nothrow) Chunk;
  if (!chunk) return false;
  for (GuardedRange& range : chunk->ranges) free_ranges().push_back(&range);
  chunk->next = newest_chunk.load(std::memory_order_relaxed);
  newest_chunk.store(chunk, std::memory_order_release);
  return true;
}

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
  std::lock_guard lock(free_mutex);
  if (free_ranges().empty() && !add_chunk()) return nullptr;
  GuardedRange* range = free_ranges().back();
  free_ranges().pop_back();
  range->length.store(length);
  range->vanished.store(false);
  range->start.store(reinterpret_cast<uintptr_t>(start));
  return range;
}

void unguard_memory(GuardedRange* range) {
  range->start.store(0);
  std::lock_guard lock(free_mutex);
  free_ranges().push_back(range);
}

GuardedRange* find_guarded(const void* address) {
  const auto wanted = reinterpret_cast<uintptr_t>(address);
  for (Chunk* chunk = newest_chunk.load(std::memory_order_acquire); chunk; chunk = chunk->next) {
    for (GuardedRange& range : chunk->ranges) {
      const uintptr_t start = range.start.load();
      if (start == 0 || wanted < start || wanted - start >= range.length.load()) continue;
      // Another thread may have made another range of it between the two loads.
      if (range.start.load() == start) return &range;
    }
  }
  return nullptr;
}

}  // namespace pciback
