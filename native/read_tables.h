// What JavaScript hands over of the functions on a guest's bus (NativeReadable in src/host/native.ts).
#pragma once

#include <napi.h>

#include <vector>

#include "guest_bus.h"

namespace pciback {

// The functions point into the memory of typed arrays, which is theirs for as long as somebody holds `tables`. False when one of them is
// not what it should be; an exception is pending then, or none.
bool read_functions(const Napi::Array& list, std::vector<ReadableFunction>* functions,
                    std::vector<Napi::ObjectReference>* tables);

}  // namespace pciback
