#include "attribute_write.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/wait.h>

#include <atomic>
#include <memory>
#include <string>

#include "event_loop_watch.h"
#include "fd.h"
#include "js.h"

namespace pciback {
namespace {

// What the event loop and the thread of a write share; the thread may be the last one to have it.
struct Task {
  std::string writer, held, path, text;  // without a path nothing is written
  Fd finished;                           // an eventfd
  std::atomic<int> error{0};
  std::atomic<bool> abandoned{false};
};

int hold(const std::string& directory, int operation, Fd* out) {
  Fd fd(open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd) return errno;
  while (flock(fd.get(), operation) < 0)
    if (errno != EINTR) return errno;
  *out = std::move(fd);
  return 0;
}

// The program inherits the lock as descriptor 3, and has nothing else of this process: neither its streams, nor its group, which a
// terminal may interrupt. posix_spawn does not copy the memory of this process, and holds up this thread only.
int spawn(const Task& task, const Fd& lock, pid_t* pid) {
  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;
  posix_spawn_file_actions_init(&actions);
  posix_spawnattr_init(&attributes);
  posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDWR, 0);
  posix_spawn_file_actions_adddup2(&actions, 0, 1);
  posix_spawn_file_actions_adddup2(&actions, 0, 2);
  if (lock) posix_spawn_file_actions_adddup2(&actions, lock.get(), 3);
  sigset_t none, all;
  sigemptyset(&none);
  sigfillset(&all);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setsigdefault(&attributes, &all);
  posix_spawnattr_setpgroup(&attributes, 0);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP);
  char* const words[] = {const_cast<char*>(task.writer.c_str()), const_cast<char*>(task.path.c_str()),
                         const_cast<char*>(task.text.c_str()), nullptr};
  char* const environment[] = {nullptr};
  const int error = posix_spawn(pid, task.writer.c_str(), &actions, &attributes, words, environment);
  posix_spawnattr_destroy(&attributes);
  posix_spawn_file_actions_destroy(&actions);
  return error;
}

int perform(const Task& task) {
  Fd lock;
  const int operation = task.path.empty() ? LOCK_SH : LOCK_EX;
  if (!task.held.empty())
    if (const int error = hold(task.held, operation, &lock)) return error;
  if (task.path.empty() || task.abandoned) return 0;
  pid_t pid = 0;
  if (const int error = spawn(task, lock, &pid)) return -error;
  lock.reset();
  int status = 0;
  while (waitpid(pid, &status, 0) < 0)
    if (errno != EINTR) return -errno;
  return WIFEXITED(status) ? WEXITSTATUS(status) : EINTR;
}

void* run(void* argument) {
  const std::unique_ptr<std::shared_ptr<Task>> owned(static_cast<std::shared_ptr<Task>*>(argument));
  Task& task = **owned;
  task.error = perform(task);
  eventfd_write(task.finished.get(), 1);
  return nullptr;
}

// Detached: nobody could wait for it.
int start_thread(const std::shared_ptr<Task>& task) {
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
  auto argument = std::make_unique<std::shared_ptr<Task>>(task);
  pthread_t thread;
  const int error = pthread_create(&thread, &attributes, run, argument.get());
  if (error == 0) argument.release();
  pthread_attr_destroy(&attributes);
  return error;
}

// Tells of the end of a task, on the event loop that began it. Deletes itself.
class Completion final : public EventLoopWatch::Owner {
 public:
  static Failure begin(Napi::Function done, std::shared_ptr<Task> task) {
    task->finished = Fd(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    if (!task->finished) return from_errno("eventfd");
    auto completion = std::unique_ptr<Completion>(new Completion(done, task));
    const int fd = task->finished.get();
    if (Failure failure = EventLoopWatch::start(done.Env(), fd, completion.get(), &completion->watch_)) return failure;
    completion->watch_->unref();
    if (const int error = start_thread(task)) {
      completion->watch_->close();
      return {error, "pthread_create"};
    }
    completion.release();
    return kSuccess;
  }

  void on_readable() override {
    const Napi::Env env = done_.Env();
    const Napi::HandleScope scope(env);
    const Napi::Function done = done_.Value();
    const napi_value error = Napi::Number::New(env, task_->error);
    end();
    call_from_event_loop(env, done, {error});
  }

  void on_environment_end() override {
    task_->abandoned = true;
    end();
  }

 private:
  Completion(Napi::Function done, std::shared_ptr<Task> task) : done_(Napi::Persistent(done)), task_(std::move(task)) {}

  void end() {
    watch_->close();
    delete this;
  }

  Napi::FunctionReference done_;
  std::shared_ptr<Task> task_;
  EventLoopWatch* watch_ = nullptr;
};

Napi::Value begin(const Napi::CallbackInfo& info, Napi::Function done, std::shared_ptr<Task> task) {
  const std::string subject = task->path.empty() ? task->held : task->path;
  if (Failure failure = Completion::begin(done, std::move(task))) throw_failure(info.Env(), failure, subject);
  return info.Env().Undefined();
}

}  // namespace

Napi::Value write_attribute(const Napi::CallbackInfo& info) {
  Arguments arguments(info);
  auto task = std::make_shared<Task>();
  task->writer = arguments.text(0, "writer");
  if (!info[1].IsUndefined()) task->held = arguments.text(1, "held");
  task->path = arguments.text(2, "path");
  task->text = arguments.text(3, "text");
  const Napi::Function done = arguments.function(4, "done");
  if (!arguments.ok()) return info.Env().Undefined();
  return begin(info, done, std::move(task));
}

Napi::Value when_released(const Napi::CallbackInfo& info) {
  Arguments arguments(info);
  auto task = std::make_shared<Task>();
  task->held = arguments.text(0, "held");
  const Napi::Function done = arguments.function(1, "done");
  if (!arguments.ok()) return info.Env().Undefined();
  return begin(info, done, std::move(task));
}

Napi::Value is_held(const Napi::CallbackInfo& info) {
  Arguments arguments(info);
  const std::string held = arguments.text(0, "held");
  if (!arguments.ok()) return info.Env().Undefined();
  Fd lock;
  return Napi::Boolean::New(info.Env(), hold(held, LOCK_SH | LOCK_NB, &lock) == EWOULDBLOCK);
}

}  // namespace pciback
