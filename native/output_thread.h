// Writes to a descriptor on a thread of its own. A write may block for ever, in a terminal that is stopped or in a pipe that nobody reads,
// and so may a disk. Nothing ever waits for the thread: it is detached, and the end of the process ends it wherever it is.
#pragma once

#include <napi.h>

#include <memory>
#include <thread>

namespace pciback {

class OutputThread : public Napi::ObjectWrap<OutputThread> {
 public:
  static Napi::Function define(Napi::Env env);

  // new OutputThread(fd, done): `done` is called without arguments after each write. A write that is under way does not keep the event
  // loop alive unless `hold` says so.
  explicit OutputThread(const Napi::CallbackInfo& info);
  ~OutputThread();

 private:
  struct Shared;

  // begin(bytes, isFreshLine): hands bytes over, one write at a time. With `isFreshLine` a newline comes before them if the descriptor is
  // of a file whose last line has no end.
  Napi::Value begin(const Napi::CallbackInfo& info);
  // take(): what the write that ended has come to, once: the bytes that were written, or a negative errno; null before that.
  Napi::Value take(const Napi::CallbackInfo& info);
  // wait(milliseconds): waits for the end of the write. False when it is still under way.
  Napi::Value wait(const Napi::CallbackInfo& info);
  // hold(isHeld)
  Napi::Value hold(const Napi::CallbackInfo& info);

  std::shared_ptr<Shared> shared_;
};

// What is printed to standard error without asking anybody, as by V8 when it gives up, must not block either: a terminal or a pipe there is
// opened anew without blocking, so that nobody else who has it open notices. Left as it is where that is not possible.
void unblock_standard_error();

}  // namespace pciback
