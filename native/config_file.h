// The configuration space of a function of this host: a sysfs `config` file.
#pragma once

#include <napi.h>

#include <memory>
#include <string>

#include "failure.h"
#include "fd.h"

namespace pciback {

// An access must be of 1, 2 or 4 bytes, aligned, and inside the configuration space; each is one system call.
class ConfigFile {
 public:
  // Makes sure that all of the configuration space can be read.
  static Failure open(const std::string& path, std::shared_ptr<ConfigFile>* out);
  ConfigFile(Fd file, uint32_t length) : file_(std::move(file)), length_(length) {}

  uint32_t length() const { return length_; }  // 256 or 4096
  // All ones is what the host's bridge answers for a function that is not there.
  uint32_t read(uint32_t offset, uint32_t size) const;
  // False when the kernel did not take it.
  bool write(uint32_t offset, uint32_t size, uint32_t value) const;
  // From now on the function is absent.
  void close() { file_.reset(); }

 private:
  Fd file_;
  const uint32_t length_;
};

// `new ConfigFile(path)` of JavaScript.
Napi::Value make_config_file(const Napi::CallbackInfo& info);
// What `make_config_file` has made; null for any other value.
std::shared_ptr<ConfigFile> config_file_of(const Napi::Value& value);

}  // namespace pciback
