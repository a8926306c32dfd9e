#include "config_file.h"

#include <endian.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "js.h"

namespace pciback {
namespace {

constexpr off_t kHeaderSize = 64;
constexpr off_t kConventionalSize = 256;
constexpr off_t kExtendedSize = 4096;

// By which the objects of `make_config_file` are known.
constexpr napi_type_tag kTag = {0x6b6361626963702f, 0x656c6966676e6f63};

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

Napi::Value read(const Napi::CallbackInfo& info, const ConfigFile& config) {
  const uint32_t offset = word(info, 0);
  const uint32_t size = word(info, 1);
  if (!covers(info.Env(), config.length(), offset, size)) return {};
  return Napi::Number::New(info.Env(), config.read(offset, size));
}

Napi::Value write(const Napi::CallbackInfo& info, const ConfigFile& config) {
  const uint32_t offset = word(info, 0);
  const uint32_t size = word(info, 1);
  if (!covers(info.Env(), config.length(), offset, size)) return {};
  return Napi::Boolean::New(info.Env(), config.write(offset, size, word(info, 2)));
}

}  // namespace

Failure ConfigFile::open(const std::string& path, std::shared_ptr<ConfigFile>* out) {
  Fd opened(::open(path.c_str(), O_RDWR | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  if (!opened) return from_errno("open");
  struct stat status;
  if (fstat(opened.get(), &status) < 0) return from_errno("fstat");
  if (!S_ISREG(status.st_mode)) return {EINVAL, "open"};
  // Without CAP_SYS_ADMIN Linux ends the file after the header, whatever its size says (drivers/pci/pci-sysfs.c).
  uint8_t first_past_header;
  if (status.st_size <= kHeaderSize || pread(opened.get(), &first_past_header, 1, kHeaderSize) != 1)
    return {EACCES, "open"};
  if (status.st_size != kConventionalSize && status.st_size != kExtendedSize) return {EINVAL, "open"};
  *out = std::make_shared<ConfigFile>(std::move(opened), static_cast<uint32_t>(status.st_size));
  return kSuccess;
}

uint32_t ConfigFile::read(uint32_t offset, uint32_t size) const {
  uint32_t bytes = 0;
  const bool answered = pread(file_.get(), &bytes, size, offset) == static_cast<ssize_t>(size);
  return answered ? le32toh(bytes) : UINT32_MAX >> (32 - 8 * size);
}

bool ConfigFile::write(uint32_t offset, uint32_t size, uint32_t value) const {
  const uint32_t bytes = htole32(value);
  return pwrite(file_.get(), &bytes, size, offset) == static_cast<ssize_t>(size);
}

// The functions hold the file themselves: to find it through the object they are called on takes longer than all the rest that a
// call costs beside its system call.
Napi::Value make_config_file(const Napi::CallbackInfo& info) {
  using Info = const Napi::CallbackInfo&;
  const Napi::Env env = info.Env();
  Arguments arguments(info);
  const std::string path = arguments.text(0, "path");
  if (!arguments.ok()) return env.Undefined();
  std::shared_ptr<ConfigFile> config;
  if (Failure failure = ConfigFile::open(path, &config)) {
    throw_failure(env, failure, path);
    return env.Undefined();
  }
  auto object = Napi::Object::New(env);
  object.Set("length", Napi::Number::New(env, config->length()));
  object.Set("read", Napi::Function::New(env, [config](Info call) { return read(call, *config); }));
  object.Set("write", Napi::Function::New(env, [config](Info call) { return write(call, *config); }));
  object.Set("close", Napi::Function::New(env, [config](Info) { config->close(); }));
  const auto forget = [](napi_env, void* held, void*) { delete static_cast<std::shared_ptr<ConfigFile>*>(held); };
  auto held = std::make_unique<std::shared_ptr<ConfigFile>>(config);
  if (napi_wrap(env, object, held.get(), forget, nullptr, nullptr) == napi_ok) {
    held.release();
    object.TypeTag(&kTag);
  }
  return object;
}

std::shared_ptr<ConfigFile> config_file_of(const Napi::Value& value) {
  if (!value.IsObject() || !value.As<Napi::Object>().CheckTypeTag(&kTag)) return nullptr;
  void* held = nullptr;
  if (napi_unwrap(value.Env(), value, &held) != napi_ok) return nullptr;
  return *static_cast<std::shared_ptr<ConfigFile>*>(held);
}

}  // namespace pciback
