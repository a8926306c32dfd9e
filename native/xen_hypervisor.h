// The xen provider's connection, and the operations that need the hypervisor's privileged interfaces.
#pragma once

#include "platform.h"
#include "xen_libraries.h"

namespace pciback::xen {

struct XenHypervisor {
  Libraries libraries = {};
  xengnttab_handle* grants = nullptr;
  xencall_handle* calls = nullptr;
  xc_interface* control = nullptr;

  XenHypervisor() = default;
  XenHypervisor(const XenHypervisor&) = delete;
  ~XenHypervisor() {
    if (control) libraries.xc_interface_close(control);
    if (calls) libraries.xencall_close(calls);
    if (grants) libraries.xengnttab_close(grants);
  }
};

inline XenHypervisor* mine(Hypervisor* hypervisor) { return reinterpret_cast<XenHypervisor*>(hypervisor); }

// Each returns what the table of operations says of it (platform.h).

// xen_physdev.cc: interrupts and the hypervisor's view of a function, through libxencall
int map_msi(Hypervisor*, uint32_t domid, const MsiVector&);
int map_gsi(Hypervisor*, uint32_t domid, uint32_t gsi);
int unmap_pirq(Hypervisor*, uint32_t domid, uint32_t pirq);
int prepare_msix(Hypervisor*, uint32_t sbdf);
int release_msix(Hypervisor*, uint32_t sbdf);
int restore_msi(Hypervisor*, uint32_t sbdf);

// xen_control.cc: domains and what they may touch, through libxenctrl
int assign_device(Hypervisor*, uint32_t domid, uint32_t sbdf);
int deassign_device(Hypervisor*, uint32_t domid, uint32_t sbdf);
int memory_permission(Hypervisor*, uint32_t domid, uint64_t start, uint64_t size, bool allow);
int port_permission(Hypervisor*, uint32_t domid, uint32_t first, uint32_t count, bool allow);
int irq_permission(Hypervisor*, uint32_t domid, uint32_t pirq, bool allow);
int domain_state(Hypervisor*, uint32_t domid);
int processor_seconds(Hypervisor*, uint32_t domid);
int pause_domain(Hypervisor*, uint32_t domid, bool pause);
int domain_handle(Hypervisor*, uint32_t domid, DomainHandle* out);
int has_iommu(Hypervisor*);

}  // namespace pciback::xen
