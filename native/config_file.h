// The configuration space of a function of this host, as JavaScript reads and writes it: a sysfs `config` file.
#pragma once

#include <napi.h>

#include "fd.h"

namespace pciback {

class ConfigFile : public Napi::ObjectWrap<ConfigFile> {
 public:
  static Napi::Function define(Napi::Env env);
  explicit ConfigFile(const Napi::CallbackInfo& info);

 private:
  Napi::Value read(const Napi::CallbackInfo& info);
  Napi::Value write(const Napi::CallbackInfo& info);
  void close(const Napi::CallbackInfo& info);

  bool covers(Napi::Env env, uint32_t offset, uint32_t size) const;

  Fd file_;  // closed: an absent function
  uint32_t length_ = 0;
};

}  // namespace pciback
