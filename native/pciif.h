// The page that a front-end shares with its back-end (xen/include/public/io/pciif.h), as far as native code handles it.
// src/ring/layout.ts has the whole picture.
#pragma once

#include <array>
#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>

namespace pciback::pciif {

static_assert(std::endian::native == std::endian::little, "all fields of the page are little-endian");
static_assert(std::atomic_ref<uint32_t>::is_always_lock_free);

inline constexpr size_t kPageSize = 4096;

// Bit 0 of `flags`, which lies at the start of the page. The other bits are never touched here.
inline constexpr uint32_t kRequestActive = 1u << 0;

// The request follows at byte 4: 137 words.
inline constexpr size_t kOpWords = 137;
using Op = std::array<uint32_t, kOpWords>;
enum OpWord : size_t { kCmd, kErr, kDomain, kBus, kDevfn, kOffset, kSize, kValue, kInfo, kMsixEntries };
inline constexpr uint32_t kMaxMsixEntries = 128;
static_assert(kMsixEntries + kMaxMsixEntries == kOpWords);

inline constexpr uint32_t kConfRead = 0;
inline constexpr uint32_t kConfWrite = 1;
inline constexpr uint32_t kEnableMsix = 4;
inline constexpr int32_t kErrSuccess = 0;
inline constexpr int32_t kErrNoDevice = -1;
inline constexpr int32_t kErrOffset = -2;
inline constexpr int32_t kErrNotImplemented = -4;

// A shared page. The other side may write any byte at any moment, so every access is one atomic access of natural width:
// the compiler may neither repeat nor tear it.
class Page {
 public:
  explicit Page(void* start) : words_(static_cast<uint32_t*>(start)) {}

  std::atomic_ref<uint32_t> flags() const { return std::atomic_ref(words_[0]); }

  // Reads every byte of the request exactly once (XSA-155).
  void copy_op_to(uint32_t* op) const {
    for (size_t i = 0; i < kOpWords; i++) op[i] = op_word(i);
  }
  void copy_op_from(const uint32_t* op) const {
    for (size_t i = 0; i < kOpWords; i++) set_op_word(i, op[i]);
  }
  uint32_t op_word(size_t index) const {
    return std::atomic_ref(words_[1 + index]).load(std::memory_order_relaxed);
  }
  void set_op_word(size_t index, uint32_t value) const {
    std::atomic_ref(words_[1 + index]).store(value, std::memory_order_relaxed);
  }
  // An entry is { u16 vector, u16 entry }; the second half belongs to the front-end.
  void set_vector(size_t index, uint16_t vector) const {
    auto* halves = reinterpret_cast<uint16_t*>(words_ + 1 + kMsixEntries + index);
    std::atomic_ref(halves[0]).store(vector, std::memory_order_relaxed);
  }

 private:
  uint32_t* words_;
};

// One turn of a loop that waits for the other side without sleeping.
inline void relax_cpu() {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

}  // namespace pciback::pciif
