#include "back_end.h"

#include <algorithm>

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
  page_.set_op_word(pciif::kErr, ++mark_);
  std::atomic_signal_fence(std::memory_order_seq_cst);  // a fault during the copy has set `vanished` by now
  return vanished() ? Look::vanished : Look::request;
}

// Linux pcifront waits two seconds, then clears bit 0 itself and may ask something else. An answer to the first request must
// not be taken for an answer to the second.
//
// - Every word that decides what is done is compared. Of a read the value is none of them, nor are the vectors of MSI-X.
// - A front-end may ask the same again, and what was done for the first request was done before the second was asked for: status
//   bits that the function has set in between would stay set although the guest is told that they are cleared. The flags do not
//   count requests. But a front-end that asks copies a whole request to the page (Linux drivers/pci/xen-pcifront.c, do_pci_op;
//   mini-os pcifront.c; NetBSD xpci), so the mark that `look` has left in `err`, which is ours to write, is gone then.
//
// Two cases cannot be told: a front-end that rewrites nothing when it asks the same again, and one that gives up and asks again
// within the few instructions between this comparison and the clearing of bit 0.
bool BackEnd::still_asks_for(const uint32_t* op) const {
  if (!(page_.flags().load(std::memory_order_acquire) & pciif::kRequestActive)) return false;
  if (page_.op_word(pciif::kErr) != mark_) return false;
  for (const size_t word : {pciif::kCmd, pciif::kDomain, pciif::kBus, pciif::kDevfn, pciif::kOffset, pciif::kSize})
    if (page_.op_word(word) != op[word]) return false;
  const uint32_t cmd = op[pciif::kCmd];
  const bool has_value = cmd == pciif::kConfWrite || cmd == pciif::kEnableMsix;
  if (has_value && page_.op_word(pciif::kValue) != op[pciif::kValue]) return false;
  const uint32_t entries = cmd == pciif::kEnableMsix ? std::min(op[pciif::kValue], pciif::kMaxMsixEntries) : 0;
  for (uint32_t i = pciif::kMsixEntries; i < pciif::kMsixEntries + entries; i++)
    if (page_.op_word(i) >> 16 != op[i] >> 16) return false;
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
