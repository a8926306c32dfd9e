// The object JavaScript holds for a simulated guest's end of a page and a channel.
#pragma once

#include <napi.h>

#include <memory>

#include "event_loop_watch.h"
#include "front_end.h"

namespace pciback {

class FrontObject : public Napi::ObjectWrap<FrontObject>, private EventLoopWatch::Owner {
 public:
  static Napi::Function define(Napi::Env env);
  explicit FrontObject(const Napi::CallbackInfo& info);
  ~FrontObject() { shut(); }

 private:
  Napi::Value submit(const Napi::CallbackInfo& info);
  Napi::Value poll(const Napi::CallbackInfo& info);
  Napi::Value give_up(const Napi::CallbackInfo& info);
  Napi::Value exchange(const Napi::CallbackInfo& info);
  Napi::Value notify(const Napi::CallbackInfo& info);
  Napi::Value wait_event(const Napi::CallbackInfo& info);
  void on_event(const Napi::CallbackInfo& info);
  void bind_pirq(const Napi::CallbackInfo& info);
  void unbind_pirq(const Napi::CallbackInfo& info);
  Napi::Value pirq_events(const Napi::CallbackInfo& info);
  void close(const Napi::CallbackInfo& info);

  void on_readable() override;
  void on_environment_end() override { shut(); }
  FrontEnd* front_end(Napi::Env env);
  void stop_watching();
  void shut();

  std::unique_ptr<FrontEnd> front_end_;  // null once closed
  EventLoopWatch* watch_ = nullptr;
  Napi::FunctionReference callback_;
};

}  // namespace pciback
