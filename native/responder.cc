#include "responder.h"

#include <poll.h>
#include <sys/eventfd.h>

#include <algorithm>
#include <cstring>

#include "js.h"

namespace pciback {
namespace {

constexpr uint32_t kFewestTurns = 64;
constexpr uint32_t kMostTurns = 4096;

}  // namespace

Responder::Responder(std::unique_ptr<BackEnd> back_end, const uint8_t* config)
    : back_end_(std::move(back_end)), stop_event_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  std::copy_n(config, kConfigSpaceSize, config_.begin());
  thread_ = std::thread([this] { serve(); });
}

uint64_t Responder::stop() {
  if (thread_.joinable()) {
    stopping_.store(true);
    eventfd_write(stop_event_.get(), 1);
    thread_.join();
  }
  return answered_;
}

void Responder::serve() {
  pciif::Op op;
  uint32_t turns = kFewestTurns;
  pollfd wanted[] = {{back_end_->event_fd(), POLLIN, 0}, {stop_event_.get(), POLLIN, 0}};
  while (!stopping_.load(std::memory_order_relaxed)) {
    switch (back_end_->look(turns, op.data())) {
      case BackEnd::Look::request:
        turns = std::min(turns * 2, kMostTurns);
        answer(op.data());
        break;
      case BackEnd::Look::idle:
        turns = std::max(turns / 2, kFewestTurns);
        back_end_->unmask();
        while (::poll(wanted, 2, -1) < 0 && errno == EINTR) {
        }
        back_end_->take_pending();
        break;
      case BackEnd::Look::vanished:
        return;
    }
  }
}

void Responder::answer(const uint32_t* op) {
  const uint32_t offset = op[pciif::kOffset];
  const uint32_t size = op[pciif::kSize];
  uint32_t value = 0;
  int32_t err = pciif::kErrSuccess;
  if (op[pciif::kCmd] != pciif::kConfRead)
    err = pciif::kErrNotImplemented;
  else if ((size != 1 && size != 2 && size != 4) || offset % size != 0 || offset > kConfigSpaceSize - size)
    err = pciif::kErrOffset;
  else
    std::memcpy(&value, &config_[offset], size);
  if (back_end_->answer(op, err, value, 0) != BackEnd::Answer::published) return;
  back_end_->notify();
  answered_++;
}

Napi::Function ResponderObject::define(Napi::Env env) {
  return DefineClass(env, "Responder", {InstanceMethod<&ResponderObject::stop>("stop")});
}

Napi::Value ResponderObject::start(Napi::Env env, std::unique_ptr<BackEnd> back_end, const uint8_t* config) {
  Napi::Object object = env.GetInstanceData<Addon>()->responder.New({});
  ResponderObject* self = object.IsEmpty() ? nullptr : Unwrap(object);
  if (!self) return env.Undefined();
  self->responder_ = std::make_unique<Responder>(std::move(back_end), config);
  return object;
}

Napi::Value ResponderObject::stop(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), static_cast<double>(shut()));
}

uint64_t ResponderObject::shut() {
  if (!responder_) return 0;
  const uint64_t answered = responder_->stop();
  responder_.reset();
  return answered;
}

}  // namespace pciback
