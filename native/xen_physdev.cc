// Physdev operations of the xen provider. Their numbers and layouts are a stable interface (xen/include/public/physdev.h). What
// their structures do not use is zero.
#include <cerrno>
#include <cstddef>
#include <cstring>

#include "xen_hypervisor.h"

namespace pciback::xen {
namespace {

constexpr unsigned kPhysdevOp = 33;  // __HYPERVISOR_physdev_op

enum class Operation : uint64_t {
  map_pirq = 13,
  unmap_pirq = 14,
  restore_msi_ext = 27,
  prepare_msix = 30,
  release_msix = 31,
};

constexpr int32_t kGsi = 1;         // MAP_PIRQ_TYPE_GSI
constexpr int32_t kMsi = 3;         // MAP_PIRQ_TYPE_MSI_SEG: MSI or, with a table, MSI-X
constexpr int32_t kChosenByXen = -1;

struct MapPirq {
  uint16_t domid;
  uint16_t unused = 0;
  int32_t type;
  int32_t index;
  int32_t pirq;
  int32_t bus;  // segment in the upper half
  int32_t devfn;
  int32_t entry;
  int32_t unused_too = 0;
  uint64_t table_base;
};
static_assert(sizeof(MapPirq) == 40 && offsetof(MapPirq, table_base) == 32);

struct UnmapPirq {
  uint16_t domid;
  uint16_t unused;
  int32_t pirq;
};
static_assert(sizeof(UnmapPirq) == 8);

struct Function {
  uint16_t segment;
  uint8_t bus;
  uint8_t devfn;
};
static_assert(sizeof(Function) == 4);

Function function_at(uint32_t sbdf) {
  return {static_cast<uint16_t>(sbdf >> 16), static_cast<uint8_t>(sbdf >> 8), static_cast<uint8_t>(sbdf)};
}

// The argument goes through memory that the hypervisor can read whatever the kernel does meanwhile (/dev/xen/hypercall).
template <typename Argument>
int physdev_op(Hypervisor* hypervisor, Operation operation, Argument* argument) {
  const auto& [libraries, grants, calls, control] = *mine(hypervisor);
  void* buffer = libraries.xencall_alloc_buffer(calls, sizeof(Argument));
  if (!buffer) return -ENOMEM;
  std::memcpy(buffer, argument, sizeof(Argument));
  const auto address = reinterpret_cast<uint64_t>(buffer);
  const int error = libraries.xencall2(calls, kPhysdevOp, static_cast<uint64_t>(operation), address) < 0 ? -errno : 0;
  std::memcpy(argument, buffer, sizeof(Argument));
  libraries.xencall_free_buffer(calls, buffer);
  return error;
}

int map_pirq(Hypervisor* hypervisor, MapPirq map) {
  const int error = physdev_op(hypervisor, Operation::map_pirq, &map);
  return error < 0 ? error : map.pirq;
}

int about_function(Hypervisor* hypervisor, Operation operation, uint32_t sbdf) {
  Function function = function_at(sbdf);
  return physdev_op(hypervisor, operation, &function);
}

}  // namespace

int map_msi(Hypervisor* hypervisor, uint32_t domid, const MsiVector& vector) {
  const Function function = function_at(vector.sbdf);
  return map_pirq(hypervisor, {
                                  .domid = static_cast<uint16_t>(domid),
                                  .type = kMsi,
                                  .index = kChosenByXen,
                                  .pirq = kChosenByXen,
                                  .bus = function.bus | function.segment << 16,
                                  .devfn = function.devfn,
                                  .entry = vector.entry < 0 ? 0 : vector.entry,
                                  .table_base = vector.table_base,
                              });
}

// As libxl does: a PV guest knows a legacy interrupt by the number that the host has for it.
int map_gsi(Hypervisor* hypervisor, uint32_t domid, uint32_t gsi) {
  const auto number = static_cast<int32_t>(gsi);
  return map_pirq(hypervisor, {
                                  .domid = static_cast<uint16_t>(domid),
                                  .type = kGsi,
                                  .index = number,
                                  .pirq = number,
                                  .bus = 0,
                                  .devfn = 0,
                                  .entry = 0,
                                  .table_base = 0,
                              });
}

int unmap_pirq(Hypervisor* hypervisor, uint32_t domid, uint32_t pirq) {
  UnmapPirq unmap = {static_cast<uint16_t>(domid), 0, static_cast<int32_t>(pirq)};
  return physdev_op(hypervisor, Operation::unmap_pirq, &unmap);
}

int prepare_msix(Hypervisor* hypervisor, uint32_t sbdf) {
  return about_function(hypervisor, Operation::prepare_msix, sbdf);
}

int release_msix(Hypervisor* hypervisor, uint32_t sbdf) {
  return about_function(hypervisor, Operation::release_msix, sbdf);
}

int restore_msi(Hypervisor* hypervisor, uint32_t sbdf) {
  return about_function(hypervisor, Operation::restore_msi_ext, sbdf);
}

}  // namespace pciback::xen
