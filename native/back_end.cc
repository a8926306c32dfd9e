#include "back_end.h"

namespace pciback {

Failure BackEnd::open(std::shared_ptr<Connection> connection, uint32_t domid, uint32_t ref, uint32_t port, Stage* stage,
                      std::unique_ptr<BackEnd>* out) {
  const PlatformOps& ops = connection->ops;
  Hypervisor* hypervisor = connection->hypervisor;
  Grant grant;
  *stage = Stage::map_grant;
  if (Failure failure = ops.map_grant(hypervisor, domid, ref, &grant)) return failure;
  EventChannel* channel = nullptr;
  *stage = Stage::bind_interdomain;
  if (Failure failure = ops.bind_interdomain(hypervisor, domid, port, &channel)) {
    ops.unmap_grant(hypervisor, &grant);
    return failure;
  }
  out->reset(new BackEnd(std::move(connection), grant, channel));
  return kSuccess;
}

BackEnd::~BackEnd() {
  ops().unbind(channel_);
  ops().unmap_grant(connection_->hypervisor, &grant_);
}

BackEnd::Look BackEnd::look(uint32_t turns, uint32_t* op, uint32_t* spent) {
  for (uint32_t turn = 0;; turn++) {
    if (spent) ++*spent;
    const uint32_t flags = page_.flags().load(std::memory_order_acquire);
    if (vanished()) return Look::vanished;
    if (flags & pciif::kRequestActive) break;
    if (turn + 1 >= turns) return Look::idle;
    pciif::relax_cpu();
  }
  page_.copy_op_to(op);
  std::atomic_signal_fence(std::memory_order_seq_cst);  // a fault during the copy has set `vanished` by now
  return vanished() ? Look::vanished : Look::request;
}

// Linux pcifront waits two seconds, then clears bit 0 itself and may ask something else. An answer to the first request must
// not be taken for one to the second.
bool BackEnd::still_asks_for(const uint32_t* op) const {
  if (!(page_.flags().load(std::memory_order_acquire) & pciif::kRequestActive)) return false;
  for (const size_t word : {pciif::kCmd, pciif::kDomain, pciif::kBus, pciif::kDevfn, pciif::kOffset, pciif::kSize})
    if (page_.op_word(word) != op[word]) return false;
  return true;
}

BackEnd::Answer BackEnd::answer(const uint32_t* op, int32_t err, uint32_t value, uint32_t vectors) {
  const bool wanted = still_asks_for(op);
  if (vanished()) return Answer::vanished;
  if (!wanted) return Answer::abandoned;

  page_.set_op_word(pciif::kErr, static_cast<uint32_t>(err));
  page_.set_op_word(pciif::kValue, value);
  for (uint32_t i = 0; i < vectors; i++)
    page_.set_vector(i, static_cast<uint16_t>(op[pciif::kMsixEntries + i]));
  const uint32_t before = page_.flags().fetch_and(~pciif::kRequestActive, std::memory_order_acq_rel);
  if (vanished()) return Answer::vanished;
  // Given up within the last instructions. Nobody waits, and a back-end notifies only of a change (XSA-391).
  return before & pciif::kRequestActive ? Answer::published : Answer::abandoned;
}

}  // namespace pciback
