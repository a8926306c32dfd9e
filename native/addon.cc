// What JavaScript sees of native/. src/host/native.ts gives it types.
#include "attribute_write.h"
#include "config_file.h"
#include "front.h"
#include "hypervisor.h"
#include "js.h"
#include "lock_wait.h"
#include "memory.h"
#include "output_thread.h"
#include "responder.h"
#include "ring.h"
#include "shared_mappings.h"

#include <sched.h>
#include <unistd.h>

namespace pciback {
namespace {

Napi::Value map_file_for_js(const Napi::CallbackInfo& info) {
  constexpr double largest = 1u << 30;
  Arguments arguments(info);
  const std::string path = arguments.text(0, "path");
  const uint32_t length = arguments.integer(1, "bytes", 1, largest);
  const bool create = arguments.boolean(2, "create");
  if (!arguments.ok()) return info.Env().Undefined();
  std::shared_ptr<Mapping> mapping;
  if (Failure failure = map_file(path, length, create, &mapping)) {
    throw_failure(info.Env(), failure, path);
    return info.Env().Undefined();
  }
  void* data = mapping->data();
  return share_buffer(info.Env(), std::move(mapping), data, length);
}

// Detaches the buffer: nothing is read or written through it any more. V8 lets go of its memory then and there, and Node calls
// the finalizer in the next turn of the event loop; the memory itself goes with its last holder in this process.
Napi::Value unmap_file_for_js(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  bool is_mapping = false;
  if (info[0].IsArrayBuffer()) {
    auto buffer = info[0].As<Napi::ArrayBuffer>();
    is_mapping = buffer.IsDetached() || shared_mapping_at(buffer.Data());
    if (is_mapping && !buffer.IsDetached()) buffer.Detach();
  }
  if (!is_mapping)
    Napi::TypeError::New(env, "buffer must be the ArrayBuffer of a mapping").ThrowAsJavaScriptException();
  return env.Undefined();
}

Napi::Value has_vanished(const Napi::CallbackInfo& info) {
  const GuardedRange* range = nullptr;
  if (info[0].IsArrayBuffer()) range = find_guarded(info[0].As<Napi::ArrayBuffer>().Data());
  if (!range) {
    Napi::TypeError::New(info.Env(), "buffer must be the ArrayBuffer of a mapping").ThrowAsJavaScriptException();
    return info.Env().Undefined();
  }
  return Napi::Boolean::New(info.Env(), range->vanished.load());
}

// A function that gives the lock up; false when somebody else holds it.
Napi::Value lock_file_for_js(const Napi::CallbackInfo& info) {
  Arguments arguments(info);
  const std::string path = arguments.text(0, "path");
  if (!arguments.ok()) return info.Env().Undefined();
  int fd = -1;
  if (Failure failure = lock_file(path, &fd)) {
    if (failure.error == EWOULDBLOCK) return Napi::Boolean::New(info.Env(), false);
    throw_failure(info.Env(), failure, path);
    return info.Env().Undefined();
  }
  return unlocker(info.Env(), fd);
}

// What a terminal or a shell does to the group that started this process does not concern it from now on. Its session stays
// the same: a session of its own would be scheduled as a group of its own, and could wait for seconds while the others work.
Napi::Value leave_process_group(const Napi::CallbackInfo& info) {
  if (setpgid(0, 0) != 0) throw_failure(info.Env(), from_errno("setpgid"), "this process");
  return info.Env().Undefined();
}

// The calling thread is scheduled before all that has no claim to real time, or again like the rest (sched(7)). A priority among the rest
// would not do: whatever wakes up there gets the processor for a while, whoever has it. False when this user may not choose.
Napi::Value go_ahead(const Napi::CallbackInfo& info) {
  Arguments arguments(info);
  const bool is_ahead = arguments.boolean(0, "isAhead");
  if (!arguments.ok()) return info.Env().Undefined();
  sched_param lowest = {};
  lowest.sched_priority = is_ahead ? sched_get_priority_min(SCHED_RR) : 0;
  // Threads that this one starts are ordinary ones.
  const int policy = is_ahead ? SCHED_RR | SCHED_RESET_ON_FORK : SCHED_OTHER;
  return Napi::Boolean::New(info.Env(), sched_setscheduler(0, policy, &lowest) == 0);
}

Napi::Value unblock_standard_error_for_js(const Napi::CallbackInfo& info) {
  unblock_standard_error();
  return info.Env().Undefined();
}

Napi::Object init(Napi::Env env, Napi::Object exports) {
  auto* addon = new Addon;
  addon->ring = Napi::Persistent(Ring::define(env));
  addon->responder = Napi::Persistent(ResponderObject::define(env));
  env.SetInstanceData(addon);
  exports.Set("ConfigFile", Napi::Function::New<make_config_file>(env, "ConfigFile"));
  exports.Set("Hypervisor", HypervisorObject::define(env));
  exports.Set("FrontRing", FrontObject::define(env));
  exports.Set("OutputThread", OutputThread::define(env));
  exports.Set("mapFile", Napi::Function::New<map_file_for_js>(env, "mapFile"));
  exports.Set("unmapFile", Napi::Function::New<unmap_file_for_js>(env, "unmapFile"));
  exports.Set("hasVanished", Napi::Function::New<has_vanished>(env, "hasVanished"));
  exports.Set("writeAttribute", Napi::Function::New<write_attribute>(env, "writeAttribute"));
  exports.Set("whenReleased", Napi::Function::New<when_released>(env, "whenReleased"));
  exports.Set("isHeld", Napi::Function::New<is_held>(env, "isHeld"));
  exports.Set("lockFile", Napi::Function::New<lock_file_for_js>(env, "lockFile"));
  exports.Set("waitForLock", Napi::Function::New<wait_for_lock>(env, "waitForLock"));
  exports.Set("goAhead", Napi::Function::New<go_ahead>(env, "goAhead"));
  exports.Set("leaveProcessGroup", Napi::Function::New<leave_process_group>(env, "leaveProcessGroup"));
  exports.Set("unblockStandardError",
              Napi::Function::New<unblock_standard_error_for_js>(env, "unblockStandardError"));
  return exports;
}

}  // namespace

NODE_API_MODULE(pciback, init)

}  // namespace pciback
