// Xen's own libraries, loaded when the xen provider is opened: the addon installs and loads where there is no Xen, follows
// the Xen release that is installed, and copies none of its interfaces but the few declarations below.
#pragma once

#include <cstdint>
#include <string>

#include "failure.h"

namespace pciback::xen {

struct xengnttab_handle;
struct xenevtchn_handle;
struct xencall_handle;

// Stable interfaces: their sonames have stood at 1 since Xen 4.7.
struct Libraries {
  // libxengnttab.so.1 (xengnttab.h)
  xengnttab_handle* (*xengnttab_open)(void* logger, unsigned flags);
  int (*xengnttab_close)(xengnttab_handle*);
  void* (*xengnttab_map_grant_ref)(xengnttab_handle*, uint32_t domid, uint32_t ref, int protection);
  int (*xengnttab_unmap)(xengnttab_handle*, void* start, uint32_t count);

  // libxenevtchn.so.1 (xenevtchn.h)
  xenevtchn_handle* (*xenevtchn_open)(void* logger, unsigned flags);
  int (*xenevtchn_close)(xenevtchn_handle*);
  int (*xenevtchn_fd)(xenevtchn_handle*);
  int (*xenevtchn_bind_interdomain)(xenevtchn_handle*, uint32_t domid, uint32_t remote_port);
  int (*xenevtchn_notify)(xenevtchn_handle*, uint32_t port);
  int (*xenevtchn_pending)(xenevtchn_handle*);
  int (*xenevtchn_unmask)(xenevtchn_handle*, uint32_t port);

  // libxencall.so.1 (xencall.h)
  xencall_handle* (*xencall_open)(void* logger, unsigned flags);
  int (*xencall_close)(xencall_handle*);
  int (*xencall2)(xencall_handle*, unsigned op, uint64_t first, uint64_t second);
  void* (*xencall_alloc_buffer)(xencall_handle*, size_t bytes);
  void (*xencall_free_buffer)(xencall_handle*, void*);
};

// Loads all of them, once for the process. On failure `missing` names the library or the function that is not there.
const Libraries* load_libraries(std::string* missing);

}  // namespace pciback::xen
