#include <fcntl.h>
#include <unistd.h>

#include "fake.h"

struct handle {
  int ends[2];  // what is written to the one is pending at the other
};

void *xenevtchn_open(void *logger, unsigned flags) {
  (void)flags;
  struct handle *handle = open_handle("xenevtchn_open", logger, sizeof *handle);
  if (handle && pipe2(handle->ends, O_CLOEXEC) < 0) abort();
  return handle;
}

int xenevtchn_close(struct handle *handle) {
  note("xenevtchn_close");
  close(handle->ends[0]);
  close(handle->ends[1]);
  free(handle);
  return 0;
}

int xenevtchn_fd(struct handle *handle) { return handle->ends[0]; }

static void make_pending(struct handle *handle, uint32_t port) {
  if (write(handle->ends[1], &port, sizeof port) != sizeof port) abort();
}

// As with Xen, the new port is pending.
int xenevtchn_bind_interdomain(struct handle *handle, uint32_t domid, uint32_t remote_port) {
  const bool blocking = !(fcntl(handle->ends[0], F_GETFL) & O_NONBLOCK);
  note("xenevtchn_bind_interdomain %u %u%s", domid, remote_port, blocking ? " blocking" : "");
  const int port = result_of("xenevtchn_bind_interdomain");
  if (port >= 0) make_pending(handle, (uint32_t)port);
  return port;
}

int xenevtchn_notify(struct handle *handle, uint32_t port) {
  (void)handle;
  note("xenevtchn_notify %u", port);
  return 0;
}

int xenevtchn_pending(struct handle *handle) {
  uint32_t port;
  if (read(handle->ends[0], &port, sizeof port) != sizeof port) return -1;
  note("xenevtchn_pending %u", port);
  return (int)port;
}

// The guest has sent another event meanwhile.
int xenevtchn_unmask(struct handle *handle, uint32_t port) {
  note("xenevtchn_unmask %u", port);
  make_pending(handle, port);
  return 0;
}
