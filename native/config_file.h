// The configuration space of a function of this host, as JavaScript reads and writes it: a sysfs `config` file.
#pragma once

#include <napi.h>

namespace pciback {

// `new ConfigFile(path)` of JavaScript.
Napi::Value make_config_file(const Napi::CallbackInfo& info);

}  // namespace pciback
