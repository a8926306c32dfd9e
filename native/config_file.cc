#include "config_file.h"

#include <endian.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fd.h"
#include "js.h"

namespace pciback {
namespace {

constexpr off_t kHeaderSize = 64;
constexpr off_t kConventionalSize = 256;
constexpr off_t kExtendedSize = 4096;

struct ConfigFile {
  Fd file;  // closed: an absent function
  uint32_t length = 0;
};

// Makes sure that all of the configuration space can be read.
Failure open_config(const std::string& path, ConfigFile* out) {
  Fd opened(open(path.c_str(), O_RDWR | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  if (!opened) return from_errno("open");
  struct stat status;
  if (fstat(opened.get(), &status) < 0) return from_errno("fstat");
  if (!S_ISREG(status.st_mode)) return {EINVAL, "open"};
  // Without CAP_SYS_ADMIN Linux ends the file after the header, whatever its size says (drivers/pci/pci-sysfs.c).
  uint8_t first_past_header;
  if (status.st_size <= kHeaderSize || pread(opened.get(), &first_past_header, 1, kHeaderSize) != 1)
    return {EACCES, "open"};
  if (status.st_size != kConventionalSize && status.st_size != kExtendedSize) return {EINVAL, "open"};
  *out = {std::move(opened), static_cast<uint32_t>(status.st_size)};
  return kSuccess;
}

// Accesses are on the request path of guests, and a call should cost little more than its system call. Hence numbers are taken
// as they come: what is no number counts as 0, any other modulo 2^32.
uint32_t word(const Napi::CallbackInfo& info, size_t index) {
  uint32_t number = 0;
  napi_get_value_uint32(info.Env(), info[index], &number);
  return number;
}

bool covers(Napi::Env env, uint32_t length, uint32_t offset, uint32_t size) {
  if ((size == 1 || size == 2 || size == 4) && offset % size == 0 && offset < length) return true;
  Napi::RangeError::New(env, "an access must be of 1, 2 or 4 bytes, aligned, and inside the configuration space")
      .ThrowAsJavaScriptException();
  return false;
}

// All ones is what the host's bridge answers for a function that is not there.
Napi::Value read(const Napi::CallbackInfo& info, const ConfigFile& config) {
  const uint32_t offset = word(info, 0);
  const uint32_t size = word(info, 1);
  if (!covers(info.Env(), config.length, offset, size)) return {};
  uint32_t bytes = 0;
  const bool answered = pread(config.file.get(), &bytes, size, offset) == static_cast<ssize_t>(size);
  return Napi::Number::New(info.Env(), answered ? le32toh(bytes) : UINT32_MAX >> (32 - 8 * size));
}

Napi::Value write(const Napi::CallbackInfo& info, const ConfigFile& config) {
  const uint32_t offset = word(info, 0);
  const uint32_t size = word(info, 1);
  if (!covers(info.Env(), config.length, offset, size)) return {};
  const uint32_t bytes = htole32(word(info, 2));
  const bool written = pwrite(config.file.get(), &bytes, size, offset) == static_cast<ssize_t>(size);
  return Napi::Boolean::New(info.Env(), written);
}

}  // namespace

// The functions hold the file themselves: to find it through the object they are called on takes longer than all the rest that a
// call costs beside its system call.
Napi::Value make_config_file(const Napi::CallbackInfo& info) {
  using Info = const Napi::CallbackInfo&;
  const Napi::Env env = info.Env();
  Arguments arguments(info);
  const std::string path = arguments.text(0, "path");
  if (!arguments.ok()) return env.Undefined();
  const auto config = std::make_shared<ConfigFile>();
  if (Failure failure = open_config(path, config.get())) {
    throw_failure(env, failure, path);
    return env.Undefined();
  }
  auto object = Napi::Object::New(env);
  object.Set("length", Napi::Number::New(env, config->length));
  object.Set("read", Napi::Function::New(env, [config](Info call) { return read(call, *config); }));
  object.Set("write", Napi::Function::New(env, [config](Info call) { return write(call, *config); }));
  object.Set("close", Napi::Function::New(env, [config](Info) { config->file.reset(); }));
  return object;
}

}  // namespace pciback
