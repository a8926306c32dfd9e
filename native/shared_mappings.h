// One mapping for each file, whichever threads of this process ask for it: a process may have no more than 65,530 mappings
// (vm.max_map_count), and each function is looked at from the main thread and from the worker of its guest.
#pragma once

#include <memory>

#include "memory.h"

namespace pciback {

// Maps the first `length` bytes of the file, or shares the mapping that somebody holds already. A mapping that has vanished is
// shared no more: the file may have been made whole since.
Failure share_mapping(int fd, size_t length, std::shared_ptr<Mapping>* out);

// The shared mapping that holds this address; null when there is none.
std::shared_ptr<Mapping> shared_mapping_at(const void* address);

}  // namespace pciback
