// The xen provider: grants and event channels through Xen's own libraries. The caller is domain 0.
#include <fcntl.h>
#include <sys/mman.h>

#include <cerrno>
#include <memory>

#include "xen_hypervisor.h"

namespace pciback {
namespace {

using xen::Libraries;
using xen::mine;
using xen::XenHypervisor;

struct XenChannel {
  const Libraries& xen;
  // One handle a channel: events of one guest neither delay nor mask those of another.
  xen::xenevtchn_handle* handle;
  uint32_t port;
};

XenChannel* mine(EventChannel* channel) { return reinterpret_cast<XenChannel*>(channel); }
const XenChannel* mine(const EventChannel* channel) { return reinterpret_cast<const XenChannel*>(channel); }

// Opens all that serving guests will need, so that what is missing or forbidden is known before a guest asks.
Failure open(const std::string& root, Hypervisor** out) {
  auto self = std::make_unique<XenHypervisor>();
  const Libraries& xen = self->libraries;
  if (Failure failure = xen::load_libraries(root, &self->libraries)) return failure;
  self->grants = xen.xengnttab_open(xen::silence(), 0);
  if (!self->grants) return {errno, "xengnttab_open", "/dev/xen/gntdev"};
  auto* channels = xen.xenevtchn_open(xen::silence(), 0);
  if (!channels) return {errno, "xenevtchn_open", "/dev/xen/evtchn"};
  xen.xenevtchn_close(channels);
  self->calls = xen.xencall_open(xen::silence(), 0);
  if (!self->calls) return {errno, "xencall_open", "/dev/xen/privcmd"};
  self->control = xen.xc_interface_open(xen::silence(), xen::silence(), 0);
  if (!self->control) return {errno, "xc_interface_open", "/dev/xen/privcmd"};
  const int seen = xen::domain_state(reinterpret_cast<Hypervisor*>(self.get()), 0);
  if (seen < 0) return {-seen, "xc_domain_getinfolist", "domain 0"};
  *out = reinterpret_cast<Hypervisor*>(self.release());
  return kSuccess;
}

void close(Hypervisor* hypervisor) { delete mine(hypervisor); }

// A granted page cannot be taken away while it is mapped: a domain that ends stays a zombie until we let go of it.
Failure map_grant(Hypervisor* hypervisor, uint32_t domid, uint32_t ref, Grant* out) {
  const XenHypervisor& self = *mine(hypervisor);
  void* page = self.libraries.xengnttab_map_grant_ref(self.grants, domid, ref, PROT_READ | PROT_WRITE);
  if (!page) return from_errno("map_grant");
  *out = Grant{page, nullptr, nullptr};
  return kSuccess;
}

void unmap_grant(Hypervisor* hypervisor, Grant* grant) {
  const XenHypervisor& self = *mine(hypervisor);
  self.libraries.xengnttab_unmap(self.grants, grant->page, 1);
}

Failure bind_interdomain(Hypervisor* hypervisor, uint32_t domid, uint32_t remote_port, EventChannel** out) {
  const Libraries& xen = mine(hypervisor)->libraries;
  auto* handle = xen.xenevtchn_open(xen::silence(), 0);
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
    .map_msi = xen::map_msi,
    .unmap_pirq = xen::unmap_pirq,
    .claim_pirq = nullptr,
    .release_pirqs = nullptr,
    .raise_pirq = nullptr,
    .map_gsi = xen::map_gsi,
    .prepare_msix = xen::prepare_msix,
    .release_msix = xen::release_msix,
    .restore_msi = xen::restore_msi,
    .assign_device = xen::assign_device,
    .deassign_device = xen::deassign_device,
    .memory_permission = xen::memory_permission,
    .port_permission = xen::port_permission,
    .irq_permission = xen::irq_permission,
    .domain_state = xen::domain_state,
    .processor_seconds = xen::processor_seconds,
    .pause_domain = xen::pause_domain,
    .domain_handle = xen::domain_handle,
    .has_iommu = xen::has_iommu,
};

}  // namespace pciback
