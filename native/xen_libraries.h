// Xen's own libraries, loaded when the xen provider is opened: the addon installs and loads where there is no Xen, follows
// the Xen release that runs, and copies none of its interfaces but the few declarations below.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "failure.h"

namespace pciback::xen {

struct Logger;  // xentoollog.h
struct xengnttab_handle;
struct xenevtchn_handle;
struct xencall_handle;
struct xc_interface;

struct Release {
  unsigned major = 0;
  unsigned minor = 0;

  auto operator<=>(const Release&) const = default;
};

struct Libraries {
  Release release;  // of the hypervisor that runs

  // Stable interfaces: their sonames have stood at 1 since Xen 4.7.

  // libxengnttab.so.1 (xengnttab.h)
  xengnttab_handle* (*xengnttab_open)(Logger*, unsigned flags);
  int (*xengnttab_close)(xengnttab_handle*);
  void* (*xengnttab_map_grant_ref)(xengnttab_handle*, uint32_t domid, uint32_t ref, int protection);
  int (*xengnttab_unmap)(xengnttab_handle*, void* start, uint32_t count);

  // libxenevtchn.so.1 (xenevtchn.h)
  xenevtchn_handle* (*xenevtchn_open)(Logger*, unsigned flags);
  int (*xenevtchn_close)(xenevtchn_handle*);
  int (*xenevtchn_fd)(xenevtchn_handle*);
  int (*xenevtchn_bind_interdomain)(xenevtchn_handle*, uint32_t domid, uint32_t remote_port);
  int (*xenevtchn_notify)(xenevtchn_handle*, uint32_t port);
  int (*xenevtchn_pending)(xenevtchn_handle*);
  int (*xenevtchn_unmask)(xenevtchn_handle*, uint32_t port);

  // libxencall.so.1 (xencall.h)
  xencall_handle* (*xencall_open)(Logger*, unsigned flags);
  int (*xencall_close)(xencall_handle*);
  int (*xencall2)(xencall_handle*, unsigned op, uint64_t first, uint64_t second);
  void* (*xencall_alloc_buffer)(xencall_handle*, size_t bytes);
  void (*xencall_free_buffer)(xencall_handle*, void*);

  // libxenctrl.so.MAJOR.MINOR (xenctrl.h): it belongs to one release, whose domctl and sysctl it speaks. These functions have
  // had these signatures since Xen 4.12, but for two widths: `pirq` was a uint8_t before 4.16, and `allow` is a uint8_t or a
  // bool here and there, which a 0 or a 1 in a whole register satisfies as well.
  xc_interface* (*xc_interface_open)(Logger*, Logger* domain_builder, unsigned flags);
  int (*xc_interface_close)(xc_interface*);
  int (*xc_assign_device)(xc_interface*, uint32_t domid, uint32_t sbdf, uint32_t flags);
  int (*xc_deassign_device)(xc_interface*, uint32_t domid, uint32_t sbdf);
  int (*xc_domain_iomem_permission)(xc_interface*, uint32_t domid, unsigned long first_frame, unsigned long frames,
                                    uint32_t allow);
  int (*xc_domain_ioport_permission)(xc_interface*, uint32_t domid, uint32_t first, uint32_t count, uint32_t allow);
  int (*xc_domain_irq_permission)(xc_interface*, uint32_t domid, uint32_t pirq, uint32_t allow);
  int (*xc_domain_pause)(xc_interface*, uint32_t domid);
  int (*xc_domain_unpause)(xc_interface*, uint32_t domid);
  int (*xc_domain_getinfolist)(xc_interface*, uint32_t first_domid, unsigned count, void* infos);
  int (*xc_physinfo)(xc_interface*, void* info);
};

// Given to the libraries, which would write to the standard error: what fails is told by its errno.
Logger* silence();

// Loads all of them. `root` is "/", or a directory that holds a sys/ and a usr/lib of its own. Fails with the operation
// "release" when no hypervisor says which one it is, with "dlopen" and the loader's sentence when a library is missing.
Failure load_libraries(const std::string& root, Libraries* out);

}  // namespace pciback::xen
