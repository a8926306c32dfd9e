#include "config_file.h"

#include <endian.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "js.h"

namespace pciback {
namespace {

constexpr uint32_t kHeaderSize = 64;
constexpr off_t kConventionalSize = 256;
constexpr off_t kExtendedSize = 4096;

// On the request path of guests: no check of the type, no exception. What is no number counts as 0, and any number is taken
// modulo 2^32.
uint32_t word(const Napi::CallbackInfo& info, size_t index) {
  uint32_t number = 0;
  napi_get_value_uint32(info.Env(), info[index], &number);
  return number;
}

// The length of the configuration space, once it is sure that all of it can be read.
Failure open_config(const std::string& path, Fd* file, uint32_t* length) {
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
  *file = std::move(opened);
  *length = static_cast<uint32_t>(status.st_size);
  return kSuccess;
}

}  // namespace

Napi::Function ConfigFile::define(Napi::Env env) {
  return DefineClass(env, "ConfigFile",
                     {
                         InstanceMethod<&ConfigFile::read>("read"),
                         InstanceMethod<&ConfigFile::write>("write"),
                         InstanceMethod<&ConfigFile::close>("close"),
                     });
}

ConfigFile::ConfigFile(const Napi::CallbackInfo& info) : Napi::ObjectWrap<ConfigFile>(info) {
  Arguments arguments(info);
  const std::string path = arguments.text(0, "path");
  if (!arguments.ok()) return;
  if (Failure failure = open_config(path, &file_, &length_)) {
    throw_failure(info.Env(), failure, path);
    return;
  }
  info.This().As<Napi::Object>().Set("length", Napi::Number::New(info.Env(), length_));
}

bool ConfigFile::covers(Napi::Env env, uint32_t offset, uint32_t size) const {
  if ((size == 1 || size == 2 || size == 4) && offset % size == 0 && offset < length_) return true;
  Napi::RangeError::New(env, "an access must be of 1, 2 or 4 bytes, aligned, and inside the configuration space")
      .ThrowAsJavaScriptException();
  return false;
}

// All ones is what the host's bridge answers for a function that is not there.
Napi::Value ConfigFile::read(const Napi::CallbackInfo& info) {
  const uint32_t offset = word(info, 0);
  const uint32_t size = word(info, 1);
  if (!covers(info.Env(), offset, size)) return {};
  uint32_t bytes = 0;
  uint32_t value = UINT32_MAX >> (32 - 8 * size);
  if (pread(file_.get(), &bytes, size, offset) == static_cast<ssize_t>(size)) value = le32toh(bytes);
  return Napi::Number::New(info.Env(), value);
}

Napi::Value ConfigFile::write(const Napi::CallbackInfo& info) {
  const uint32_t offset = word(info, 0);
  const uint32_t size = word(info, 1);
  if (!covers(info.Env(), offset, size)) return {};
  const uint32_t bytes = htole32(word(info, 2));
  const bool written = pwrite(file_.get(), &bytes, size, offset) == static_cast<ssize_t>(size);
  return Napi::Boolean::New(info.Env(), written);
}

void ConfigFile::close(const Napi::CallbackInfo&) { file_.reset(); }

}  // namespace pciback
