// The object JavaScript holds for its connection to the hypervisor: opens rings, maps pirqs.
#include "hypervisor.h"

#include "js.h"
#include "responder.h"
#include "ring.h"

namespace pciback {

Napi::Function HypervisorObject::define(Napi::Env env) {
  using Self = HypervisorObject;
  return DefineClass(env, "Hypervisor",
                     {
                         InstanceMethod<&Self::open_ring>("openRing"),
                         InstanceMethod<&Self::start_responder>("startResponder"),
                         InstanceMethod<&Self::discard_port>("discardPort"),
                         InstanceMethod<&Self::map_msi>("mapMsi"),
                         InstanceMethod<&Self::unmap_pirq>("unmapPirq"),
                         InstanceMethod<&Self::claim_pirq>("claimPirq"),
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
  Connection* to = arguments.ok() ? connection(info.Env()) : nullptr;
  if (!to) return info.Env().Undefined();
  return Napi::Number::New(info.Env(), to->ops.map_msi(to->hypervisor, domid, vector));
}

Napi::Value HypervisorObject::with_pirq(const Napi::CallbackInfo& info, PirqOperation operation) {
  Arguments arguments(info);
  const uint32_t domid = arguments.domid(0);
  const uint32_t pirq = arguments.u32(1, "pirq");
  Connection* to = arguments.ok() ? connection(info.Env()) : nullptr;
  if (!to) return info.Env().Undefined();
  const auto run = to->ops.*operation;
  return Napi::Number::New(info.Env(), run ? run(to->hypervisor, domid, pirq) : 0);
}

Napi::Value HypervisorObject::unmap_pirq(const Napi::CallbackInfo& info) {
  return with_pirq(info, &PlatformOps::unmap_pirq);
}

Napi::Value HypervisorObject::claim_pirq(const Napi::CallbackInfo& info) {
  return with_pirq(info, &PlatformOps::claim_pirq);
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
