#include "event_loop_watch.h"

namespace pciback {

Failure EventLoopWatch::start(napi_env env, int fd, Owner* owner, EventLoopWatch** out) {
  uv_loop_t* loop = nullptr;
  // Never uv_default_loop(): in a worker that is the main thread's.
  if (napi_get_uv_event_loop(env, &loop) != napi_ok) return {ENOTSUP, "uv_poll"};
  auto* watch = new EventLoopWatch(env, owner);
  if (const int status = uv_poll_init(loop, &watch->poll_, fd)) {
    delete watch;
    return {-status, "uv_poll"};
  }
  // Asynchronous, because uv_close needs turns of the loop, and the loop must not end before it is through.
  napi_add_async_cleanup_hook(
      env,
      [](napi_async_cleanup_hook_handle, void* self) {
        auto* ending = static_cast<EventLoopWatch*>(self);
        if (ending->owner_) ending->owner_->on_environment_end();
        if (ending->owner_) ending->close();
      },
      watch, &watch->hook_);
  uv_poll_start(&watch->poll_, UV_READABLE, [](uv_poll_t* poll, int status, int) {
    auto* self = static_cast<EventLoopWatch*>(poll->data);
    if (status == 0 && self->owner_) self->owner_->on_readable();
  });
  *out = watch;
  return kSuccess;
}

void EventLoopWatch::close() {
  if (!owner_) return;
  owner_ = nullptr;
  uv_poll_stop(&poll_);
  uv_close(reinterpret_cast<uv_handle_t*>(&poll_), [](uv_handle_t* handle) {
    auto* self = static_cast<EventLoopWatch*>(handle->data);
    napi_remove_async_cleanup_hook(self->hook_);
    delete self;
  });
}

void call_from_event_loop(napi_env env, napi_value function, std::initializer_list<napi_value> arguments) {
  napi_value global, result;
  if (napi_get_global(env, &global) != napi_ok) return;
  const auto status =
      napi_make_callback(env, nullptr, global, function, arguments.size(), arguments.begin(), &result);
  if (status != napi_pending_exception) return;
  napi_value error;
  if (napi_get_and_clear_last_exception(env, &error) == napi_ok) napi_fatal_exception(env, error);
}

}  // namespace pciback
