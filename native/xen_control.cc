// Control operations of the xen provider: which domain has a function, what a domain may touch, and how domains are.
#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstddef>
#include <cstring>

#include "xen_hypervisor.h"

namespace pciback::xen {
namespace {

constexpr unsigned kPageShift = 12;

// What libxl passes for a PV guest: memory that firmware reserved for the function (RMRR) is no reason to refuse it.
constexpr uint32_t kReservedMemoryRelaxed = 1;  // XEN_DOMCTL_DEV_RDM_RELAXED

// The structures of a release are larger than these first fields, and far smaller than this.
constexpr size_t kAnyRelease = 1024;

// xc_domaininfo_t (xen/include/public/domctl.h, struct xen_domctl_getdomaininfo): the same from Xen 4.12 to 4.22
struct DomainInfo {
  uint16_t domid;
  uint32_t flags;
  uint64_t pages[6];
  uint64_t processor_nanoseconds;
  uint32_t nr_online_vcpus, max_vcpu_id, ssidref;
  DomainHandle handle;
};
static_assert(offsetof(DomainInfo, processor_nanoseconds) == 56 && offsetof(DomainInfo, handle) == 76);
constexpr uint64_t kNanosecondsPerSecond = 1'000'000'000;
constexpr uint32_t kDying = 1u << 0;     // XEN_DOMINF_dying
constexpr uint32_t kShutdown = 1u << 2;  // XEN_DOMINF_shutdown
// XEN_DOMINF_shutdownshift, and SHUTDOWN_suspend of sched.h: a domain that stands still to be saved, and may go on.
constexpr uint32_t kReasonShift = 16, kReasonMask = 0xff, kSuspend = 2;

// xc_physinfo_t (xen/include/public/sysctl.h, struct xen_sysctl_physinfo): the same from Xen 4.12 to 4.22
struct PhysInfo {
  uint32_t threads_per_core, cores_per_socket, nr_cpus, max_cpu_id, nr_nodes, max_node_id, cpu_khz;
  uint32_t capabilities;
};
static_assert(sizeof(PhysInfo) == 32);
constexpr uint32_t kDirectIo = 1u << 2;  // XEN_SYSCTL_PHYSCAP_directio

int result_of(int returned) { return returned < 0 ? -errno : 0; }

template <typename Fields>
Fields first_fields(const void* info) {
  Fields fields;
  std::memcpy(&fields, info, sizeof fields);
  return fields;
}

// 1 when the domain exists, 0 when it does not, or a negative errno.
int find_domain(Hypervisor* hypervisor, uint32_t domid, DomainInfo* domain) {
  const XenHypervisor& self = *mine(hypervisor);
  alignas(8) std::byte info[kAnyRelease] = {};
  const int found = self.libraries.xc_domain_getinfolist(self.control, domid, 1, info);
  if (found < 0) return -errno;
  *domain = first_fields<DomainInfo>(info);
  // The list starts with the first domain that exists from `domid` on.
  return found > 0 && domain->domid == domid;
}

}  // namespace

int assign_device(Hypervisor* hypervisor, uint32_t domid, uint32_t sbdf) {
  const XenHypervisor& self = *mine(hypervisor);
  return result_of(self.libraries.xc_assign_device(self.control, domid, sbdf, kReservedMemoryRelaxed));
}

int deassign_device(Hypervisor* hypervisor, uint32_t domid, uint32_t sbdf) {
  const XenHypervisor& self = *mine(hypervisor);
  return result_of(self.libraries.xc_deassign_device(self.control, domid, sbdf));
}

int memory_permission(Hypervisor* hypervisor, uint32_t domid, uint64_t start, uint64_t size, bool allow) {
  if (size == 0 || start + (size - 1) < start) return -EINVAL;
  const XenHypervisor& self = *mine(hypervisor);
  const uint64_t first = start >> kPageShift;
  const uint64_t last = (start + (size - 1)) >> kPageShift;
  return result_of(self.libraries.xc_domain_iomem_permission(self.control, domid, first, last - first + 1, allow));
}

int port_permission(Hypervisor* hypervisor, uint32_t domid, uint32_t first, uint32_t count, bool allow) {
  const XenHypervisor& self = *mine(hypervisor);
  return result_of(self.libraries.xc_domain_ioport_permission(self.control, domid, first, count, allow));
}

int irq_permission(Hypervisor* hypervisor, uint32_t domid, uint32_t pirq, bool allow) {
  const XenHypervisor& self = *mine(hypervisor);
  // Older libraries would drop the upper bits and give away another interrupt.
  if (self.libraries.release < Release{4, 16} && pirq > UINT8_MAX) return -ERANGE;
  return result_of(self.libraries.xc_domain_irq_permission(self.control, domid, pirq, allow));
}

int domain_state(Hypervisor* hypervisor, uint32_t domid) {
  DomainInfo domain;
  const int found = find_domain(hypervisor, domid, &domain);
  if (found < 0) return found;
  if (found == 0) return static_cast<int>(DomainState::absent);
  if (domain.flags & kDying) return static_cast<int>(DomainState::dying);
  const bool is_suspended = ((domain.flags >> kReasonShift) & kReasonMask) == kSuspend;
  const bool has_ended = (domain.flags & kShutdown) && !is_suspended;
  return static_cast<int>(has_ended ? DomainState::shutdown : DomainState::running);
}

int processor_seconds(Hypervisor* hypervisor, uint32_t domid) {
  DomainInfo domain;
  const int found = find_domain(hypervisor, domid, &domain);
  if (found <= 0) return found;
  return static_cast<int>(std::min<uint64_t>(domain.processor_nanoseconds / kNanosecondsPerSecond, INT_MAX));
}

int pause_domain(Hypervisor* hypervisor, uint32_t domid, bool pause) {
  const XenHypervisor& self = *mine(hypervisor);
  const auto call = pause ? self.libraries.xc_domain_pause : self.libraries.xc_domain_unpause;
  return result_of(call(self.control, domid));
}

int domain_handle(Hypervisor* hypervisor, uint32_t domid, DomainHandle* out) {
  DomainInfo domain;
  const int found = find_domain(hypervisor, domid, &domain);
  if (found == 1) *out = domain.handle;
  return found;
}

int has_iommu(Hypervisor* hypervisor) {
  const XenHypervisor& self = *mine(hypervisor);
  alignas(8) std::byte info[kAnyRelease] = {};
  if (self.libraries.xc_physinfo(self.control, info) < 0) return -errno;
  return (first_fields<PhysInfo>(info).capabilities & kDirectIo) != 0;
}

}  // namespace pciback::xen
