// attribute-writer PATH TEXT: writes one attribute of sysfs, and ends with the errno, 0 when it was written. It is a program of its own
// because the kernel may keep it in that write(2) for as long as a device takes to answer: nothing of pciback waits with it, not even the
// end of the process that started it.
#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace {

// The lock, which is given up when this program has ended.
constexpr unsigned kLock = 3;

// Whatever else was inherited would stay open as long as this program is: an event channel, say, could be bound by nobody meanwhile.
void close_others() {
#ifdef SYS_close_range
  if (syscall(SYS_close_range, kLock + 1, ~0u, 0u) == 0) return;
#endif
  const long end = sysconf(_SC_OPEN_MAX);
  for (int fd = kLock + 1; fd < end; fd++) close(fd);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) return EINVAL;
  close_others();
  // Most of these attributes have no reading side. Without O_CREAT a missing one is ENOENT.
  const int attribute = open(argv[1], O_WRONLY | O_NOCTTY);
  if (attribute < 0) return errno;
  return write(attribute, argv[2], std::strlen(argv[2])) < 0 ? errno : 0;
}
