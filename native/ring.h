// The object JavaScript holds for one guest's shared page and event channel, on the back-end's side.
#pragma once

#include <napi.h>

#include <memory>

#include "back_end.h"
#include "event_loop_watch.h"

namespace pciback {

// Opens the back-end's end. When it fails, throws in JavaScript and returns false.
bool open_back_end(Napi::Env env, std::shared_ptr<Connection> connection, uint32_t domid, uint32_t ref, uint32_t port,
                   std::unique_ptr<BackEnd>* out);

class Ring : public Napi::ObjectWrap<Ring>, private EventLoopWatch::Owner {
 public:
  static Napi::Function define(Napi::Env env);
  // Throws in JavaScript and returns undefined when it fails.
  static Napi::Value open(Napi::Env env, std::shared_ptr<Connection> connection, uint32_t domid, uint32_t ref,
                          uint32_t port, Napi::Function wake);

  explicit Ring(const Napi::CallbackInfo& info) : Napi::ObjectWrap<Ring>(info) {}
  ~Ring() { shut(); }

 private:
  Napi::Value look(const Napi::CallbackInfo& info);
  Napi::Value answer(const Napi::CallbackInfo& info);
  void rearm(const Napi::CallbackInfo& info);
  void notify(const Napi::CallbackInfo& info);
  void close(const Napi::CallbackInfo& info);

  void on_readable() override;
  void on_environment_end() override { shut(); }
  void shut();

  std::unique_ptr<BackEnd> back_end_;  // null once closed
  EventLoopWatch* watch_ = nullptr;
  Napi::FunctionReference wake_;
  // JavaScript sees these words as `op`; they are never the page's.
  std::shared_ptr<pciif::Op> op_ = std::make_shared<pciif::Op>();
};

}  // namespace pciback
