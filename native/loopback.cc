// The loopback provider: a hypervisor in a directory. The back-end is domain 0.
#include <fcntl.h>
#include <sys/epoll.h>

#include <climits>
#include <cstdlib>
#include <map>
#include <mutex>

#include "loopback_directory.h"
#include "memory.h"
#include "pciif.h"
#include "pirq_table.h"
#include "platform.h"

namespace pciback {
namespace {

constexpr uint32_t kSelf = 0;
constexpr uint32_t kFirstPort = 2;

// The number from which a directory is searched for a free port. Threads bind and close ports of one directory at the same time, and a
// port is discarded by its number when its thread has died: a number that was used again would be taken from the next one that has it.
class PortNumbers {
 public:
  uint32_t first(const std::string& where) {
    const std::lock_guard lock(mutex_);
    const auto found = next_.find(where);
    return found == next_.end() ? kFirstPort : found->second;
  }

  void taken(const std::string& where, uint32_t port) {
    const std::lock_guard lock(mutex_);
    // Each warm-up has a directory of its own, which is soon removed.
    if (next_.size() >= kMostDirectories) next_.clear();
    uint32_t& next = next_[where];
    if (next <= port) next = port < kLastPort ? port + 1 : kFirstPort;
  }

 private:
  static constexpr size_t kMostDirectories = 256;
  static constexpr uint32_t kLastPort = 1'000'000'000;

  std::mutex mutex_;
  std::map<std::string, uint32_t> next_;
};

PortNumbers& port_numbers() {
  // Never destroyed: a worker may still bind while the process runs its exit handlers.
  static auto* only = new PortNumbers;
  return *only;
}

struct LoopbackHypervisor {
  std::string where;  // canonical: it names the directory in the table of pirqs
  LoopbackDirectory directory;
};

struct LoopbackChannel {
  LoopbackHypervisor* hypervisor = nullptr;
  uint32_t port = 0;
  Fd incoming;
  Fd outgoing;
  // An epoll instance around the FIFO plays the part of /dev/xen/evtchn: one-shot, hence masked once taken.
  Fd poll_set;
};

LoopbackHypervisor* mine(Hypervisor* hypervisor) { return reinterpret_cast<LoopbackHypervisor*>(hypervisor); }
LoopbackChannel* mine(EventChannel* channel) { return reinterpret_cast<LoopbackChannel*>(channel); }
const LoopbackChannel* mine(const EventChannel* channel) { return reinterpret_cast<const LoopbackChannel*>(channel); }

Failure open(const std::string& where, Hypervisor** out) {
  LoopbackDirectory directory;
  if (Failure failure = LoopbackDirectory::open(where, &directory)) return failure;
  char canonical[PATH_MAX];
  if (!realpath(where.c_str(), canonical)) return from_errno("realpath");
  *out = reinterpret_cast<Hypervisor*>(new LoopbackHypervisor{canonical, std::move(directory)});
  return kSuccess;
}

void close(Hypervisor* hypervisor) { delete mine(hypervisor); }

Failure map_grant(Hypervisor* hypervisor, uint32_t domid, uint32_t ref, Grant* out) {
  Fd fd;
  if (Failure failure = mine(hypervisor)->directory.open_page(domid, ref, &fd)) return failure;
  Mapping mapping;
  if (Failure failure = Mapping::of(fd.get(), pciif::kPageSize, &mapping)) return failure;
  auto* kept = new Mapping(std::move(mapping));
  *out = Grant{kept->data(), &kept->vanished(), kept};
  return kSuccess;
}

void unmap_grant(Hypervisor*, Grant* grant) { delete static_cast<Mapping*>(grant->provider_data); }

bool arm(const LoopbackChannel& channel, int operation) {
  epoll_event interest = {};
  interest.events = EPOLLIN | EPOLLONESHOT;
  return epoll_ctl(channel.poll_set.get(), operation, channel.incoming.get(), &interest) == 0;
}

Failure bind_interdomain(Hypervisor* hypervisor, uint32_t domid, uint32_t remote_port, EventChannel** out) {
  const LoopbackDirectory& directory = mine(hypervisor)->directory;
  LoopbackChannel channel;
  channel.hypervisor = mine(hypervisor);
  if (Failure failure = directory.open_port(domid, remote_port, &channel.outgoing)) return failure;
  channel.poll_set = Fd(epoll_create1(EPOLL_CLOEXEC));
  if (!channel.poll_set) return from_errno("epoll_create");

  const std::string& where = mine(hypervisor)->where;
  uint32_t local_port = port_numbers().first(where);
  if (Failure failure = directory.create_port(kSelf, &local_port, &channel.incoming)) return failure;
  port_numbers().taken(where, local_port);
  channel.port = local_port;
  Failure failure;
  if (!arm(channel, EPOLL_CTL_ADD)) failure = from_errno("epoll_ctl");
  if (!failure) failure = directory.write_peer(kSelf, local_port, {domid, remote_port});
  if (!failure) failure = directory.write_peer(domid, remote_port, {kSelf, local_port});
  if (failure) {
    directory.remove_port(kSelf, local_port);
    return failure;
  }
  // As Xen does: the other end may have sent before there was anybody to hear it.
  signal_fifo(channel.incoming.get());
  *out = reinterpret_cast<EventChannel*>(new LoopbackChannel(std::move(channel)));
  return kSuccess;
}

void unbind(EventChannel* channel) {
  mine(channel)->hypervisor->directory.remove_port(kSelf, mine(channel)->port);
  delete mine(channel);
}

uint32_t local_port(const EventChannel* channel) { return mine(channel)->port; }

int event_fd(const EventChannel* channel) { return mine(channel)->poll_set.get(); }

bool take_pending(EventChannel* channel) {
  epoll_event event;
  if (epoll_wait(mine(channel)->poll_set.get(), &event, 1, 0) != 1) return false;
  drain_fifo(mine(channel)->incoming.get());
  return true;
}

void unmask(EventChannel* channel) { arm(*mine(channel), EPOLL_CTL_MOD); }

void notify(EventChannel* channel) { signal_fifo(mine(channel)->outgoing.get()); }

void discard_port(Hypervisor* hypervisor, uint32_t port) { mine(hypervisor)->directory.remove_port(kSelf, port); }

int map_msi(Hypervisor* hypervisor, uint32_t domid, const MsiVector&) {
  return pirqs::map(mine(hypervisor)->where, domid);
}

int unmap_pirq(Hypervisor* hypervisor, uint32_t domid, uint32_t pirq) {
  return pirqs::unmap(mine(hypervisor)->where, domid, pirq);
}

int claim_pirq(Hypervisor* hypervisor, uint32_t domid, uint32_t pirq) {
  return pirqs::claim(mine(hypervisor)->where, domid, pirq);
}

void release_pirqs(Hypervisor* hypervisor, uint32_t domid) { pirqs::release_all(mine(hypervisor)->where, domid); }

Failure raise_pirq(Hypervisor* hypervisor, uint32_t domid, uint32_t pirq) {
  Fd fd;
  if (Failure failure = mine(hypervisor)->directory.open_pirq(domid, pirq, &fd)) return failure;
  signal_fifo(fd.get());
  return kSuccess;
}

int domain_state(Hypervisor* hypervisor, uint32_t domid) {
  DomainState state;
  const Failure failure = mine(hypervisor)->directory.read_domain(domid, &state);
  return failure ? -failure.error : static_cast<int>(state);
}

}  // namespace

constinit const PlatformOps kLoopbackPlatform = {
    .name = "loopback",
    .open = open,
    .close = close,
    .map_grant = map_grant,
    .unmap_grant = unmap_grant,
    .bind_interdomain = bind_interdomain,
    .unbind = unbind,
    .local_port = local_port,
    .event_fd = event_fd,
    .take_pending = take_pending,
    .unmask = unmask,
    .notify = notify,
    .discard_port = discard_port,
    .map_msi = map_msi,
    .unmap_pirq = unmap_pirq,
    .claim_pirq = claim_pirq,
    .release_pirqs = release_pirqs,
    .raise_pirq = raise_pirq,
    .map_gsi = nullptr,
    .prepare_msix = nullptr,
    .release_msix = nullptr,
    .restore_msi = nullptr,
    .assign_device = nullptr,
    .deassign_device = nullptr,
    .memory_permission = nullptr,
    .port_permission = nullptr,
    .irq_permission = nullptr,
    .domain_state = domain_state,
    .processor_seconds = nullptr,
    .pause_domain = nullptr,
    .domain_handle = nullptr,
    .has_iommu = nullptr,
};

}  // namespace pciback
