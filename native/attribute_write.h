// Writing attributes of sysfs without waiting for the kernel: a store can take as long as a device takes to answer, and can then not be
// interrupted. A thread that waited there would keep the process from ending, and the locks of the process with it; hence a program of
// its own does it. A lock on the directory of what is worked on tells everybody that somebody is at work there, also when the process that
// began it is gone.
#pragma once

#include <napi.h>

namespace pciback {

// writeAttribute(writer, held, path, text, done): has the program `writer` write `text` to `path` as soon as nobody else has the directory
// `held` (undefined: none), and calls `done` with 0, an errno, or the negative errno with which the program could not be run. Does not
// keep the event loop alive. What waits for the directory when its environment ends is not written; what has begun goes on.
Napi::Value write_attribute(const Napi::CallbackInfo& info);

// whenReleased(held, done): calls `done` with 0 as soon as nobody has the directory, or with an errno.
Napi::Value when_released(const Napi::CallbackInfo& info);

// isHeld(held): whether somebody has the directory now.
Napi::Value is_held(const Napi::CallbackInfo& info);

}  // namespace pciback
