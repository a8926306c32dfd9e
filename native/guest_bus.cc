#include "guest_bus.h"

#include "pciif.h"

namespace pciback {
namespace {

// The same as `ConfigFilter.read`, but for live registers of hardware that only JavaScript reaches.
bool read(const ReadableFunction& function, uint32_t offset, uint32_t size, GuestBus::Answer* out) {
  if ((size != 1 && size != 2 && size != 4) || offset % size != 0 || offset >= function.length) {
    *out = {pciif::kErrOffset, 0};
    return true;
  }
  const uint32_t all = UINT32_MAX >> (32 - 8 * size);
  uint32_t value = all;
  if (*function.resetting == 0) {
    const uint32_t shift = offset % 4 * 8;
    const uint32_t live = (function.live[offset / 4] >> shift) & all;
    value = (function.shown[offset / 4] >> shift) & all & ~live;
    if (live != 0) {
      if (!function.hardware) return false;
      value |= function.hardware->read(offset, size) & live;
    }
  }
  *function.reads += 1;
  *out = {pciif::kErrSuccess, value};
  return true;
}

}  // namespace

bool GuestBus::answer(const uint32_t* op, Answer* out) const {
  const ReadableFunction* function = find(op);
  if (!function) {
    *out = {pciif::kErrNoDevice, op[pciif::kValue]};
    return true;
  }
  return op[pciif::kCmd] == pciif::kConfRead && read(*function, op[pciif::kOffset], op[pciif::kSize], out);
}

const ReadableFunction* GuestBus::find(const uint32_t* op) const {
  const uint32_t segment = op[pciif::kDomain], bus = op[pciif::kBus], devfn = op[pciif::kDevfn];
  if (segment > 0xffff || bus > 0xff || devfn > 0xff) return nullptr;
  for (const ReadableFunction& function : functions_)
    if (function.address == (segment << 16 | bus << 8 | devfn)) return &function;
  return nullptr;
}

}  // namespace pciback
