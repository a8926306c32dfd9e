// What a guest finds on its bus, as far as nothing has to be decided: that there is nobody at an address, and what a register
// shows to who reads it. src/config-space/filter.ts tells how that comes about; here the tables are only read.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "config_file.h"

namespace pciback {

// A function as its reader sees it. The memory is JavaScript's, which changes it on the same thread. Where it belongs to a mapped
// file, the pointer keeps the mapping: JavaScript may unmap the file before it takes the function off the bus.
struct ReadableFunction {
  uint32_t address = 0;               // the guest's: segment << 16 | bus << 8 | devfn
  uint32_t length = 0;                // bytes of configuration space: 256 or 4096
  const uint32_t* live = nullptr;     // bits that a read takes from the hardware, for each dword register
  const uint32_t* shown = nullptr;    // what it shows in the others
  std::shared_ptr<const uint32_t> resetting = {};  // not 0: it answers with ones, because it is being reset
  std::shared_ptr<double> reads = {};              // how many there were
  std::shared_ptr<ConfigFile> hardware = {};  // null: JavaScript has to ask the hardware
};

class GuestBus {
 public:
  struct Answer {
    int32_t err;
    uint32_t value;
  };

  explicit GuestBus(std::vector<ReadableFunction> functions) : functions_(std::move(functions)) {}

  // False when the request in `op` is for JavaScript to answer.
  bool answer(const uint32_t* op, Answer* out) const;

 private:
  const ReadableFunction* find(const uint32_t* op) const;

  const std::vector<ReadableFunction> functions_;
};

}  // namespace pciback
