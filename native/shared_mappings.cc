#include "shared_mappings.h"

#include <sys/stat.h>

#include <compare>
#include <map>
#include <mutex>

namespace pciback {
namespace {

// A file that is mapped keeps its inode, even without a name.
struct Part {
  dev_t device;
  ino_t inode;
  size_t length;

  auto operator<=>(const Part&) const = default;
};

struct Table {
  std::mutex mutex;
  std::map<Part, std::weak_ptr<Mapping>> by_part;
  std::map<uintptr_t, std::weak_ptr<Mapping>> by_address;
};

Table& table() {
  // Never destroyed: a worker may still unmap while the process runs its exit handlers.
  static auto* only = new Table;
  return *only;
}

uintptr_t number(const void* address) { return reinterpret_cast<uintptr_t>(address); }

// The last holder has let go. Entries go before the memory does: the next mapping may get the same address.
void drop(const Part& part, Mapping* mapping) {
  {
    std::lock_guard lock(table().mutex);
    table().by_address.erase(number(mapping->data()));
    // Another one may have taken its place meanwhile.
    const auto found = table().by_part.find(part);
    if (found != table().by_part.end() && found->second.expired()) table().by_part.erase(found);
  }
  delete mapping;
}

}  // namespace

// `*out` must be empty: what it held would be dropped with the lock held.
Failure share_mapping(int fd, size_t length, std::shared_ptr<Mapping>* out) {
  struct stat status;
  if (fstat(fd, &status) < 0) return from_errno("fstat");
  const Part part = {status.st_dev, status.st_ino, length};
  std::shared_ptr<Mapping> shared;  // let go of without the lock, which `drop` takes
  std::lock_guard lock(table().mutex);
  std::weak_ptr<Mapping>& known = table().by_part[part];
  shared = known.lock();
  if (shared && !shared->vanished()) {
    *out = shared;
    return kSuccess;
  }
  auto mapping = std::make_unique<Mapping>();
  if (Failure failure = Mapping::of(fd, length, mapping.get())) {
    if (!shared) table().by_part.erase(part);
    return failure;
  }
  out->reset(mapping.release(), [part](Mapping* unheld) { drop(part, unheld); });
  known = *out;
  table().by_address[number((*out)->data())] = *out;
  return kSuccess;
}

std::shared_ptr<Mapping> shared_mapping_at(const void* address) {
  std::shared_ptr<Mapping> found;
  std::lock_guard lock(table().mutex);
  auto after = table().by_address.upper_bound(number(address));
  if (after == table().by_address.begin()) return nullptr;
  found = std::prev(after)->second.lock();
  const bool holds = found && number(address) - number(found->data()) < found->length();
  return holds ? found : nullptr;
}

}  // namespace pciback
