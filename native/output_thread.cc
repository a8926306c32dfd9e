#include "output_thread.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <string>

#include "fd.h"
#include "js.h"

namespace pciback {
namespace {

// Returns what was written, or a negative errno. A descriptor that another process made non-blocking is waited for all the same.
ssize_t write_some(int fd, const char* data, size_t length) {
  for (;;) {
    const ssize_t written = write(fd, data, length);
    if (written >= 0) return written;
    if (errno == EAGAIN) {
      pollfd room{fd, POLLOUT, 0};
      poll(&room, 1, -1);
    } else if (errno != EINTR) {
      return -errno;
    }
  }
}

std::string path_of(int fd) { return "/proc/self/fd/" + std::to_string(fd); }

// Only of a regular file can that be known.
bool ends_within_a_line(int fd) {
  struct stat facts {};
  if (fstat(fd, &facts) != 0 || !S_ISREG(facts.st_mode) || facts.st_size == 0) return false;
  const Fd reader(open(path_of(fd).c_str(), O_RDONLY | O_CLOEXEC));
  char last = '\n';
  return reader && pread(reader.get(), &last, 1, facts.st_size - 1) == 1 && last != '\n';
}

}  // namespace

// Belongs to the object and to the thread, whichever ends last.
struct OutputThread::Shared {
  int fd = -1;
  std::mutex mutex;
  std::condition_variable changed;
  Napi::ThreadSafeFunction done;  // not to be touched any more when `is_over`
  bool is_over = false;
  bool is_busy = false;
  bool is_fresh_line = false;
  std::string bytes;
  std::optional<ssize_t> result;

  void run() {
    // Signals are for the threads of Node. A terminal would stop the process for what is written in the background (tostop), were
    // SIGTTOU not blocked here.
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, nullptr);
    std::unique_lock lock(mutex);
    for (;;) {
      changed.wait(lock, [this] { return is_busy || is_over; });
      if (!is_busy) return;
      lock.unlock();
      const ssize_t written = write_bytes();
      lock.lock();
      is_busy = false;
      result = written;
      changed.notify_all();
      if (!is_over) done.NonBlockingCall();
    }
  }

  void end() {
    std::lock_guard lock(mutex);
    if (is_over) return;
    is_over = true;
    done.Release();
    changed.notify_all();
  }

  ssize_t write_bytes() {
    if (is_fresh_line && ends_within_a_line(fd)) {
      if (const ssize_t written = write_some(fd, "\n", 1); written < 0) return written;
    }
    return write_some(fd, bytes.data(), bytes.size());
  }
};

Napi::Function OutputThread::define(Napi::Env env) {
  return DefineClass(env, "OutputThread",
                     {InstanceMethod<&OutputThread::begin>("begin"), InstanceMethod<&OutputThread::take>("take"),
                      InstanceMethod<&OutputThread::wait>("wait"), InstanceMethod<&OutputThread::hold>("hold")});
}

OutputThread::OutputThread(const Napi::CallbackInfo& info) : Napi::ObjectWrap<OutputThread>(info) {
  Arguments arguments(info);
  const int fd = static_cast<int>(arguments.integer(0, "fd", 0, INT32_MAX));
  const Napi::Function done = arguments.function(1, "done");
  if (!arguments.ok()) return;
  shared_ = std::make_shared<Shared>();
  shared_->fd = fd;
  shared_->done = Napi::ThreadSafeFunction::New(info.Env(), done, "pciback output", 0, 1);
  shared_->done.Unref(info.Env());
  // Comes before what Node does to the function at the end of the environment, for it was added after that.
  info.Env().AddCleanupHook([shared = shared_] { shared->end(); });
  std::thread([shared = shared_] { shared->run(); }).detach();
}

OutputThread::~OutputThread() {
  if (shared_) shared_->end();
}

Napi::Value OutputThread::begin(const Napi::CallbackInfo& info) {
  Arguments arguments(info);
  const bool is_fresh_line = arguments.boolean(1, "isFreshLine");
  if (!arguments.ok()) return info.Env().Undefined();
  if (!info[0].IsTypedArray() || info[0].As<Napi::TypedArray>().TypedArrayType() != napi_uint8_array) {
    Napi::TypeError::New(info.Env(), "bytes must be a Uint8Array").ThrowAsJavaScriptException();
    return info.Env().Undefined();
  }
  const auto bytes = info[0].As<Napi::Uint8Array>();
  std::lock_guard lock(shared_->mutex);
  if (shared_->is_busy || shared_->is_over) {
    Napi::Error::New(info.Env(), "a write is under way").ThrowAsJavaScriptException();
    return info.Env().Undefined();
  }
  shared_->bytes.assign(reinterpret_cast<const char*>(bytes.Data()), bytes.ElementLength());
  shared_->is_fresh_line = is_fresh_line;
  shared_->result.reset();
  shared_->is_busy = true;
  shared_->changed.notify_all();
  return info.Env().Undefined();
}

Napi::Value OutputThread::take(const Napi::CallbackInfo& info) {
  std::lock_guard lock(shared_->mutex);
  if (!shared_->result) return info.Env().Null();
  const auto result = static_cast<double>(*shared_->result);
  shared_->result.reset();
  return Napi::Number::New(info.Env(), result);
}

Napi::Value OutputThread::wait(const Napi::CallbackInfo& info) {
  Arguments arguments(info);
  const uint32_t milliseconds = arguments.u32(0, "milliseconds");
  if (!arguments.ok()) return info.Env().Undefined();
  std::unique_lock lock(shared_->mutex);
  const bool is_done =
      shared_->changed.wait_for(lock, std::chrono::milliseconds(milliseconds), [this] { return !shared_->is_busy; });
  return Napi::Boolean::New(info.Env(), is_done);
}

Napi::Value OutputThread::hold(const Napi::CallbackInfo& info) {
  Arguments arguments(info);
  const bool is_held = arguments.boolean(0, "isHeld");
  if (!arguments.ok()) return info.Env().Undefined();
  if (is_held)
    shared_->done.Ref(info.Env());
  else
    shared_->done.Unref(info.Env());
  return info.Env().Undefined();
}

void unblock_standard_error() {
  struct stat facts {};
  if (fstat(STDERR_FILENO, &facts) != 0 || !(S_ISFIFO(facts.st_mode) || isatty(STDERR_FILENO))) return;
  const Fd anew(open(path_of(STDERR_FILENO).c_str(), O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
  if (anew) dup2(anew.get(), STDERR_FILENO);
}

}  // namespace pciback
