// Watches a file descriptor on the event loop of the environment (main thread or worker) that asked for it, and outlives
// neither: libuv aborts the process when a loop ends with an open handle.
#pragma once

#include <node_api.h>
#include <uv.h>

#include <initializer_list>

#include "failure.h"

namespace pciback {

class EventLoopWatch {
 public:
  class Owner {
   public:
    virtual void on_readable() = 0;
    // The environment ends. The owner releases what it holds, and closes the watch at the latest now.
    virtual void on_environment_end() = 0;

   protected:
    ~Owner() = default;
  };

  static Failure start(napi_env env, int fd, Owner* owner, EventLoopWatch** out);
  // The event loop may end although this watch is not closed.
  void unref() { uv_unref(reinterpret_cast<uv_handle_t*>(&poll_)); }
  // Never calls the owner again; the descriptor may be closed at once. The watch deletes itself later.
  void close();

 private:
  EventLoopWatch(napi_env env, Owner* owner) : env_(env), owner_(owner) { poll_.data = this; }

  napi_env env_;
  Owner* owner_;
  uv_poll_t poll_;
  napi_async_cleanup_hook_handle hook_ = nullptr;
};

// Calls a JavaScript function from the event loop, with microtasks run afterwards. What it throws becomes an uncaught
// exception, as with any other event; nothing happens when the environment no longer runs JavaScript.
void call_from_event_loop(napi_env env, napi_value function, std::initializer_list<napi_value> arguments = {});

}  // namespace pciback
