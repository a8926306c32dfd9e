// A back-end without JavaScript: a thread that answers conf_read from a table. It is the yardstick that benchmarks measure
// the real one against.
#pragma once

#include <napi.h>

#include <array>
#include <atomic>
#include <memory>
#include <thread>

#include "back_end.h"
#include "fd.h"

namespace pciback {

inline constexpr size_t kConfigSpaceSize = 4096;

class Responder {
 public:
  Responder(std::unique_ptr<BackEnd> back_end, const uint8_t* config);
  ~Responder() { stop(); }

  // Ends the thread. Returns how many requests it answered.
  uint64_t stop();

 private:
  void serve();
  void answer(const uint32_t* op);

  std::unique_ptr<BackEnd> back_end_;
  std::array<uint8_t, kConfigSpaceSize> config_;
  uint64_t answered_ = 0;  // the thread's until it has ended
  std::atomic<bool> stopping_{false};
  Fd stop_event_;
  std::thread thread_;
};

class ResponderObject : public Napi::ObjectWrap<ResponderObject> {
 public:
  static Napi::Function define(Napi::Env env);
  static Napi::Value start(Napi::Env env, std::unique_ptr<BackEnd> back_end, const uint8_t* config);

  explicit ResponderObject(const Napi::CallbackInfo& info) : Napi::ObjectWrap<ResponderObject>(info) {}
  // Also runs when the environment ends, which no thread may outlive: it would take the process with it.
  ~ResponderObject() { shut(); }

 private:
  Napi::Value stop(const Napi::CallbackInfo& info);
  uint64_t shut();

  std::unique_ptr<Responder> responder_;  // null once stopped
};

}  // namespace pciback
