// Which pirqs each loopback domain holds. On Xen the hypervisor knows; here every thread of the back-end's process shares
// one table, and a restarted back-end says again what its records hold.
#pragma once

#include <cstdint>
#include <string>

namespace pciback::pirqs {

// The next free number for the domain, or -ENOSPC when it holds as many as a domain may.
int map(const std::string& directory, uint32_t domid);
// 0, or -EINVAL when the domain does not hold the number.
int unmap(const std::string& directory, uint32_t domid, uint32_t pirq);
// 0 (also when the domain holds it already), -EINVAL for a number that is never handed out, or -ENOSPC.
int claim(const std::string& directory, uint32_t domid, uint32_t pirq);
void release_all(const std::string& directory, uint32_t domid);

}  // namespace pciback::pirqs
