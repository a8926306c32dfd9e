// The object JavaScript holds for its connection to the hypervisor: opens rings, maps pirqs, gives functions to domains.
#pragma once

#include <napi.h>

#include <memory>

#include "js.h"
#include "platform.h"

namespace pciback {

class HypervisorObject : public Napi::ObjectWrap<HypervisorObject> {
 public:
  static Napi::Function define(Napi::Env env);
  explicit HypervisorObject(const Napi::CallbackInfo& info);

 private:
  Napi::Value open_ring(const Napi::CallbackInfo& info);
  Napi::Value start_responder(const Napi::CallbackInfo& info);
  void discard_port(const Napi::CallbackInfo& info);
  Napi::Value map_msi(const Napi::CallbackInfo& info);
  Napi::Value memory_permission(const Napi::CallbackInfo& info);
  Napi::Value port_permission(const Napi::CallbackInfo& info);
  Napi::Value irq_permission(const Napi::CallbackInfo& info);
  Napi::Value domain_state(const Napi::CallbackInfo& info);
  Napi::Value processor_seconds(const Napi::CallbackInfo& info);
  Napi::Value pause_domain(const Napi::CallbackInfo& info);
  Napi::Value domain_handle(const Napi::CallbackInfo& info);
  Napi::Value has_iommu(const Napi::CallbackInfo& info);
  // Operations of one shape differ in nothing but their place in the table.
  template <auto kOperation>
  Napi::Value with_interrupt(const Napi::CallbackInfo& info);
  template <auto kOperation>
  Napi::Value with_function(const Napi::CallbackInfo& info);
  template <auto kOperation>
  Napi::Value with_owner(const Napi::CallbackInfo& info);
  void release_pirqs(const Napi::CallbackInfo& info);
  Napi::Value raise_pirq(const Napi::CallbackInfo& info);
  void close(const Napi::CallbackInfo& info);

  Connection* connection(Napi::Env env);
  template <typename Operation, typename... Values>
  Napi::Value run(const Napi::CallbackInfo& info, const Arguments& arguments, Operation PlatformOps::*operation,
                  const Values&... values);

  std::shared_ptr<Connection> connection_;  // null once closed; rings keep theirs
};

}  // namespace pciback
