#include "pirq_table.h"

#include <cerrno>
#include <map>
#include <mutex>
#include <set>
#include <utility>

namespace pciback::pirqs {
namespace {

constexpr uint32_t kFirst = 0x37;    // below lie the pirqs of legacy interrupts
constexpr uint32_t kLast = 0xffff;   // what the 16 bits of an MSI-X entry on the wire can hold
constexpr size_t kMaxPerDomain = 1024;

struct Domain {
  std::set<uint32_t> held;
  // Next fit: a number that was just given back is not handed out at once, so that a late interrupt meets nobody.
  uint32_t next = kFirst;
};

std::mutex mutex;

std::map<std::pair<std::string, uint32_t>, Domain>& domains() {
  // Never destroyed: a worker may still unmap while the process runs its exit handlers.
  static auto* all = new std::map<std::pair<std::string, uint32_t>, Domain>;
  return *all;
}

}  // namespace

int map(const std::string& directory, uint32_t domid) {
  std::lock_guard lock(mutex);
  Domain& domain = domains()[{directory, domid}];
  if (domain.held.size() >= kMaxPerDomain) return -ENOSPC;
  for (;;) {
    const uint32_t pirq = domain.next;
    domain.next = pirq == kLast ? kFirst : pirq + 1;
    if (domain.held.insert(pirq).second) return static_cast<int>(pirq);
  }
}

int unmap(const std::string& directory, uint32_t domid, uint32_t pirq) {
  std::lock_guard lock(mutex);
  const auto found = domains().find({directory, domid});
  return found != domains().end() && found->second.held.erase(pirq) ? 0 : -EINVAL;
}

int claim(const std::string& directory, uint32_t domid, uint32_t pirq) {
  if (pirq < kFirst || pirq > kLast) return -EINVAL;
  std::lock_guard lock(mutex);
  Domain& domain = domains()[{directory, domid}];
  if (domain.held.contains(pirq)) return 0;
  if (domain.held.size() >= kMaxPerDomain) return -ENOSPC;
  domain.held.insert(pirq);
  if (domain.next <= pirq) domain.next = pirq == kLast ? kFirst : pirq + 1;
  return 0;
}

void release_all(const std::string& directory, uint32_t domid) {
  std::lock_guard lock(mutex);
  domains().erase({directory, domid});
}

}  // namespace pciback::pirqs
