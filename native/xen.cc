// The xen provider: grants, event channels and physdev operations through Xen's own libraries. The caller is domain 0.
#include <fcntl.h>
#include <sys/mman.h>

#include <cerrno>
#include <cstring>

#include "platform.h"
#include "xen_libraries.h"

namespace pciback {
namespace {

using xen::Libraries;

// __HYPERVISOR_physdev_op and its operations (xen/include/public/physdev.h): a stable interface.
constexpr unsigned kPhysdevOp = 33;
constexpr uint64_t kMapPirq = 13;
constexpr uint64_t kUnmapPirq = 14;
constexpr int32_t kMsiOfSegment = 3;  // MAP_PIRQ_TYPE_MSI_SEG
constexpr int32_t kMsi = 0;           // MAP_PIRQ_TYPE_MSI, for a Xen that knows no segments

struct MapPirq {
  uint16_t domid;
  int32_t type;
  int32_t index;
  int32_t pirq;
  int32_t bus;  // segment in the upper half
  int32_t devfn;
  int32_t entry;
  uint64_t table_base;
};
static_assert(sizeof(MapPirq) == 40 && offsetof(MapPirq, table_base) == 32);

struct UnmapPirq {
  uint16_t domid;
  int32_t pirq;
};
static_assert(sizeof(UnmapPirq) == 8);

struct XenHypervisor {
  const Libraries& xen;
  xen::xengnttab_handle* grants;
  xen::xencall_handle* calls;
};

struct XenChannel {
  const Libraries& xen;
  // One handle a channel: events of one guest neither delay nor mask those of another.
  xen::xenevtchn_handle* handle;
  uint32_t port;
};

XenHypervisor* mine(Hypervisor* hypervisor) { return reinterpret_cast<XenHypervisor*>(hypervisor); }
XenChannel* mine(EventChannel* channel) { return reinterpret_cast<XenChannel*>(channel); }
const XenChannel* mine(const EventChannel* channel) { return reinterpret_cast<const XenChannel*>(channel); }

Failure open(const std::string&, Hypervisor** out) {
  std::string missing;
  const Libraries* xen = xen::load_libraries(&missing);
  if (!xen) return Failure{ELIBACC, "dlopen"};
  auto* grants = xen->xengnttab_open(nullptr, 0);
  if (!grants) return from_errno("xengnttab_open");
  auto* calls = xen->xencall_open(nullptr, 0);
  if (!calls) {
    const Failure failure = from_errno("xencall_open");
    xen->xengnttab_close(grants);
    return failure;
  }
  *out = reinterpret_cast<Hypervisor*>(new XenHypervisor{*xen, grants, calls});
  return kSuccess;
}

void close(Hypervisor* hypervisor) {
  XenHypervisor* self = mine(hypervisor);
  self->xen.xencall_close(self->calls);
  self->xen.xengnttab_close(self->grants);
  delete self;
}

// A granted page cannot be taken away while it is mapped: a domain that ends stays a zombie until we let go of it.
Failure map_grant(Hypervisor* hypervisor, uint32_t domid, uint32_t ref, Grant* out) {
  XenHypervisor* self = mine(hypervisor);
  void* page = self->xen.xengnttab_map_grant_ref(self->grants, domid, ref, PROT_READ | PROT_WRITE);
  if (!page) return from_errno("map_grant");
  *out = Grant{page, nullptr, nullptr};
  return kSuccess;
}

void unmap_grant(Hypervisor* hypervisor, Grant* grant) {
  mine(hypervisor)->xen.xengnttab_unmap(mine(hypervisor)->grants, grant->page, 1);
}

Failure bind_interdomain(Hypervisor* hypervisor, uint32_t domid, uint32_t remote_port, EventChannel** out) {
  const Libraries& xen = mine(hypervisor)->xen;
  auto* handle = xen.xenevtchn_open(nullptr, 0);
  if (!handle) return from_errno("xenevtchn_open");
  const int fd = xen.xenevtchn_fd(handle);
  // `take_pending` must not sleep when an event is gone by the time it is looked for.
  const bool awake = fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK) == 0;
  const int port = awake ? xen.xenevtchn_bind_interdomain(handle, domid, remote_port) : -1;
  if (port < 0) {
    const Failure failure = from_errno("bind_interdomain");
    xen.xenevtchn_close(handle);
    return failure;
  }
  *out = reinterpret_cast<EventChannel*>(new XenChannel{xen, handle, static_cast<uint32_t>(port)});
  return kSuccess;
}

void unbind(EventChannel* channel) {
  mine(channel)->xen.xenevtchn_close(mine(channel)->handle);  // unbinds its ports
  delete mine(channel);
}

uint32_t local_port(const EventChannel* channel) { return mine(channel)->port; }

int event_fd(const EventChannel* channel) { return mine(channel)->xen.xenevtchn_fd(mine(channel)->handle); }

// Reading an event masks its port; writing the port back is the EOI.
bool take_pending(EventChannel* channel) {
  return mine(channel)->xen.xenevtchn_pending(mine(channel)->handle) >= 0;
}

void unmask(EventChannel* channel) { mine(channel)->xen.xenevtchn_unmask(mine(channel)->handle, mine(channel)->port); }

void notify(EventChannel* channel) { mine(channel)->xen.xenevtchn_notify(mine(channel)->handle, mine(channel)->port); }

// Memory that the hypervisor can read whatever the kernel does meanwhile (/dev/xen/hypercall).
template <typename Argument>
int physdev_op(XenHypervisor* self, uint64_t operation, Argument* argument) {
  void* buffer = self->xen.xencall_alloc_buffer(self->calls, sizeof(Argument));
  if (!buffer) return -ENOMEM;
  std::memcpy(buffer, argument, sizeof(Argument));
  const int result = self->xen.xencall2(self->calls, kPhysdevOp, operation, reinterpret_cast<uint64_t>(buffer));
  const int error = result < 0 ? -errno : 0;
  std::memcpy(argument, buffer, sizeof(Argument));
  self->xen.xencall_free_buffer(self->calls, buffer);
  return error;
}

MapPirq request_for(uint32_t domid, const MsiVector& vector, int32_t type) {
  const uint32_t segment = vector.sbdf >> 16;
  const uint32_t bus = (vector.sbdf >> 8) & 0xff;
  return MapPirq{
      .domid = static_cast<uint16_t>(domid),
      .type = type,
      .index = -1,
      .pirq = -1,
      .bus = static_cast<int32_t>(type == kMsiOfSegment ? bus | segment << 16 : bus),
      .devfn = static_cast<int32_t>(vector.sbdf & 0xff),
      .entry = vector.entry < 0 ? 0 : vector.entry,
      .table_base = vector.table_base,
  };
}

int map_msi(Hypervisor* hypervisor, uint32_t domid, const MsiVector& vector) {
  MapPirq map = request_for(domid, vector, kMsiOfSegment);
  int error = physdev_op(mine(hypervisor), kMapPirq, &map);
  if (error == -EINVAL && vector.sbdf >> 16 == 0) {
    map = request_for(domid, vector, kMsi);
    error = physdev_op(mine(hypervisor), kMapPirq, &map);
  }
  return error < 0 ? error : map.pirq;
}

int unmap_pirq(Hypervisor* hypervisor, uint32_t domid, uint32_t pirq) {
  UnmapPirq unmap = {static_cast<uint16_t>(domid), static_cast<int32_t>(pirq)};
  return physdev_op(mine(hypervisor), kUnmapPirq, &unmap);
}

}  // namespace

// Xen remembers pirqs and closes the channels of dead processes by itself, and interrupts come from hardware.
constinit const PlatformOps kXenPlatform = {
    .name = "xen",
    .open = open,
    .close = close,
    .map_grant = map_grant,
    .unmap_grant = unmap_grant,
    .bind_interdomain = bind_interdomain,
    .unbind = unbind,
    .local_port = local_port,
    .event_fd = event_fd,
    .take_pending = take_pending,
    .unmask = unmask,
    .notify = notify,
    .discard_port = nullptr,
    .map_msi = map_msi,
    .unmap_pirq = unmap_pirq,
    .claim_pirq = nullptr,
    .release_pirqs = nullptr,
    .raise_pirq = nullptr,
};

}  // namespace pciback
