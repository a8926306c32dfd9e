#include "loopback_directory.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <charconv>
#include <cstdio>

#include "pciif.h"

namespace pciback {
namespace {

constexpr uint32_t kLastDomid = 32751;   // DOMID_FIRST_RESERVED - 1
constexpr uint32_t kNumbersToTry = 65536;
constexpr int kUseAsIs = O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY;

std::string decimal(uint32_t number) { return std::to_string(number); }
std::string peer_name(uint32_t port) { return decimal(port) + ".peer"; }
std::string pirq_name(uint32_t pirq) { return "pirq" + decimal(pirq); }

bool write_all(int fd, std::string_view text) {
  return ::write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size());
}

}  // namespace

Failure LoopbackDirectory::open(const std::string& path, LoopbackDirectory* out) {
  Fd root(::open(path.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!root) return from_errno("open");
  out->root_ = std::move(root);
  return kSuccess;
}

Failure LoopbackDirectory::enter(const char* kind, uint32_t domid, Fd* out) const {
  constexpr int flags = O_PATH | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW;
  Fd parent(openat(root_.get(), kind, flags));
  if (!parent) return from_errno("open");
  Fd directory(openat(parent.get(), decimal(domid).c_str(), flags));
  if (!directory) return from_errno("open");
  *out = std::move(directory);
  return kSuccess;
}

Failure LoopbackDirectory::create_domain(uint32_t domid) const {
  for (const char* kind : {"gnt", "evt"}) {
    if (mkdirat(root_.get(), kind, 0777) < 0 && errno != EEXIST) return from_errno("mkdir");
    const std::string name = std::string(kind) + "/" + decimal(domid);
    if (mkdirat(root_.get(), name.c_str(), 0777) < 0 && errno != EEXIST) return from_errno("mkdir");
  }
  return kSuccess;
}

Failure LoopbackDirectory::open_page(uint32_t domid, uint32_t ref, Fd* out) const {
  Fd directory;
  if (Failure failure = enter("gnt", domid, &directory)) return failure;
  Fd fd(openat(directory.get(), decimal(ref).c_str(), O_RDWR | kUseAsIs));
  if (!fd) return from_errno("open");
  struct stat status;
  if (fstat(fd.get(), &status) < 0) return from_errno("fstat");
  if (!S_ISREG(status.st_mode) || status.st_size != pciif::kPageSize) return {EINVAL, "open"};
  *out = std::move(fd);
  return kSuccess;
}

Failure LoopbackDirectory::create_page(uint32_t domid, uint32_t* ref, Fd* out) const {
  Fd directory;
  if (Failure failure = enter("gnt", domid, &directory)) return failure;
  for (uint32_t tries = 0; tries < kNumbersToTry; tries++, ++*ref) {
    Fd fd(openat(directory.get(), decimal(*ref).c_str(), O_RDWR | O_CREAT | O_EXCL | kUseAsIs, 0666));
    if (!fd && errno == EEXIST) continue;
    if (!fd) return from_errno("open");
    if (ftruncate(fd.get(), pciif::kPageSize) < 0) return from_errno("ftruncate");
    *out = std::move(fd);
    return kSuccess;
  }
  return {ENOSPC, "open"};
}

void LoopbackDirectory::remove_page(uint32_t domid, uint32_t ref) const {
  Fd directory;
  if (!enter("gnt", domid, &directory)) unlinkat(directory.get(), decimal(ref).c_str(), 0);
}

Failure LoopbackDirectory::open_fifo(uint32_t domid, const std::string& name, Fd* out) const {
  Fd directory;
  if (Failure failure = enter("evt", domid, &directory)) return failure;
  // O_RDWR: neither end ever sees the other's absence as end-of-file or SIGPIPE.
  Fd fd(openat(directory.get(), name.c_str(), O_RDWR | kUseAsIs));
  if (!fd) return from_errno("open");
  struct stat status;
  if (fstat(fd.get(), &status) < 0) return from_errno("fstat");
  if (!S_ISFIFO(status.st_mode)) return {EINVAL, "open"};
  *out = std::move(fd);
  return kSuccess;
}

Failure LoopbackDirectory::open_port(uint32_t domid, uint32_t port, Fd* out) const {
  return open_fifo(domid, decimal(port), out);
}

Failure LoopbackDirectory::create_port(uint32_t domid, uint32_t* port, Fd* out) const {
  Fd directory;
  if (Failure failure = enter("evt", domid, &directory)) return failure;
  for (uint32_t tries = 0; tries < kNumbersToTry; tries++, ++*port) {
    if (mkfifoat(directory.get(), decimal(*port).c_str(), 0666) == 0) return open_fifo(domid, decimal(*port), out);
    if (errno != EEXIST) return from_errno("mkfifo");
  }
  return {ENOSPC, "mkfifo"};
}

void LoopbackDirectory::remove_port(uint32_t domid, uint32_t port) const {
  Fd directory;
  if (enter("evt", domid, &directory)) return;
  // The FIFO last: until then nobody else makes a port of this number, whose other end would be removed.
  unlinkat(directory.get(), peer_name(port).c_str(), 0);
  unlinkat(directory.get(), decimal(port).c_str(), 0);
}

Failure LoopbackDirectory::open_pirq(uint32_t domid, uint32_t pirq, Fd* out) const {
  return open_fifo(domid, pirq_name(pirq), out);
}

Failure LoopbackDirectory::create_pirq(uint32_t domid, uint32_t pirq, Fd* out) const {
  Fd directory;
  if (Failure failure = enter("evt", domid, &directory)) return failure;
  if (mkfifoat(directory.get(), pirq_name(pirq).c_str(), 0666) < 0) return from_errno("mkfifo");
  return open_pirq(domid, pirq, out);
}

void LoopbackDirectory::remove_pirq(uint32_t domid, uint32_t pirq) const {
  Fd directory;
  if (!enter("evt", domid, &directory)) unlinkat(directory.get(), pirq_name(pirq).c_str(), 0);
}

Failure LoopbackDirectory::write_peer(uint32_t domid, uint32_t port, Peer peer) const {
  Fd directory;
  if (Failure failure = enter("evt", domid, &directory)) return failure;
  // The directory may be the guest's: a name that it could have prepared must not lead us elsewhere, hence O_EXCL.
  static std::atomic<uint32_t> serial{0};
  const std::string final_name = peer_name(port);
  for (int tries = 0; tries < 100; tries++) {
    const std::string temporary = final_name + "." + std::to_string(getpid()) + "." + decimal(serial++) + "~";
    Fd fd(openat(directory.get(), temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | kUseAsIs, 0666));
    if (!fd && errno == EEXIST) continue;
    if (!fd) return from_errno("open");
    Failure failure;
    if (!write_all(fd.get(), decimal(peer.domid) + " " + decimal(peer.port)))
      failure = {ENOSPC, "write"};
    else if (renameat(directory.get(), temporary.c_str(), directory.get(), final_name.c_str()) < 0)
      failure = from_errno("rename");
    if (failure) unlinkat(directory.get(), temporary.c_str(), 0);
    return failure;
  }
  return {EEXIST, "open"};
}

Failure LoopbackDirectory::read_peer(uint32_t domid, uint32_t port, Peer* out) const {
  Fd directory;
  if (Failure failure = enter("evt", domid, &directory)) return failure;
  Fd fd(openat(directory.get(), peer_name(port).c_str(), O_RDONLY | kUseAsIs));
  if (!fd) return from_errno("open");
  char text[32];
  const ssize_t length = read(fd.get(), text, sizeof text);
  if (length < 0) return from_errno("read");
  return parse_peer({text, static_cast<size_t>(length)}, out) ? kSuccess : Failure{EINVAL, "read"};
}

bool LoopbackDirectory::stat_peer(uint32_t domid, uint32_t port, struct stat* out) const {
  const std::string path = "evt/" + decimal(domid) + "/" + peer_name(port);
  return fstatat(root_.get(), path.c_str(), out, AT_SYMLINK_NOFOLLOW) == 0;
}

Failure LoopbackDirectory::read_domain(uint32_t domid, DomainState* out) const {
  const std::string path = "dom/" + decimal(domid);
  Fd fd(openat(root_.get(), path.c_str(), O_RDONLY | kUseAsIs));
  if (!fd && errno != ENOENT) return from_errno("open");
  *out = DomainState::absent;
  if (!fd) return kSuccess;
  char bytes[32];
  const ssize_t length = read(fd.get(), bytes, sizeof bytes);
  if (length < 0) return from_errno("read");
  const std::string_view text(bytes, static_cast<size_t>(length));
  *out = text.starts_with("dying")      ? DomainState::dying
         : text.starts_with("shutdown") ? DomainState::shutdown
                                        : DomainState::running;
  return kSuccess;
}

uint32_t drain_fifo(int fd) {
  uint32_t total = 0;
  char bytes[4096];
  // Bounded: the other side may write as fast as we read. What is left makes the next event.
  for (int rounds = 0; rounds < 16; rounds++) {
    const ssize_t length = read(fd, bytes, sizeof bytes);
    if (length > 0) total += static_cast<uint32_t>(length);
    if (length != sizeof bytes) break;
  }
  return total;
}

void signal_fifo(int fd) {
  [[maybe_unused]] const ssize_t written = write(fd, "", 1);
}

bool parse_decimal(std::string_view text, uint32_t limit, uint32_t* out) {
  if (text.empty() || (text.size() > 1 && text.front() == '0')) return false;
  uint32_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc{} || end != text.data() + text.size() || number > limit) return false;
  *out = number;
  return true;
}

bool parse_peer(std::string_view text, Peer* out) {
  if (text.ends_with('\n')) text.remove_suffix(1);
  const size_t space = text.find(' ');
  if (space == std::string_view::npos) return false;
  return parse_decimal(text.substr(0, space), kLastDomid, &out->domid) &&
         parse_decimal(text.substr(space + 1), UINT32_MAX, &out->port);
}

}  // namespace pciback
