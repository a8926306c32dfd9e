// Arguments in, errors out: what every class that JavaScript sees needs.
#pragma once

#include <napi.h>

#include <cmath>
#include <memory>
#include <optional>
#include <string>

#include "failure.h"
#include "pciif.h"

namespace pciback {

// The classes of one environment. Constructors are not exported where only native code makes the objects.
struct Addon {
  Napi::FunctionReference ring;
  Napi::FunctionReference responder;
};

inline constexpr double kLastDomid = 32751;   // DOMID_FIRST_RESERVED - 1
inline constexpr uint32_t kDomidIo = 0x7ff1;  // DOMID_IO, which holds the functions that are in quarantine

// An Error with the fields that Node's own system errors have (code, errno, syscall), and the subject: what the caller named,
// unless the failure knows better.
void throw_failure(Napi::Env env, const Failure& failure, const std::string& named);

// Reads arguments one by one. The first wrong one throws a TypeError that says what was expected, and makes `ok` false.
class Arguments {
 public:
  explicit Arguments(const Napi::CallbackInfo& info) : info_(info) {}

  uint32_t integer(size_t index, const char* name, double first, double last);
  uint32_t domid(size_t index) { return integer(index, "domid", 0, kLastDomid); }
  uint32_t domid_or_io(size_t index);
  uint32_t u32(size_t index, const char* name) { return integer(index, name, 0, UINT32_MAX); }
  // A 32-bit register value, whichever sign its reader gave it.
  uint32_t word(size_t index, const char* name) {
    return static_cast<uint32_t>(signed_integer(index, name, INT32_MIN, UINT32_MAX));
  }
  int64_t signed_integer(size_t index, const char* name, double first, double last);
  uint64_t u64(size_t index, const char* name);
  std::string text(size_t index, const char* name);
  bool boolean(size_t index, const char* name);
  Napi::Uint8Array bytes(size_t index, const char* name, size_t length);
  Napi::Function function(size_t index, const char* name);
  // The words of an Int32Array of 137, a request.
  uint32_t* op(size_t index);

  bool ok() const { return ok_; }

 private:
  void reject(const std::string& sentence);

  const Napi::CallbackInfo& info_;
  bool ok_ = true;
};

// An ArrayBuffer over native memory that lives as long as the longer-lived of the buffer and the other owners.
template <typename T>
Napi::ArrayBuffer share_buffer(Napi::Env env, std::shared_ptr<T> owner, void* data, size_t length) {
  auto* kept = new std::shared_ptr<T>(std::move(owner));
  return Napi::ArrayBuffer::New(env, data, length, [](Napi::Env, void*, std::shared_ptr<T>* done) { delete done; }, kept);
}

}  // namespace pciback
