#include "xen_libraries.h"

#include <dlfcn.h>

namespace pciback::xen {
namespace {

struct Function {
  const char* name;
  void** slot;
};

bool load(const char* soname, std::initializer_list<Function> functions, std::string* missing) {
  void* library = dlopen(soname, RTLD_NOW | RTLD_LOCAL);
  if (!library) {
    *missing = soname;
    return false;
  }
  for (const auto& [name, slot] : functions) {
    *slot = dlsym(library, name);
    if (*slot) continue;
    *missing = std::string(name) + " in " + soname;
    return false;
  }
  return true;
}

#define SLOT(name) {#name, reinterpret_cast<void**>(&libraries.name)}

bool load_all(Libraries& libraries, std::string* missing) {
  return load("libxengnttab.so.1",
              {SLOT(xengnttab_open), SLOT(xengnttab_close), SLOT(xengnttab_map_grant_ref), SLOT(xengnttab_unmap)},
              missing) &&
         load("libxenevtchn.so.1",
              {SLOT(xenevtchn_open), SLOT(xenevtchn_close), SLOT(xenevtchn_fd), SLOT(xenevtchn_bind_interdomain),
               SLOT(xenevtchn_notify), SLOT(xenevtchn_pending), SLOT(xenevtchn_unmask)},
              missing) &&
         load("libxencall.so.1",
              {SLOT(xencall_open), SLOT(xencall_close), SLOT(xencall2), SLOT(xencall_alloc_buffer),
               SLOT(xencall_free_buffer)},
              missing);
}

#undef SLOT

}  // namespace

const Libraries* load_libraries(std::string* missing) {
  struct Loaded {
    Libraries libraries = {};
    std::string missing;
    bool complete = load_all(libraries, &missing);
  };
  static const Loaded loaded;
  if (!loaded.complete) *missing = loaded.missing;
  return loaded.complete ? &loaded.libraries : nullptr;
}

}  // namespace pciback::xen
