// A file mapped shared, guarded against losing the file (fault_guard.h).
#pragma once

#include <atomic>
#include <cstddef>
#include <memory>
#include <string>
#include <utility>

#include "failure.h"
#include "fault_guard.h"

namespace pciback {

class Mapping {
 public:
  Mapping() = default;
  Mapping(Mapping&& other) noexcept { *this = std::move(other); }
  Mapping& operator=(Mapping&& other) noexcept;
  ~Mapping() { reset(); }

  // Maps the first `length` bytes of the file, which must have them.
  static Failure of(int fd, size_t length, Mapping* out);

  void* data() const { return data_; }
  size_t length() const { return length_; }
  const std::atomic<bool>& vanished() const { return range_->vanished; }
  void reset();

 private:
  void* data_ = nullptr;
  size_t length_ = 0;
  GuardedRange* range_ = nullptr;
};

// Maps the first `length` bytes of the regular file at `path`, once for all in this process that ask for the same
// (shared_mappings.h). With `create`, a missing file is made and a short one grown; the space is reserved, so that writing
// through the mapping cannot run into a full disk.
Failure map_file(const std::string& path, size_t length, bool create, std::shared_ptr<Mapping>* out);

// Takes the exclusive lock on the file at `path`, which is made if need be. EWOULDBLOCK: somebody else holds it. The lock
// goes when `*fd` is closed, at the latest with the process.
Failure lock_file(const std::string& path, int* fd);

// The same, but waits until nobody else holds it. ECANCELED: `given_up` was true when a signal interrupted the wait.
Failure await_file_lock(const std::string& path, const std::atomic<bool>& given_up, int* fd);

}  // namespace pciback
