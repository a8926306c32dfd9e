#include "xen_libraries.h"

#include <dlfcn.h>
#include <unistd.h>

#include <cstdarg>
#include <fstream>
#include <utility>
#include <vector>

namespace pciback::xen {

// struct xentoollog_logger of xentoollog.h: a caller may bring its own.
struct Logger {
  void (*message)(Logger*, int level, int error, const char* context, const char* format, va_list);
  void (*progress)(Logger*, const char* context, const char* doing, int percent, unsigned long done, unsigned long total);
  void (*destroy)(Logger*);
};

Logger* silence() {
  static constinit Logger logger = {
      .message = [](Logger*, int, int, const char*, const char*, va_list) {},
      .progress = nullptr,
      .destroy = [](Logger*) {},
  };
  return &logger;
}

namespace {

#if defined(__x86_64__)
constexpr const char* kMultiarch = "x86_64-linux-gnu";  // Debian's own subdirectory of lib
#elif defined(__aarch64__)
constexpr const char* kMultiarch = "aarch64-linux-gnu";
#else
constexpr const char* kMultiarch = "";  // the other directories will do
#endif

struct Function {
  const char* name;
  void** slot;
};

Failure not_loaded(std::string why) { return {ENOENT, "dlopen", std::move(why)}; }

// Libraries stay loaded: threads of this process share them.
Failure resolve(void* library, const char* soname, std::initializer_list<Function> functions) {
  if (!library) return not_loaded(dlerror());
  for (const auto& [name, slot] : functions) {
    *slot = dlsym(library, name);
    if (!*slot) return not_loaded(std::string(soname) + ": has no function " + name);
  }
  return kSuccess;
}

void* load(const std::string& name) { return dlopen(name.c_str(), RTLD_NOW | RTLD_LOCAL); }

Failure running_release(const std::string& root, Release* out) {
  for (const auto& [name, number] : {std::pair{"major", &out->major}, {"minor", &out->minor}}) {
    const std::string path = root + "/sys/hypervisor/version/" + name;
    std::ifstream file(path);
    if (!(file >> *number)) return {ENOENT, "release", path};
  }
  return kSuccess;
}

// Where distributions and Xen's own `make install` put the libraries that belong to one release.
std::vector<std::string> directories(const std::string& root, const std::string& version) {
  const std::string own = root + "/usr/lib/xen-" + version + "/lib";
  std::vector<std::string> all = {own + "/" + kMultiarch, own + "64", own};
  for (const char* prefix : {"/usr", "/usr/local"})
    for (const std::string& lib : {std::string("/lib/") + kMultiarch, std::string("/lib64"), std::string("/lib")})
      all.push_back(root + prefix + lib);
  return all;
}

// The one of the release that runs, or none: another one speaks to another hypervisor.
Failure load_control(const std::string& root, const std::string& soname, const std::string& version, void** out) {
  *out = load(soname);
  if (*out) return kSuccess;
  std::string why = std::string(dlerror()) + "; not found either in";
  for (const std::string& directory : directories(root, version)) {
    const std::string path = directory + "/" + soname;
    if (access(path.c_str(), F_OK) == 0) {
      *out = load(path);
      return *out ? kSuccess : not_loaded(dlerror());
    }
    why += " " + directory;
  }
  return not_loaded(why);
}

#define SLOT(name) {#name, reinterpret_cast<void**>(&libraries.name)}

Failure load_stable(Libraries& libraries) {
  constexpr const char* grants = "libxengnttab.so.1";
  constexpr const char* channels = "libxenevtchn.so.1";
  constexpr const char* calls = "libxencall.so.1";
  Failure failure =
      resolve(load(grants), grants,
              {SLOT(xengnttab_open), SLOT(xengnttab_close), SLOT(xengnttab_map_grant_ref), SLOT(xengnttab_unmap)});
  if (!failure)
    failure = resolve(load(channels), channels,
                      {SLOT(xenevtchn_open), SLOT(xenevtchn_close), SLOT(xenevtchn_fd), SLOT(xenevtchn_bind_interdomain),
                       SLOT(xenevtchn_notify), SLOT(xenevtchn_pending), SLOT(xenevtchn_unmask)});
  if (!failure)
    failure = resolve(load(calls), calls,
                      {SLOT(xencall_open), SLOT(xencall_close), SLOT(xencall2), SLOT(xencall_alloc_buffer),
                       SLOT(xencall_free_buffer)});
  return failure;
}

Failure load_of_release(const std::string& root, Libraries& libraries) {
  const std::string version = std::to_string(libraries.release.major) + "." + std::to_string(libraries.release.minor);
  const std::string soname = "libxenctrl.so." + version;
  void* library = nullptr;
  if (Failure failure = load_control(root, soname, version, &library)) return failure;
  return resolve(library, soname.c_str(),
                 {SLOT(xc_interface_open), SLOT(xc_interface_close), SLOT(xc_assign_device), SLOT(xc_deassign_device),
                  SLOT(xc_domain_iomem_permission), SLOT(xc_domain_ioport_permission), SLOT(xc_domain_irq_permission),
                  SLOT(xc_domain_pause), SLOT(xc_domain_unpause), SLOT(xc_domain_getinfolist), SLOT(xc_physinfo)});
}

#undef SLOT

}  // namespace

Failure load_libraries(const std::string& root, Libraries* out) {
  const std::string prefix = root == "/" ? "" : root;
  Failure failure = running_release(prefix, &out->release);
  // What is read out of its answers lies where it lies since then (sysctl.h, struct xen_sysctl_physinfo).
  if (!failure && out->release < Release{4, 12}) failure = {ENOTSUP, "release", "Xen before 4.12"};
  if (!failure) failure = load_stable(*out);
  if (!failure) failure = load_of_release(prefix, *out);
  return failure;
}

}  // namespace pciback::xen
