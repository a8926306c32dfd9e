// Waits for the lock on a file, on a thread of its own: the kernel gives the lock away the moment its holder dies, and tells
// only those who sleep in flock().
#pragma once

#include <napi.h>

namespace pciback {

// waitForLock(path, done): calls `done` once, with a function that gives the lock up, or with an errno. Returns a function
// that gives the wait up: `done` is then called with ECANCELED unless it has been called. A wait keeps the event loop alive.
Napi::Value wait_for_lock(const Napi::CallbackInfo& info);

// A function that gives up a lock that is held with this descriptor. Losing the function does not lose the lock.
Napi::Value unlocker(Napi::Env env, int fd);

}  // namespace pciback
