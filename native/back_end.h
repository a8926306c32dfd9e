// The back-end's end of one shared page and its event channel, without anything of JavaScript in it.
#pragma once

#include <memory>

#include "pciif.h"
#include "platform.h"

namespace pciback {

class BackEnd {
 public:
  // The values cross to JavaScript (src/host/native.ts).
  enum class Look : uint32_t { idle, request, vanished, busy };
  enum class Answer : uint32_t { published, abandoned, vanished };
  enum class Stage { map_grant, bind_interdomain };

  // `*stage` says which of the two steps failed.
  static Failure open(std::shared_ptr<Connection> connection, uint32_t domid, uint32_t ref, uint32_t port, Stage* stage,
                      std::unique_ptr<BackEnd>* out);
  BackEnd(const BackEnd&) = delete;
  ~BackEnd();

  // Whether a request waits: one look.
  bool asked() const { return page_.flags().load(std::memory_order_acquire) & pciif::kRequestActive; }

  // Looks up to `turns` times, at least once, without a system call. On a request, copies it to `op`, and marks it in the page.
  // Adds the turns to `*spent`.
  Look look(uint32_t turns, uint32_t* op, uint32_t* spent = nullptr);

  // Answers the request in `op`: `err`, `value` and the vectors of the first `vectors` entries. Whoever gets `published` notifies.
  Answer answer(const uint32_t* op, int32_t err, uint32_t value, uint32_t vectors);

  uint32_t local_port() const { return ops().local_port(channel_); }
  int event_fd() const { return ops().event_fd(channel_); }
  bool take_pending() { return ops().take_pending(channel_); }
  void unmask() { ops().unmask(channel_); }
  void notify() { ops().notify(channel_); }

 private:
  BackEnd(std::shared_ptr<Connection> connection, const Grant& grant, EventChannel* channel)
      : connection_(std::move(connection)), grant_(grant), page_(grant.page), channel_(channel) {}

  const PlatformOps& ops() const { return connection_->ops; }
  bool vanished() const { return grant_.vanished && grant_.vanished->load(std::memory_order_relaxed); }
  bool still_asks_for(const uint32_t* op) const;

  std::shared_ptr<Connection> connection_;
  Grant grant_;
  pciif::Page page_;
  EventChannel* channel_;
  uint32_t mark_ = 0x6d61726b;  // no error, neither of the wire nor of a front-end; another for each request
};

}  // namespace pciback
