// The object JavaScript holds for its connection to the hypervisor: opens rings, maps pirqs.
#pragma once

#include <napi.h>

#include <memory>

#include "platform.h"

namespace pciback {

class HypervisorObject : public Napi::ObjectWrap<HypervisorObject> {
 public:
  static Napi::Function define(Napi::Env env);
  explicit HypervisorObject(const Napi::CallbackInfo& info);

 private:
  using PirqOperation = int (*PlatformOps::*)(Hypervisor*, uint32_t domid, uint32_t pirq);

  Napi::Value open_ring(const Napi::CallbackInfo& info);
  Napi::Value start_responder(const Napi::CallbackInfo& info);
  void discard_port(const Napi::CallbackInfo& info);
  Napi::Value map_msi(const Napi::CallbackInfo& info);
  Napi::Value unmap_pirq(const Napi::CallbackInfo& info);
  Napi::Value claim_pirq(const Napi::CallbackInfo& info);
  void release_pirqs(const Napi::CallbackInfo& info);
  Napi::Value raise_pirq(const Napi::CallbackInfo& info);
  void close(const Napi::CallbackInfo& info);

  Connection* connection(Napi::Env env);
  Napi::Value with_pirq(const Napi::CallbackInfo& info, PirqOperation operation);

  std::shared_ptr<Connection> connection_;  // null once closed; rings keep theirs
};

}  // namespace pciback
