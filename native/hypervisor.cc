// The object JavaScript holds for its connection to the hypervisor: opens rings, maps pirqs, gives functions to domains.
#include "hypervisor.h"

#include <algorithm>

#include "responder.h"
#include "ring.h"

namespace pciback {

// 0 where the platform has nothing to do. A wrong argument has thrown already.
template <typename Operation, typename... Values>
Napi::Value HypervisorObject::run(const Napi::CallbackInfo& info, const Arguments& arguments,
                                  Operation PlatformOps::*operation, const Values&... values) {
  Connection* to = arguments.ok() ? connection(info.Env()) : nullptr;
  if (!to) return info.Env().Undefined();
  const auto call = to->ops.*operation;
  return Napi::Number::New(info.Env(), call ? call(to->hypervisor, values...) : 0);
}

template <auto kOperation>
Napi::Value HypervisorObject::with_interrupt(const Napi::CallbackInfo& info) {
  Arguments arguments(info);
  const uint32_t domid = arguments.domid(0);
  const uint32_t interrupt = arguments.integer(1, "interrupt", 0, INT32_MAX);
  return run(info, arguments, kOperation, domid, interrupt);
}

template <auto kOperation>
Napi::Value HypervisorObject::with_function(const Napi::CallbackInfo& info) {
  Arguments arguments(info);
  const uint32_t sbdf = arguments.u32(0, "sbdf");
  return run(info, arguments, kOperation, sbdf);
}

template <auto kOperation>
Napi::Value HypervisorObject::with_owner(const Napi::CallbackInfo& info) {
  Arguments arguments(info);
  const uint32_t domid = arguments.domid_or_io(0);
  const uint32_t sbdf = arguments.u32(1, "sbdf");
  return run(info, arguments, kOperation, domid, sbdf);
}

Napi::Function HypervisorObject::define(Napi::Env env) {
  using Self = HypervisorObject;
  return DefineClass(env, "Hypervisor",
                     {
                         InstanceMethod<&Self::open_ring>("openRing"),
                         InstanceMethod<&Self::start_responder>("startResponder"),
                         InstanceMethod<&Self::discard_port>("discardPort"),
                         InstanceMethod<&Self::map_msi>("mapMsi"),
                         InstanceMethod<&Self::with_interrupt<&PlatformOps::map_gsi>>("mapGsi"),
                         InstanceMethod<&Self::with_interrupt<&PlatformOps::unmap_pirq>>("unmapPirq"),
                         InstanceMethod<&Self::with_interrupt<&PlatformOps::claim_pirq>>("claimPirq"),
                         InstanceMethod<&Self::with_function<&PlatformOps::prepare_msix>>("prepareMsix"),
                         InstanceMethod<&Self::with_function<&PlatformOps::release_msix>>("releaseMsix"),
                         InstanceMethod<&Self::with_function<&PlatformOps::restore_msi>>("restoreMsi"),
                         InstanceMethod<&Self::with_owner<&PlatformOps::assign_device>>("assignDevice"),
                         InstanceMethod<&Self::with_owner<&PlatformOps::deassign_device>>("deassignDevice"),
                         InstanceMethod<&Self::memory_permission>("memoryPermission"),
                         InstanceMethod<&Self::port_permission>("portPermission"),
                         InstanceMethod<&Self::irq_permission>("irqPermission"),
                         InstanceMethod<&Self::domain_state>("domainState"),
                         InstanceMethod<&Self::processor_seconds>("processorSeconds"),
                         InstanceMethod<&Self::pause_domain>("pauseDomain"),
                         InstanceMethod<&Self::domain_handle>("domainHandle"),
                         InstanceMethod<&Self::has_iommu>("hasIommu"),
                         InstanceMethod<&Self::release_pirqs>("releasePirqs"),
                         InstanceMethod<&Self::raise_pirq>("raisePirq"),
                         InstanceMethod<&Self::close>("close"),
                     });
}

HypervisorObject::HypervisorObject(const Napi::CallbackInfo& info) : Napi::ObjectWrap<HypervisorObject>(info) {
  Arguments arguments(info);
  const std::string kind = arguments.text(0, "kind");
  const std::string where = arguments.text(1, "where");
  if (!arguments.ok()) return;
  const PlatformOps* ops = find_platform(kind);
  Failure failure{ENOSYS, "open"};
  if (ops) failure = Connection::open(*ops, where, &connection_);
  if (failure) throw_failure(info.Env(), failure, kind + " " + where);
}

// Null, with an exception pending, when the connection was closed.
Connection* HypervisorObject::connection(Napi::Env env) {
  if (!connection_) Napi::Error::New(env, "the connection to the hypervisor is closed").ThrowAsJavaScriptException();
  return connection_.get();
}

Napi::Value HypervisorObject::open_ring(const Napi::CallbackInfo& info) {
  Arguments arguments(info);
  const uint32_t domid = arguments.domid(0);
  const uint32_t ref = arguments.u32(1, "ref");
  const uint32_t port = arguments.u32(2, "port");
  const Napi::Function wake = arguments.function(3, "wake");
  if (!arguments.ok() || !connection(info.Env())) return info.Env().Undefined();
  return Ring::open(info.Env(), connection_, domid, ref, port, wake);
}

Napi::Value HypervisorObject::start_responder(const Napi::CallbackInfo& info) {
  Arguments arguments(info);
  const uint32_t domid = arguments.domid(0);
  const uint32_t ref = arguments.u32(1, "ref");
  const uint32_t port = arguments.u32(2, "port");
  const Napi::Uint8Array config = arguments.bytes(3, "config", kConfigSpaceSize);
  if (!arguments.ok() || !connection(info.Env())) return info.Env().Undefined();
  std::unique_ptr<BackEnd> back_end;
  if (!open_back_end(info.Env(), connection_, domid, ref, port, &back_end)) return info.Env().Undefined();
  return ResponderObject::start(info.Env(), std::move(back_end), config.Data());
}

void HypervisorObject::discard_port(const Napi::CallbackInfo& info) {
  Arguments arguments(info);
  const uint32_t port = arguments.u32(0, "port");
  Connection* to = arguments.ok() ? connection(info.Env()) : nullptr;
  if (to && to->ops.discard_port) to->ops.discard_port(to->hypervisor, port);
}

Napi::Value HypervisorObject::map_msi(const Napi::CallbackInfo& info) {
  Arguments arguments(info);
  const uint32_t domid = arguments.domid(0);
  MsiVector vector;
  vector.sbdf = arguments.u32(1, "sbdf");
  vector.entry = static_cast<int32_t>(arguments.signed_integer(2, "entry", -1, 2047));
  vector.table_base = arguments.u64(3, "tableBase");
  return run(info, arguments, &PlatformOps::map_msi, domid, vector);
}

Napi::Value HypervisorObject::memory_permission(const Napi::CallbackInfo& info) {
  Arguments arguments(info);
  const uint32_t domid = arguments.domid(0);
  const uint64_t start = arguments.u64(1, "start");
  const uint64_t size = arguments.u64(2, "size");
  const bool allow = arguments.boolean(3, "allow");
  return run(info, arguments, &PlatformOps::memory_permission, domid, start, size, allow);
}

Napi::Value HypervisorObject::port_permission(const Napi::CallbackInfo& info) {
  Arguments arguments(info);
  const uint32_t domid = arguments.domid(0);
  const uint32_t first = arguments.integer(1, "first", 0, 0xffff);
  const uint32_t count = arguments.integer(2, "count", 1, 0x10000);
  const bool allow = arguments.boolean(3, "allow");
  return run(info, arguments, &PlatformOps::port_permission, domid, first, count, allow);
}

Napi::Value HypervisorObject::irq_permission(const Napi::CallbackInfo& info) {
  Arguments arguments(info);
  const uint32_t domid = arguments.domid(0);
  const uint32_t pirq = arguments.u32(1, "pirq");
  const bool allow = arguments.boolean(2, "allow");
  return run(info, arguments, &PlatformOps::irq_permission, domid, pirq, allow);
}

Napi::Value HypervisorObject::domain_state(const Napi::CallbackInfo& info) {
  Arguments arguments(info);
  const uint32_t domid = arguments.domid(0);
  return run(info, arguments, &PlatformOps::domain_state, domid);
}

Napi::Value HypervisorObject::processor_seconds(const Napi::CallbackInfo& info) {
  Arguments arguments(info);
  const uint32_t domid = arguments.domid(0);
  return run(info, arguments, &PlatformOps::processor_seconds, domid);
}

Napi::Value HypervisorObject::pause_domain(const Napi::CallbackInfo& info) {
  Arguments arguments(info);
  const uint32_t domid = arguments.domid(0);
  const bool pause = arguments.boolean(1, "pause");
  return run(info, arguments, &PlatformOps::pause_domain, domid, pause);
}

// The bytes, or a number: 0 when there is no such domain, or a negative errno.
Napi::Value HypervisorObject::domain_handle(const Napi::CallbackInfo& info) {
  Arguments arguments(info);
  const uint32_t domid = arguments.domid(0);
  Connection* to = arguments.ok() ? connection(info.Env()) : nullptr;
  if (!to) return info.Env().Undefined();
  DomainHandle handle;
  const int found = to->ops.domain_handle ? to->ops.domain_handle(to->hypervisor, domid, &handle) : 0;
  if (found != 1) return Napi::Number::New(info.Env(), found);
  auto bytes = Napi::Uint8Array::New(info.Env(), handle.size());
  std::copy(handle.begin(), handle.end(), bytes.Data());
  return bytes;
}

Napi::Value HypervisorObject::has_iommu(const Napi::CallbackInfo& info) {
  return run(info, Arguments(info), &PlatformOps::has_iommu);
}

void HypervisorObject::release_pirqs(const Napi::CallbackInfo& info) {
  Arguments arguments(info);
  const uint32_t domid = arguments.domid(0);
  Connection* to = arguments.ok() ? connection(info.Env()) : nullptr;
  if (to && to->ops.release_pirqs) to->ops.release_pirqs(to->hypervisor, domid);
}

Napi::Value HypervisorObject::raise_pirq(const Napi::CallbackInfo& info) {
  Arguments arguments(info);
  const uint32_t domid = arguments.domid(0);
  const uint32_t pirq = arguments.u32(1, "pirq");
  Connection* to = arguments.ok() ? connection(info.Env()) : nullptr;
  if (!to) return info.Env().Undefined();
  return Napi::Boolean::New(info.Env(), to->ops.raise_pirq && !to->ops.raise_pirq(to->hypervisor, domid, pirq));
}

void HypervisorObject::close(const Napi::CallbackInfo&) { connection_.reset(); }

}  // namespace pciback
