#include "ring.h"

#include "js.h"

namespace pciback {

Napi::Function Ring::define(Napi::Env env) {
  return DefineClass(env, "Ring",
                     {
                         InstanceMethod<&Ring::look>("look"),
                         InstanceMethod<&Ring::answer>("answer"),
                         InstanceMethod<&Ring::rearm>("rearm"),
                         InstanceMethod<&Ring::notify>("notify"),
                         InstanceMethod<&Ring::close>("close"),
                     });
}

bool open_back_end(Napi::Env env, std::shared_ptr<Connection> connection, uint32_t domid, uint32_t ref, uint32_t port,
                   std::unique_ptr<BackEnd>* out) {
  BackEnd::Stage stage;
  Failure failure = BackEnd::open(std::move(connection), domid, ref, port, &stage, out);
  if (!failure) return true;
  const bool grant = stage == BackEnd::Stage::map_grant;
  failure.operation = grant ? "map_grant" : "bind_interdomain";
  throw_failure(env, failure, std::to_string(domid) + "/" + std::to_string(grant ? ref : port));
  return false;
}

Napi::Value Ring::open(Napi::Env env, std::shared_ptr<Connection> connection, uint32_t domid, uint32_t ref, uint32_t port,
                       Napi::Function wake) {
  std::unique_ptr<BackEnd> back_end;
  if (!open_back_end(env, std::move(connection), domid, ref, port, &back_end)) return env.Undefined();
  Napi::Object object = env.GetInstanceData<Addon>()->ring.New({});
  Ring* ring = object.IsEmpty() ? nullptr : Ring::Unwrap(object);
  if (!ring) return env.Undefined();
  ring->back_end_ = std::move(back_end);
  ring->wake_ = Napi::Persistent(wake);
  if (Failure failure = EventLoopWatch::start(env, ring->back_end_->event_fd(), ring, &ring->watch_)) {
    ring->shut();
    throw_failure(env, failure, "event channel");
    return env.Undefined();
  }
  Napi::ArrayBuffer buffer = share_buffer(env, ring->op_, ring->op_->data(), sizeof(pciif::Op));
  object.Set("op", Napi::Int32Array::New(env, pciif::kOpWords, buffer, 0));
  object.Set("localPort", Napi::Number::New(env, ring->back_end_->local_port()));
  return object;
}

Napi::Value Ring::look(const Napi::CallbackInfo& info) {
  Arguments arguments(info);
  const uint32_t turns = arguments.u32(0, "turns");
  if (!arguments.ok()) return info.Env().Undefined();
  const auto found = back_end_ ? back_end_->look(turns, op_->data()) : BackEnd::Look::vanished;
  return Napi::Number::New(info.Env(), static_cast<uint32_t>(found));
}

Napi::Value Ring::answer(const Napi::CallbackInfo& info) {
  Arguments arguments(info);
  const uint32_t err = arguments.word(0, "err");
  const uint32_t value = arguments.word(1, "value");
  const uint32_t vectors = arguments.integer(2, "vectors", 0, pciif::kMaxMsixEntries);
  if (!arguments.ok()) return info.Env().Undefined();
  const auto outcome = back_end_ ? back_end_->answer(op_->data(), static_cast<int32_t>(err), value, vectors)
                                 : BackEnd::Answer::vanished;
  return Napi::Number::New(info.Env(), static_cast<uint32_t>(outcome));
}

void Ring::rearm(const Napi::CallbackInfo&) {
  if (back_end_) back_end_->unmask();
}

void Ring::notify(const Napi::CallbackInfo&) {
  if (back_end_) back_end_->notify();
}

void Ring::close(const Napi::CallbackInfo&) { shut(); }

void Ring::on_readable() {
  Napi::HandleScope scope(Env());
  [[maybe_unused]] const Napi::Object keeps_this_alive = Value();
  if (back_end_->take_pending()) call_from_event_loop(Env(), wake_.Value());
}

void Ring::shut() {
  if (watch_) std::exchange(watch_, nullptr)->close();
  back_end_.reset();
  wake_.Reset();
}

}  // namespace pciback
