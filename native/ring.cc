#include "ring.h"

#include <algorithm>
#include <cstddef>

#include "js.h"
#include "read_tables.h"

namespace pciback {

Napi::Function Ring::define(Napi::Env env) {
  return DefineClass(env, "Ring",
                     {
                         InstanceMethod<&Ring::look>("look"),
                         InstanceMethod<&Ring::answer_reads>("answerReads"),
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
  Napi::ArrayBuffer buffer = share_buffer(env, ring->shared_, ring->shared_.get(), sizeof(Shared));
  object.Set("op", Napi::Int32Array::New(env, pciif::kOpWords, buffer, offsetof(Shared, op)));
  object.Set("tally", Napi::Uint32Array::New(env, 3, buffer, offsetof(Shared, answered)));
  object.Set("localPort", Napi::Number::New(env, ring->back_end_->local_port()));
  return object;
}

Napi::Value Ring::look(const Napi::CallbackInfo& info) {
  Arguments arguments(info);
  Pace pace;
  pace.turns = arguments.u32(0, "turns");
  pace.most_turns = arguments.u32(1, "mostTurns");
  pace.batch = arguments.u32(2, "batch");
  pace.hurry = arguments.u32(3, "hurry");
  if (!arguments.ok()) return info.Env().Undefined();
  pace_ = pace;
  if (std::exchange(idled_, false)) pace.turns = 1;
  return Napi::Number::New(info.Env(), static_cast<uint32_t>(serve(pace)));
}

BackEnd::Look Ring::serve(Pace pace) {
  using Look = BackEnd::Look;
  if (!back_end_) return Look::vanished;
  uint32_t* const op = shared_->op.data();
  uint32_t turns = 0;
  Look found = back_end_->look(pace.turns, op, &turns);
  for (uint32_t spent = 0; found == Look::request;) {
    GuestBus::Answer answer;
    if (!bus_ || !bus_->answer(op, &answer)) break;
    const BackEnd::Answer outcome = back_end_->answer(op, answer.err, answer.value, 0);
    if (outcome == BackEnd::Answer::vanished) return Look::vanished;
    bool untold = outcome == BackEnd::Answer::published;
    const auto tell = [&] {
      if (std::exchange(untold, false)) back_end_->notify();
    };
    (untold ? shared_->answered : shared_->abandoned)++;
    const uint32_t cost = 1 + std::exchange(turns, 0) / kTurnsPerRequest;
    shared_->spent += cost;
    spent += cost;
    const bool last = spent >= pace.batch;
    if (last || !hurries_) tell();
    if (last) return Look::busy;
    // Whoever asks for the next thing knows of this answer. To be told of it would take longer than all the rest.
    found = back_end_->look(pace.hurry, op, &turns);
    hurries_ = found == Look::request;
    if (found != Look::idle) continue;
    tell();
    pace.turns = pace.turns > pace.most_turns / 2 ? pace.most_turns : 2 * pace.turns;
    found = back_end_->look(pace.turns, op, &turns);
  }
  shared_->spent += turns / kTurnsPerRequest;
  return found;
}

void Ring::answer_reads(const Napi::CallbackInfo& info) {
  std::vector<ReadableFunction> functions;
  std::vector<Napi::ObjectReference> tables;
  const bool understood = info[0].IsArray() && read_functions(info[0].As<Napi::Array>(), &functions, &tables);
  if (!understood) {
    if (!info.Env().IsExceptionPending())
      Napi::TypeError::New(info.Env(), "functions must be an array of functions with their tables")
          .ThrowAsJavaScriptException();
    return;
  }
  if (!back_end_) return;
  bus_ = std::make_unique<GuestBus>(std::move(functions));
  tables_ = std::move(tables);
}

Napi::Value Ring::answer(const Napi::CallbackInfo& info) {
  Arguments arguments(info);
  const uint32_t err = arguments.word(0, "err");
  const uint32_t value = arguments.word(1, "value");
  const uint32_t vectors = arguments.integer(2, "vectors", 0, pciif::kMaxMsixEntries);
  if (!arguments.ok()) return info.Env().Undefined();
  const auto outcome = back_end_ ? back_end_->answer(shared_->op.data(), static_cast<int32_t>(err), value, vectors)
                                 : BackEnd::Answer::vanished;
  if (outcome == BackEnd::Answer::published) back_end_->notify();
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
  if (!back_end_->take_pending()) return;
  // First of all: to call JavaScript takes longer than to answer.
  if (bus_ && back_end_->asked()) idled_ = serve(pace_) == BackEnd::Look::idle;
  call_from_event_loop(Env(), wake_.Value());
}

void Ring::shut() {
  if (watch_) std::exchange(watch_, nullptr)->close();
  back_end_.reset();
  bus_.reset();
  tables_.clear();
  wake_.Reset();
}

}  // namespace pciback
