#include "front.h"

#include "js.h"

namespace pciback {

Napi::Function FrontObject::define(Napi::Env env) {
  using Self = FrontObject;
  return DefineClass(env, "FrontRing",
                     {
                         InstanceMethod<&Self::submit>("submit"),
                         InstanceMethod<&Self::poll>("poll"),
                         InstanceMethod<&Self::give_up>("giveUp"),
                         InstanceMethod<&Self::exchange>("exchange"),
                         InstanceMethod<&Self::notify>("notify"),
                         InstanceMethod<&Self::wait_event>("waitEvent"),
                         InstanceMethod<&Self::on_event>("onEvent"),
                         InstanceMethod<&Self::bind_pirq>("bindPirq"),
                         InstanceMethod<&Self::unbind_pirq>("unbindPirq"),
                         InstanceMethod<&Self::pirq_events>("pirqEvents"),
                         InstanceMethod<&Self::close>("close"),
                     });
}

FrontObject::FrontObject(const Napi::CallbackInfo& info) : Napi::ObjectWrap<FrontObject>(info) {
  Arguments arguments(info);
  const std::string directory = arguments.text(0, "directory");
  const uint32_t domid = arguments.domid(1);
  const uint32_t ref = arguments.u32(2, "ref");
  const uint32_t port = arguments.u32(3, "port");
  const uint32_t flags = arguments.u32(4, "flags");
  if (!arguments.ok()) return;
  const Napi::Env env = info.Env();
  if (Failure failure = FrontEnd::create(directory, domid, ref, port, &front_end_)) {
    throw_failure(env, failure, directory + " for domain " + std::to_string(domid));
    return;
  }
  front_end_->set_flags(flags);
  const auto& mapping = front_end_->mapping();
  Napi::Object self = info.This().As<Napi::Object>();
  self.Set("page", share_buffer(env, mapping, mapping->data(), mapping->length()));
  self.Set("ref", Napi::Number::New(env, front_end_->ref()));
  self.Set("port", Napi::Number::New(env, front_end_->port()));
}

// Null, with an exception pending, when the ring was closed.
FrontEnd* FrontObject::front_end(Napi::Env env) {
  if (!front_end_) Napi::Error::New(env, "the front-end's ring is closed").ThrowAsJavaScriptException();
  return front_end_.get();
}

Napi::Value FrontObject::submit(const Napi::CallbackInfo& info) {
  Arguments arguments(info);
  const uint32_t* op = arguments.op(0);
  FrontEnd* front = op ? front_end(info.Env()) : nullptr;
  return front ? Napi::Boolean::New(info.Env(), front->submit(op)) : info.Env().Undefined();
}

Napi::Value FrontObject::poll(const Napi::CallbackInfo& info) {
  Arguments arguments(info);
  uint32_t* op = arguments.op(0);
  FrontEnd* front = op ? front_end(info.Env()) : nullptr;
  return front ? Napi::Boolean::New(info.Env(), front->poll(op)) : info.Env().Undefined();
}

Napi::Value FrontObject::give_up(const Napi::CallbackInfo& info) {
  FrontEnd* front = front_end(info.Env());
  return front ? Napi::Boolean::New(info.Env(), front->give_up()) : info.Env().Undefined();
}

Napi::Value FrontObject::exchange(const Napi::CallbackInfo& info) {
  Arguments arguments(info);
  uint32_t* op = arguments.op(0);
  const uint32_t timeout_ms = arguments.u32(1, "timeoutMs");
  FrontEnd* front = arguments.ok() ? front_end(info.Env()) : nullptr;
  if (!front) return info.Env().Undefined();
  return Napi::Boolean::New(info.Env(), front->exchange(op, timeout_ms) == FrontEnd::Exchange::answered);
}

Napi::Value FrontObject::notify(const Napi::CallbackInfo& info) {
  FrontEnd* front = front_end(info.Env());
  return front ? Napi::Boolean::New(info.Env(), front->notify()) : info.Env().Undefined();
}

Napi::Value FrontObject::wait_event(const Napi::CallbackInfo& info) {
  Arguments arguments(info);
  const uint32_t timeout_ms = arguments.u32(0, "timeoutMs");
  FrontEnd* front = arguments.ok() ? front_end(info.Env()) : nullptr;
  return front ? Napi::Boolean::New(info.Env(), front->wait_event(timeout_ms)) : info.Env().Undefined();
}

void FrontObject::on_event(const Napi::CallbackInfo& info) {
  FrontEnd* front = front_end(info.Env());
  if (!front) return;
  stop_watching();
  if (info[0].IsNull()) return;
  Arguments arguments(info);
  const Napi::Function callback = arguments.function(0, "callback");
  if (!arguments.ok()) return;
  if (Failure failure = EventLoopWatch::start(info.Env(), front->event_fd(), this, &watch_))
    return throw_failure(info.Env(), failure, "event channel");
  callback_ = Napi::Persistent(callback);
}

void FrontObject::bind_pirq(const Napi::CallbackInfo& info) {
  Arguments arguments(info);
  const uint32_t pirq = arguments.u32(0, "pirq");
  FrontEnd* front = arguments.ok() ? front_end(info.Env()) : nullptr;
  if (!front) return;
  if (Failure failure = front->bind_pirq(pirq)) throw_failure(info.Env(), failure, "pirq " + std::to_string(pirq));
}

void FrontObject::unbind_pirq(const Napi::CallbackInfo& info) {
  Arguments arguments(info);
  const uint32_t pirq = arguments.u32(0, "pirq");
  FrontEnd* front = arguments.ok() ? front_end(info.Env()) : nullptr;
  if (front) front->unbind_pirq(pirq);
}

Napi::Value FrontObject::pirq_events(const Napi::CallbackInfo& info) {
  Arguments arguments(info);
  const uint32_t pirq = arguments.u32(0, "pirq");
  const uint32_t timeout_ms = arguments.u32(1, "timeoutMs");
  FrontEnd* front = arguments.ok() ? front_end(info.Env()) : nullptr;
  if (!front) return info.Env().Undefined();
  const int64_t events = front->pirq_events(pirq, timeout_ms);
  if (events < 0) throw_failure(info.Env(), {ENOENT, "pirq_events"}, "pirq " + std::to_string(pirq));
  return Napi::Number::New(info.Env(), static_cast<double>(events));
}

void FrontObject::close(const Napi::CallbackInfo&) { shut(); }

void FrontObject::on_readable() {
  Napi::HandleScope scope(Env());
  [[maybe_unused]] const Napi::Object keeps_this_alive = Value();
  if (front_end_->take_events()) call_from_event_loop(Env(), callback_.Value());
}

void FrontObject::stop_watching() {
  if (watch_) std::exchange(watch_, nullptr)->close();
  callback_.Reset();
}

void FrontObject::shut() {
  stop_watching();
  front_end_.reset();
}

}  // namespace pciback
