// The object JavaScript holds for one guest's shared page and event channel, on the back-end's side.
#pragma once

#include <napi.h>

#include <memory>
#include <vector>

#include "back_end.h"
#include "event_loop_watch.h"
#include "guest_bus.h"

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
  // How long a look lasts, and how much of the thread's time it may take.
  struct Pace {
    uint32_t turns = 1;
    uint32_t most_turns = 1;
    uint32_t batch = 1;
    uint32_t hurry = 1;  // turns in which the next request of a front-end comes that does nothing but ask
  };
  // What JavaScript sees of the requests. It is never the page's memory.
  struct Shared {
    pciif::Op op;
    // Without JavaScript, modulo 2^32.
    uint32_t answered;
    uint32_t abandoned;  // nobody waited for them any more
    uint32_t spent;      // of the batch: one for each request, and for each `kTurnsPerRequest` that were waited for one
  };

  Napi::Value look(const Napi::CallbackInfo& info);
  void answer_reads(const Napi::CallbackInfo& info);
  Napi::Value answer(const Napi::CallbackInfo& info);
  void rearm(const Napi::CallbackInfo& info);
  void notify(const Napi::CallbackInfo& info);
  void close(const Napi::CallbackInfo& info);

  // A guest decides how long it lets us wait for its next request.
  static constexpr uint32_t kTurnsPerRequest = 64;

  BackEnd::Look serve(Pace pace);
  void on_readable() override;
  void on_environment_end() override { shut(); }
  void shut();

  std::unique_ptr<BackEnd> back_end_;  // null once closed
  EventLoopWatch* watch_ = nullptr;
  Napi::FunctionReference wake_;
  std::shared_ptr<Shared> shared_ = std::make_shared<Shared>();
  std::unique_ptr<GuestBus> bus_;              // null: JavaScript answers everything
  std::vector<Napi::ObjectReference> tables_;  // whose memory it reads
  Pace pace_;                                  // of the last look
  bool idled_ = false;                         // an event has had us look already, and found nothing more
  bool hurries_ = false;                       // the front-end's last request came within `hurry` turns of an answer
};

}  // namespace pciback
