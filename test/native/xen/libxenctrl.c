#include "fake.h"

void *xc_interface_open(void *logger, void *domain_builder, unsigned flags) {
  (void)flags;
  return open_handle("xc_interface_open", domain_builder ? logger : NULL, 1);
}

int xc_interface_close(void *handle) {
  note("xc_interface_close");
  free(handle);
  return 0;
}

int xc_assign_device(void *handle, uint32_t domid, uint32_t sbdf, uint32_t flags) {
  (void)handle;
  note("xc_assign_device %u %08x %u", domid, sbdf, flags);
  return result_of("xc_assign_device");
}

int xc_deassign_device(void *handle, uint32_t domid, uint32_t sbdf) {
  (void)handle;
  note("xc_deassign_device %u %08x", domid, sbdf);
  return result_of("xc_deassign_device");
}

int xc_domain_iomem_permission(void *handle, uint32_t domid, unsigned long first, unsigned long count, uint8_t allow) {
  (void)handle;
  note("xc_domain_iomem_permission %u %lx %lx %u", domid, first, count, allow);
  return result_of("xc_domain_iomem_permission");
}

int xc_domain_ioport_permission(void *handle, uint32_t domid, uint32_t first, uint32_t count, uint32_t allow) {
  (void)handle;
  note("xc_domain_ioport_permission %u %x %x %u", domid, first, count, allow);
  return result_of("xc_domain_ioport_permission");
}

int xc_domain_irq_permission(void *handle, uint32_t domid, uint32_t pirq, bool allow) {
  (void)handle;
  note("xc_domain_irq_permission %u %u %d", domid, pirq, allow);
  return result_of("xc_domain_irq_permission");
}

int xc_domain_pause(void *handle, uint32_t domid) {
  (void)handle;
  note("xc_domain_pause %u", domid);
  return result_of("xc_domain_pause");
}

int xc_domain_unpause(void *handle, uint32_t domid) {
  (void)handle;
  note("xc_domain_unpause %u", domid);
  return result_of("xc_domain_unpause");
}

// struct xen_domctl_getdomaininfo starts with a 16-bit id, 16 bits that mean nothing here, 32 bits of flags, and six numbers of
// pages; then it says how many nanoseconds its processors ran. The script says how many domains there are from `first` on, which the
// next one is, its flags, these nanoseconds, and each of the 16 bytes of its handle.
int xc_domain_getinfolist(void *handle, uint32_t first, unsigned count, void *info) {
  (void)handle;
  note("xc_domain_getinfolist %u %u", first, count);
  const int found = result_of("xc_domain_getinfolist");
  const uint16_t start[2] = {(uint16_t)scripted("next_domid"), 0xffff};
  const uint32_t flags = (uint32_t)scripted("flags");
  const uint64_t ran = (uint64_t)scripted("ran");
  if (found <= 0) return found;
  memset(info, 0xaa, 112);
  memset((uint8_t *)info + 76, scripted("handle"), 16);
  memcpy(info, start, sizeof start);
  memcpy((uint8_t *)info + 4, &flags, sizeof flags);
  memcpy((uint8_t *)info + 56, &ran, sizeof ran);
  return found;
}

// struct xen_sysctl_physinfo: the capabilities are the eighth word.
int xc_physinfo(void *handle, void *info) {
  (void)handle;
  note("xc_physinfo");
  const uint32_t capabilities = (uint32_t)scripted("capabilities");
  if (result_of("xc_physinfo") < 0) return -1;
  memset(info, 0xff, 112);
  memcpy((uint32_t *)info + 7, &capabilities, sizeof capabilities);
  return 0;
}
