// What went wrong below JavaScript: the errno, and the operation of the platform that met it.
#pragma once

#include <cerrno>
#include <string>

namespace pciback {

struct [[nodiscard]] Failure {
  int error = 0;  // an errno, or 0 for success
  const char* operation = "";
  std::string subject = {};  // what it met, where that is not what the caller named

  explicit operator bool() const { return error != 0; }
};

inline const Failure kSuccess{};

inline Failure from_errno(const char* operation) { return {errno, operation}; }

}  // namespace pciback
