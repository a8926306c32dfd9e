#include "platform.h"

namespace pciback {

const PlatformOps* find_platform(const std::string& name) {
  static const PlatformOps* const providers[] = {&kLoopbackPlatform, &kXenPlatform};
  for (const PlatformOps* ops : providers)
    if (name == ops->name) return ops;
  return nullptr;
}

Failure Connection::open(const PlatformOps& ops, const std::string& where, std::shared_ptr<Connection>* out) {
  Hypervisor* hypervisor = nullptr;
  if (Failure failure = ops.open(where, &hypervisor)) return failure;
  *out = std::make_shared<Connection>(ops, hypervisor);
  return kSuccess;
}

}  // namespace pciback
