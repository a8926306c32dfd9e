#include "front_end.h"

#include <poll.h>

#include <algorithm>
#include <ctime>

namespace pciback {
namespace {

// How long to look at the page before sleeping, in turns. Grows while answers come within it, shrinks while they do not.
constexpr uint32_t kMinTurns = 64;
constexpr uint32_t kMaxTurns = 16384;

int64_t now_ms() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * int64_t{1000} + now.tv_nsec / 1'000'000;
}

bool wait_readable(int fd, int64_t deadline) {
  for (;;) {
    pollfd wanted = {fd, POLLIN, 0};
    const int64_t left = std::clamp<int64_t>(deadline - now_ms(), 0, INT32_MAX);
    const int ready = ::poll(&wanted, 1, static_cast<int>(left));
    if (ready >= 0 || errno != EINTR) return ready > 0;
  }
}

}  // namespace

FrontEnd::FrontEnd(LoopbackDirectory directory, uint32_t domid, uint32_t ref, uint32_t port, Mapping mapping, Fd incoming)
    : directory_(std::move(directory)),
      domid_(domid),
      ref_(ref),
      port_(port),
      mapping_(std::make_shared<Mapping>(std::move(mapping))),
      page_(mapping_->data()),
      incoming_(std::move(incoming)),
      spin_turns_(kMaxTurns) {}

Failure FrontEnd::create(const std::string& where, uint32_t domid, uint32_t ref, uint32_t port,
                         std::unique_ptr<FrontEnd>* out) {
  LoopbackDirectory directory;
  if (Failure failure = LoopbackDirectory::open(where, &directory)) return failure;
  if (Failure failure = directory.create_domain(domid)) return failure;
  Fd page, fifo;
  if (Failure failure = directory.create_page(domid, &ref, &page)) return failure;
  Mapping mapping;
  Failure failure = Mapping::of(page.get(), pciif::kPageSize, &mapping);
  if (!failure) failure = directory.create_port(domid, &port, &fifo);
  if (failure) {
    directory.remove_page(domid, ref);
    return failure;
  }
  out->reset(new FrontEnd(std::move(directory), domid, ref, port, std::move(mapping), std::move(fifo)));
  return kSuccess;
}

FrontEnd::~FrontEnd() {
  for (const auto& [pirq, bound] : pirqs_) directory_.remove_pirq(domid_, pirq);
  directory_.remove_port(domid_, port_);
  directory_.remove_page(domid_, ref_);
}

bool FrontEnd::submit(const uint32_t* op) {
  page_.copy_op_from(op);
  set_flags(pciif::kRequestActive);
  return notify();
}

bool FrontEnd::poll(uint32_t* op) const {
  if (page_.flags().load(std::memory_order_acquire) & pciif::kRequestActive) return false;
  page_.copy_op_to(op);
  return true;
}

bool FrontEnd::answered_within(uint32_t turns) const {
  for (uint32_t turn = 0; turn < turns; turn++) {
    if (!(page_.flags().load(std::memory_order_acquire) & pciif::kRequestActive)) return true;
    pciif::relax_cpu();
  }
  return false;
}

FrontEnd::Exchange FrontEnd::exchange(uint32_t* op, uint32_t timeout_ms) {
  page_.copy_op_from(op);
  set_flags(pciif::kRequestActive);
  // The fast path does not ask whether the back-end was replaced; a new one looks at the page when it binds, anyhow.
  if (outgoing_)
    signal_fifo(outgoing_.get());
  else
    notify();
  if (answered_within(spin_turns_)) {
    spin_turns_ = std::min(spin_turns_ * 2, kMaxTurns);
    page_.copy_op_to(op);
    return Exchange::answered;
  }
  spin_turns_ = std::max(spin_turns_ / 2, kMinTurns);

  const int64_t deadline = now_ms() + timeout_ms;
  struct stat peer;
  if (directory_.stat_peer(domid_, port_, &peer)) notify();
  // Clear the pending event before looking, as pcifront does: an answer after the look makes it pending again.
  for (take_events(); !answered_within(1); take_events()) {
    if (wait_readable(incoming_.get(), deadline)) continue;
    if (give_up()) return Exchange::timed_out;
  }
  page_.copy_op_to(op);
  return Exchange::answered;
}

bool FrontEnd::open_peer() {
  struct stat seen;
  if (!directory_.stat_peer(domid_, port_, &seen)) {
    outgoing_.reset();
    return false;
  }
  const auto same_time = [](const timespec& a, const timespec& b) { return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec; };
  const bool unchanged = seen.st_ino == peer_seen_.st_ino && same_time(seen.st_ctim, peer_seen_.st_ctim) &&
                         same_time(seen.st_mtim, peer_seen_.st_mtim);
  if (outgoing_ && unchanged) return true;
  outgoing_.reset();
  Peer peer;
  if (directory_.read_peer(domid_, port_, &peer)) return false;
  if (directory_.open_port(peer.domid, peer.port, &outgoing_)) return false;
  peer_seen_ = seen;
  return true;
}

bool FrontEnd::notify() {
  if (!open_peer()) return false;
  signal_fifo(outgoing_.get());
  return true;
}

bool FrontEnd::wait_event(uint32_t timeout_ms) {
  return wait_readable(incoming_.get(), now_ms() + timeout_ms) && take_events() > 0;
}

Failure FrontEnd::bind_pirq(uint32_t pirq) {
  if (pirqs_.contains(pirq)) return {EEXIST, "bind_pirq"};
  Pirq bound;
  if (Failure failure = directory_.create_pirq(domid_, pirq, &bound.fifo)) return failure;
  pirqs_.emplace(pirq, std::move(bound));
  return kSuccess;
}

void FrontEnd::unbind_pirq(uint32_t pirq) {
  if (pirqs_.erase(pirq)) directory_.remove_pirq(domid_, pirq);
}

int64_t FrontEnd::pirq_events(uint32_t pirq, uint32_t timeout_ms) {
  const auto found = pirqs_.find(pirq);
  if (found == pirqs_.end()) return -1;
  Pirq& bound = found->second;
  if (timeout_ms) wait_readable(bound.fifo.get(), now_ms() + timeout_ms);
  return bound.events += drain_fifo(bound.fifo.get());
}

}  // namespace pciback
