#include "memory.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "fd.h"
#include "shared_mappings.h"

namespace pciback {

Mapping& Mapping::operator=(Mapping&& other) noexcept {
  if (this != &other) {
    reset();
    data_ = std::exchange(other.data_, nullptr);
    length_ = std::exchange(other.length_, 0);
    range_ = std::exchange(other.range_, nullptr);
  }
  return *this;
}

void Mapping::reset() {
  if (!data_) return;
  unguard_memory(std::exchange(range_, nullptr));
  munmap(std::exchange(data_, nullptr), std::exchange(length_, 0));
}

Failure Mapping::of(int fd, size_t length, Mapping* out) {
  void* data = mmap(nullptr, length, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (data == MAP_FAILED) return from_errno("mmap");
  GuardedRange* range = guard_memory(data, length);
  if (!range) {
    munmap(data, length);
    return {ENOMEM, "mmap"};
  }
  out->reset();
  out->data_ = data;
  out->length_ = length;
  out->range_ = range;
  return kSuccess;
}

Failure map_file(const std::string& path, size_t length, bool create, std::shared_ptr<Mapping>* out) {
  // O_NONBLOCK: opening a FIFO by mistake must not hang.
  const int flags = O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | (create ? O_CREAT : 0);
  Fd fd(open(path.c_str(), flags, 0600));
  if (!fd) return from_errno("open");
  struct stat status;
  if (fstat(fd.get(), &status) < 0) return from_errno("fstat");
  if (!S_ISREG(status.st_mode)) return {EINVAL, "open"};
  if (create) {
    if (const int error = posix_fallocate(fd.get(), 0, static_cast<off_t>(length))) return {error, "fallocate"};
  } else if (static_cast<size_t>(status.st_size) < length) {
    return {ENXIO, "mmap"};
  }
  return share_mapping(fd.get(), length, out);
}

namespace {

template <typename Lock>
Failure lock_named_file(const std::string& path, Lock lock, int* out) {
  for (;;) {
    // To read is enough for flock(2), also where nothing can be written any more; but not on NFS, which locks what can be written.
    const int flags = O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY;
    Fd fd(open(path.c_str(), O_RDWR | flags, 0600));
    if (!fd && (errno == EROFS || errno == EACCES)) fd = Fd(open(path.c_str(), O_RDONLY | flags, 0600));
    if (!fd) return from_errno("open");
    if (Failure failure = lock(fd.get())) return failure;
    // The file may have been removed and made anew between the two calls; a lock on what has no name excludes nobody.
    struct stat locked, named;
    if (fstat(fd.get(), &locked) < 0) return from_errno("fstat");
    if (stat(path.c_str(), &named) == 0 && named.st_dev == locked.st_dev && named.st_ino == locked.st_ino) {
      *out = fd.release();
      return kSuccess;
    }
  }
}

}  // namespace

Failure lock_file(const std::string& path, int* out) {
  return lock_named_file(
      path, [](int fd) { return flock(fd, LOCK_EX | LOCK_NB) < 0 ? from_errno("flock") : kSuccess; }, out);
}

Failure await_file_lock(const std::string& path, const std::atomic<bool>& given_up, int* out) {
  const auto wait = [&given_up](int fd) -> Failure {
    while (!given_up) {
      if (flock(fd, LOCK_EX) == 0) return kSuccess;
      if (errno != EINTR) return from_errno("flock");
    }
    return {ECANCELED, "flock"};
  };
  return lock_named_file(path, wait, out);
}

}  // namespace pciback
