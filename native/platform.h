// What the addon needs of a hypervisor, as a table of operations. A provider fills the table; nothing else in native/ knows
// which one it talks to.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <string>

#include "failure.h"

namespace pciback {

struct Hypervisor;    // a provider's connection to the hypervisor
struct EventChannel;  // one bound port behind a handle of its own, so that a storm on it masks only its maker

struct Grant {
  void* page = nullptr;
  // Becomes true when the page is taken away while it is mapped; null where that cannot happen.
  const std::atomic<bool>* vanished = nullptr;
  void* provider_data = nullptr;
};

// One message-signalled vector of a function of this host, as PHYSDEVOP_map_pirq wants it.
struct MsiVector {
  uint32_t sbdf = 0;
  int32_t entry = -1;       // MSI-X table entry, or -1 for MSI
  uint64_t table_base = 0;  // start of the BAR that holds the MSI-X table, or 0
};

using DomainHandle = std::array<uint8_t, 16>;

enum class DomainState { absent = 0, running = 1, shutdown = 2, dying = 3 };

// Functions go by segment << 16 | bus << 8 | devfn. What returns an int returns a negative errno when it fails, and 0 when it
// succeeds unless something else is said.
struct PlatformOps {
  const char* name;

  // `where` is the directory of the loopback provider; of the xen provider the root of the file system, "/".
  Failure (*open)(const std::string& where, Hypervisor** out);
  void (*close)(Hypervisor*);

  Failure (*map_grant)(Hypervisor*, uint32_t domid, uint32_t ref, Grant* out);
  void (*unmap_grant)(Hypervisor*, Grant*);

  Failure (*bind_interdomain)(Hypervisor*, uint32_t domid, uint32_t remote_port, EventChannel** out);
  void (*unbind)(EventChannel*);
  uint32_t (*local_port)(const EventChannel*);
  // Readable while an event is pending and not masked.
  int (*event_fd)(const EventChannel*);
  // Takes the pending event, if there is one. The port is masked from then on until `unmask`: that is the late EOI of
  // XSA-332, by which a storm costs one event per unmask.
  bool (*take_pending)(EventChannel*);
  void (*unmask)(EventChannel*);
  void (*notify)(EventChannel*);
  // Removes what a dead process left of its local port. Null where the hypervisor does so.
  void (*discard_port)(Hypervisor*, uint32_t port);

  // A pirq > 0 of the guest for the vector, or a negative errno.
  int (*map_msi)(Hypervisor*, uint32_t domid, const MsiVector&);
  int (*unmap_pirq)(Hypervisor*, uint32_t domid, uint32_t pirq);
  // Says again that the guest holds a pirq which an earlier process mapped for it. Null where the hypervisor remembers.
  int (*claim_pirq)(Hypervisor*, uint32_t domid, uint32_t pirq);
  // The domain is gone: forgets all its pirqs. Null where the hypervisor does so.
  void (*release_pirqs)(Hypervisor*, uint32_t domid);
  // Delivers an interrupt in place of the hardware. Null where there is hardware.
  Failure (*raise_pirq)(Hypervisor*, uint32_t domid, uint32_t pirq);

  // What follows is null where functions are not hardware, `domain_state` excepted.

  // A pirq > 0 of the guest for the legacy interrupt `gsi`.
  int (*map_gsi)(Hypervisor*, uint32_t domid, uint32_t gsi);
  // Lets the hypervisor find the MSI-X table, which a guest may not write from then on; the function must decode memory,
  // and must have the MSI-X capability: Xen takes that for granted.
  int (*prepare_msix)(Hypervisor*, uint32_t sbdf);
  int (*release_msix)(Hypervisor*, uint32_t sbdf);
  // Writes the mapped vectors into the function again, after a reset.
  int (*restore_msi)(Hypervisor*, uint32_t sbdf);

  // Gives the function's DMA to a domain, or takes it; domid may be DOMID_IO.
  int (*assign_device)(Hypervisor*, uint32_t domid, uint32_t sbdf);
  int (*deassign_device)(Hypervisor*, uint32_t domid, uint32_t sbdf);
  // Bytes, rounded out to whole pages.
  int (*memory_permission)(Hypervisor*, uint32_t domid, uint64_t start, uint64_t size, bool allow);
  int (*port_permission)(Hypervisor*, uint32_t domid, uint32_t first, uint32_t count, bool allow);
  int (*irq_permission)(Hypervisor*, uint32_t domid, uint32_t pirq, bool allow);

  // A DomainState.
  int (*domain_state)(Hypervisor*, uint32_t domid);
  // How long the processors of a domain have run so far, in whole seconds; 0 for a domain that is absent.
  int (*processor_seconds)(Hypervisor*, uint32_t domid);
  // Stops all processors of a domain, or lets them go on. Pauses are counted: the domain runs when each has been undone.
  int (*pause_domain)(Hypervisor*, uint32_t domid, bool pause);
  // The 16 bytes by which a toolstack knows the domain: its UUID. 1 when there is such a domain, else 0.
  int (*domain_handle)(Hypervisor*, uint32_t domid, DomainHandle* out);
  // 1 when an IOMMU confines the DMA of functions, else 0.
  int (*has_iommu)(Hypervisor*);
};

// The provider of this name; null when there is none.
const PlatformOps* find_platform(const std::string& name);

// "A hypervisor in a directory" (loopback.cc).
extern const PlatformOps kLoopbackPlatform;
// Xen, through its own libraries (xen.cc).
extern const PlatformOps kXenPlatform;

// A connection with the operations that belong to it. Rings share it, so it may be dropped before them.
class Connection {
 public:
  static Failure open(const PlatformOps& ops, const std::string& where, std::shared_ptr<Connection>* out);
  Connection(const PlatformOps& ops, Hypervisor* hypervisor) : ops(ops), hypervisor(hypervisor) {}
  Connection(const Connection&) = delete;
  ~Connection() { ops.close(hypervisor); }

  const PlatformOps& ops;
  Hypervisor* const hypervisor;
};

}  // namespace pciback
