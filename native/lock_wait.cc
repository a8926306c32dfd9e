#include "lock_wait.h"

#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>

#include "js.h"
#include "memory.h"

namespace pciback {
namespace {

// Interrupts flock(). Ignored by default, and neither Node nor libuv has a use for it.
constexpr int kInterrupt = SIGURG;

void make_interruptible() {
  static std::once_flag once;
  std::call_once(once, [] {
    struct sigaction action {};
    // Without SA_RESTART: a system call that it interrupts returns.
    action.sa_handler = [](int) {};
    sigaction(kInterrupt, &action, nullptr);
  });
}

class LockWait {
 public:
  LockWait(Napi::Env env, std::string path, Napi::Function done)
      : path_(std::move(path)), done_(Napi::ThreadSafeFunction::New(env, done, "pciback lock", 0, 1)) {
    make_interruptible();
    thread_ = std::thread([this] { wait(); });
  }
  ~LockWait() {
    give_up();
    if (fd_ >= 0) close(fd_);
  }

  // Returns when the thread has ended. A signal that comes just before the thread enters flock() is lost, so it is sent again.
  void give_up() {
    if (!thread_.joinable()) return;
    given_up_ = true;
    std::unique_lock lock(mutex_);
    while (!over_) {
      pthread_kill(thread_.native_handle(), kInterrupt);
      ended_.wait_for(lock, std::chrono::milliseconds(1));
    }
    lock.unlock();
    thread_.join();
  }

 private:
  void wait() {
    const Failure failure = await_file_lock(path_, given_up_, &fd_);
    const int error = failure.error;
    done_.BlockingCall([this, error](Napi::Env env, Napi::Function done) {
      if (env == nullptr || done == nullptr) return;
      give_up();
      const int fd = std::exchange(fd_, -1);
      done.Call({error ? Napi::Number::New(env, error).As<Napi::Value>() : unlocker(env, fd)});
    });
    done_.Release();
    std::lock_guard lock(mutex_);
    over_ = true;
    ended_.notify_all();
  }

  const std::string path_;
  Napi::ThreadSafeFunction done_;
  std::atomic<bool> given_up_{false};
  int fd_ = -1;
  std::mutex mutex_;
  std::condition_variable ended_;
  bool over_ = false;
  std::thread thread_;
};

}  // namespace

Napi::Value unlocker(Napi::Env env, int fd) {
  return Napi::Function::New(env, [fd](const Napi::CallbackInfo&) mutable {
    if (fd >= 0) close(std::exchange(fd, -1));
  });
}

Napi::Value wait_for_lock(const Napi::CallbackInfo& info) {
  Arguments arguments(info);
  const std::string path = arguments.text(0, "path");
  const Napi::Function done = arguments.function(1, "done");
  if (!arguments.ok()) return info.Env().Undefined();
  // Kept by the environment until its end, for which the thread must not outlive it.
  auto* wait = new LockWait(info.Env(), path, done);
  info.Env().AddCleanupHook([](LockWait* ending) { delete ending; }, wait);
  return Napi::Function::New(info.Env(), [wait](const Napi::CallbackInfo&) { wait->give_up(); });
}

}  // namespace pciback
