#include "js.h"

#include <uv.h>

namespace pciback {

void throw_failure(Napi::Env env, const Failure& failure, const std::string& named) {
  const std::string& subject = failure.subject.empty() ? named : failure.subject;
  const std::string code = uv_err_name(-failure.error);
  const std::string meaning = uv_strerror(-failure.error);
  Napi::Error error = Napi::Error::New(env, code + ": " + meaning + ", " + failure.operation + " " + subject);
  error.Set("code", Napi::String::New(env, code));
  error.Set("errno", Napi::Number::New(env, -failure.error));
  error.Set("syscall", Napi::String::New(env, failure.operation));
  error.Set("subject", Napi::String::New(env, subject));
  error.ThrowAsJavaScriptException();
}

void Arguments::reject(const std::string& sentence) {
  if (ok_) Napi::TypeError::New(info_.Env(), sentence).ThrowAsJavaScriptException();
  ok_ = false;
}

int64_t Arguments::signed_integer(size_t index, const char* name, double first, double last) {
  const Napi::Value value = info_[index];
  if (ok_ && value.IsNumber()) {
    const double number = value.As<Napi::Number>().DoubleValue();
    if (number >= first && number <= last && number == std::floor(number)) return static_cast<int64_t>(number);
  }
  reject(std::string(name) + " must be an integer from " + std::to_string(static_cast<int64_t>(first)) + " to " +
         std::to_string(static_cast<int64_t>(last)));
  return 0;
}

uint32_t Arguments::integer(size_t index, const char* name, double first, double last) {
  return static_cast<uint32_t>(signed_integer(index, name, first, last));
}

uint32_t Arguments::domid_or_io(size_t index) {
  const Napi::Value value = info_[index];
  if (value.IsNumber() && value.As<Napi::Number>().DoubleValue() == kDomidIo) return kDomidIo;
  return domid(index);
}

uint64_t Arguments::u64(size_t index, const char* name) {
  const Napi::Value value = info_[index];
  bool lossless = false;
  uint64_t number = 0;
  if (value.IsBigInt()) number = value.As<Napi::BigInt>().Uint64Value(&lossless);
  if (!lossless) reject(std::string(name) + " must be a bigint of at most 64 bits, not negative");
  return number;
}

std::string Arguments::text(size_t index, const char* name) {
  const Napi::Value value = info_[index];
  if (value.IsString()) {
    std::string text = value.As<Napi::String>();
    if (!text.empty() && text.find('\0') == std::string::npos) return text;
  }
  reject(std::string(name) + " must be a string that is not empty and has no NUL in it");
  return {};
}

bool Arguments::boolean(size_t index, const char* name) {
  const Napi::Value value = info_[index];
  if (value.IsBoolean()) return value.As<Napi::Boolean>();
  reject(std::string(name) + " must be true or false");
  return false;
}

Napi::Uint8Array Arguments::bytes(size_t index, const char* name, size_t length) {
  const Napi::Value value = info_[index];
  if (value.IsTypedArray() && value.As<Napi::TypedArray>().TypedArrayType() == napi_uint8_array) {
    const auto array = value.As<Napi::Uint8Array>();
    if (array.ElementLength() == length) return array;
  }
  reject(std::string(name) + " must be a Uint8Array of " + std::to_string(length) + " bytes");
  return {};
}

Napi::Function Arguments::function(size_t index, const char* name) {
  const Napi::Value value = info_[index];
  if (value.IsFunction()) return value.As<Napi::Function>();
  reject(std::string(name) + " must be a function");
  return {};
}

uint32_t* Arguments::op(size_t index) {
  const Napi::Value value = info_[index];
  if (value.IsTypedArray()) {
    const auto array = value.As<Napi::TypedArray>();
    if (array.TypedArrayType() == napi_int32_array && array.ElementLength() == pciif::kOpWords)
      return reinterpret_cast<uint32_t*>(value.As<Napi::Int32Array>().Data());
  }
  reject("op must be an Int32Array of 137 words");
  return nullptr;
}

}  // namespace pciback
