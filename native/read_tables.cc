#include "read_tables.h"

#include "shared_mappings.h"

namespace pciback {
namespace {

bool read_number(const Napi::Object& object, const char* name, uint32_t* out) {
  const Napi::Value value = object.Get(name);
  if (value.IsEmpty() || !value.IsNumber()) return false;
  *out = value.As<Napi::Number>().Uint32Value();
  return true;
}

// The memory of a typed array with so many elements, which `tables` keeps from here on; null when it is none.
void* read_table(const Napi::Object& object, const char* name, napi_typedarray_type type, size_t length,
                 std::vector<Napi::ObjectReference>* tables) {
  const Napi::Value value = object.Get(name);
  if (value.IsEmpty() || !value.IsTypedArray()) return nullptr;
  const auto array = value.As<Napi::TypedArray>();
  if (array.TypedArrayType() != type || array.ElementLength() != length) return nullptr;
  tables->push_back(Napi::Persistent(value.As<Napi::Object>()));
  return static_cast<uint8_t*>(array.ArrayBuffer().Data()) + array.ByteOffset();
}

template <typename Element>
std::shared_ptr<Element> keeping_its_mapping(void* table) {
  return {table ? shared_mapping_at(table) : nullptr, static_cast<Element*>(table)};
}

bool read_function(const Napi::Value& value, ReadableFunction* out, std::vector<Napi::ObjectReference>* tables) {
  if (value.IsEmpty() || !value.IsObject()) return false;
  const auto object = value.As<Napi::Object>();
  if (!read_number(object, "address", &out->address) || !read_number(object, "length", &out->length)) return false;
  if (out->length != 256 && out->length != 4096) return false;
  const size_t dwords = out->length / 4;
  out->live = static_cast<uint32_t*>(read_table(object, "live", napi_uint32_array, dwords, tables));
  out->shown = static_cast<uint32_t*>(read_table(object, "shown", napi_uint32_array, dwords, tables));
  out->resetting = keeping_its_mapping<const uint32_t>(read_table(object, "resetting", napi_uint32_array, 1, tables));
  out->reads = keeping_its_mapping<double>(read_table(object, "reads", napi_float64_array, 1, tables));
  const Napi::Value hardware = object.Get("hardware");
  if (hardware.IsEmpty() || !out->live || !out->shown || !out->resetting || !out->reads) return false;
  out->hardware = config_file_of(hardware);
  return true;
}

}  // namespace

bool read_functions(const Napi::Array& list, std::vector<ReadableFunction>* functions,
                    std::vector<Napi::ObjectReference>* tables) {
  for (uint32_t index = 0; index < list.Length(); index++) {
    ReadableFunction function;
    if (!read_function(list.Get(index), &function, tables)) return false;
    functions->push_back(std::move(function));
  }
  return true;
}

}  // namespace pciback
