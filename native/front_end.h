// The guest's end of the page and the channel on the loopback platform: what a guest's kernel and its pcifront do, for
// guests that are ordinary processes.
#pragma once

#include <map>
#include <memory>

#include "loopback_directory.h"
#include "memory.h"
#include "pciif.h"

namespace pciback {

class FrontEnd {
 public:
  enum class Exchange : uint32_t { answered, timed_out };

  // Makes the page and the FIFO, under the first free numbers from `ref` and `port`.
  static Failure create(const std::string& directory, uint32_t domid, uint32_t ref, uint32_t port,
                        std::unique_ptr<FrontEnd>* out);
  FrontEnd(const FrontEnd&) = delete;
  ~FrontEnd();

  uint32_t ref() const { return ref_; }
  uint32_t port() const { return port_; }
  int event_fd() const { return incoming_.get(); }
  // The page stays mapped as long as somebody holds this.
  const std::shared_ptr<Mapping>& mapping() const { return mapping_; }

  void set_flags(uint32_t bits) { page_.flags().fetch_or(bits, std::memory_order_acq_rel); }
  // Writes the request, sets bit 0, notifies. False: there is no other end to notify (yet).
  bool submit(const uint32_t* op);
  // True when bit 0 is clear: the request, answered or never made, is then in `op`.
  bool poll(uint32_t* op) const;
  // Clears bit 0, as a front-end does that has waited too long. False when it was clear already.
  bool give_up() { return page_.flags().fetch_and(~pciif::kRequestActive, std::memory_order_acq_rel) & pciif::kRequestActive; }
  // Submits and waits for the answer, which replaces the request in `op`; gives up after `timeout_ms`.
  Exchange exchange(uint32_t* op, uint32_t timeout_ms);

  // Notifies the other end; opens it anew when another has bound to our port.
  bool notify();
  // Waits until our port is pending, and takes the event. False: none came in time.
  bool wait_event(uint32_t timeout_ms);
  uint32_t take_events() { return drain_fifo(incoming_.get()); }

  // A pirq is an interrupt line with a FIFO of its own; each byte in it is one interrupt.
  Failure bind_pirq(uint32_t pirq);
  void unbind_pirq(uint32_t pirq);
  // Interrupts since the pirq was bound, after waiting up to `timeout_ms` for one more; -1 when it is not bound.
  int64_t pirq_events(uint32_t pirq, uint32_t timeout_ms);

 private:
  FrontEnd(LoopbackDirectory directory, uint32_t domid, uint32_t ref, uint32_t port, Mapping mapping, Fd incoming);

  bool open_peer();
  bool answered_within(uint32_t turns) const;

  struct Pirq {
    Fd fifo;
    int64_t events = 0;
  };

  LoopbackDirectory directory_;
  const uint32_t domid_, ref_, port_;
  std::shared_ptr<Mapping> mapping_;
  pciif::Page page_;
  Fd incoming_;
  Fd outgoing_;
  struct stat peer_seen_ = {};
  uint32_t spin_turns_;
  std::map<uint32_t, Pirq> pirqs_;
};

}  // namespace pciback
