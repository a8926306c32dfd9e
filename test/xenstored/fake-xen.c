/*
 * Runs Debian's xenstored and oxenstored where there is no hypervisor. Preloaded, it answers the few calls of libxenctrl,
 * libxenevtchn and libxengnttab that the two make, out of a directory ($FAKE_XEN), which should be on a tmpfs:
 *
 *   dom/<domid>            exists <=> the domain exists; "running", "shutdown <code>" or "dying"
 *   gnt/<domid>/1          the page of the domain's xenstore ring
 *   evt/<domid>/<port>     FIFO: a byte in it = the event is pending
 *   evt/<domid>/<port>.peer  "<domid> <port>" of the other end
 *   evt/0/virq<n>          symbolic link to the port of a virtual interrupt; 3 is VIRQ_DOM_EXC, "look at the domains"
 *   xsd_port               what /proc/xen/xsd_port says
 *
 * Headers: libxen-dev of the release that the daemons are from.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include <xenctrl.h>
#include <xenevtchn.h>
#include <xengnttab.h>

enum { page_size = 4096, xenstore_ref = 1, path_size = 1024 };

static char base[512];

/* A path below the directory. */
static char *at(char *path, const char *format, ...) {
  va_list arguments;
  int length = snprintf(path, path_size, "%s/", base);
  va_start(arguments, format);
  vsnprintf(path + length, path_size - length, format, arguments);
  va_end(arguments);
  return path;
}

/* Replaces a file as a whole. */
static void put(const char *path, const char *text) {
  char temporary[path_size + 32];
  snprintf(temporary, sizeof temporary, "%s.%d~", path, (int)getpid());
  FILE *file = fopen(temporary, "w");
  if (!file) return;
  fputs(text, file);
  fclose(file);
  rename(temporary, path);
}

/* Domain 0, its ring and the kernel's end of its event channel: on Xen they are there before any daemon. */
__attribute__((constructor)) static void make_domain0(void) {
  char path[path_size];
  const char *given = getenv("FAKE_XEN");
  snprintf(base, sizeof base, "%s", given ? given : "/run/fake-xen");
  for (const char **name = (const char *[]){"", "dom", "gnt", "gnt/0", "evt", "evt/0", NULL}; *name; name++)
    mkdir(at(path, "%s", *name), 0700);
  put(at(path, "dom/0"), "running");
  int ring = open(at(path, "gnt/0/%d", xenstore_ref), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (ring < 0 || ftruncate(ring, page_size) < 0) perror(path);
  close(ring);
  mkfifo(at(path, "evt/0/1"), 0600);
  put(at(path, "xsd_port"), "1");
}

/* --- event channels: an epoll set of FIFOs; EPOLLONESHOT is the mask bit --- */

struct port {
  unsigned number;
  int receive, send;
  struct port *next;
};
struct xenevtchn_handle {
  int epoll;
  struct port *ports;
};

static int open_port(unsigned domid, unsigned number) {
  char path[path_size];
  return open(at(path, "evt/%u/%u", domid, number), O_RDWR | O_NONBLOCK | O_CLOEXEC);
}

static struct port **find(xenevtchn_handle *handle, unsigned number) {
  struct port **port = &handle->ports;
  while (*port && (*port)->number != number) port = &(*port)->next;
  return port;
}

/* The first free number from 2 on, or -1. */
static int new_port(xenevtchn_handle *handle) {
  char path[path_size];
  for (unsigned number = 2; number < 4096; number++) {
    if (mkfifo(at(path, "evt/0/%u", number), 0600) < 0) continue;
    struct port *port = calloc(1, sizeof *port);
    *port = (struct port){number, open_port(0, number), -1, handle->ports};
    struct epoll_event event = {.events = EPOLLIN | EPOLLONESHOT, .data.u32 = number};
    if (port->receive < 0 || epoll_ctl(handle->epoll, EPOLL_CTL_ADD, port->receive, &event) < 0) return -1;
    handle->ports = port;
    return number;
  }
  return -1;
}

xenevtchn_handle *xenevtchn_open(struct xentoollog_logger *logger, unsigned flags) {
  xenevtchn_handle *handle = calloc(1, sizeof *handle);
  handle->epoll = epoll_create1(EPOLL_CLOEXEC);
  return handle;
}

/* Only a live update asks for this. */
xenevtchn_handle *xenevtchn_fdopen(struct xentoollog_logger *logger, int fd, unsigned flags) {
  errno = ENOSYS;
  return NULL;
}

int xenevtchn_fd(xenevtchn_handle *handle) { return handle->epoll; }

int xenevtchn_unbind(xenevtchn_handle *handle, evtchn_port_t number) {
  char path[path_size];
  struct port **place = find(handle, number), *port = *place;
  if (!port) {
    errno = EINVAL;
    return -1;
  }
  *place = port->next;
  close(port->receive);
  close(port->send);
  unlink(at(path, "evt/0/%u", number));
  unlink(at(path, "evt/0/%u.peer", number));
  free(port);
  return 0;
}

int xenevtchn_close(xenevtchn_handle *handle) {
  while (handle->ports) xenevtchn_unbind(handle, handle->ports->number);
  close(handle->epoll);
  free(handle);
  return 0;
}

xenevtchn_port_or_error_t xenevtchn_bind_interdomain(xenevtchn_handle *handle, uint32_t domid, evtchn_port_t remote) {
  char path[path_size], text[64];
  int send = open_port(domid, remote), number = send < 0 ? -1 : new_port(handle);
  if (number < 0) {
    errno = EINVAL;
    return -1;
  }
  struct port *port = *find(handle, number);
  port->send = send;
  snprintf(text, sizeof text, "%u %u", domid, remote);
  put(at(path, "evt/0/%d.peer", number), text);
  snprintf(text, sizeof text, "0 %d", number);
  put(at(path, "evt/%u/%u.peer", domid, remote), text);
  /* Xen sets the new port pending: the other end may have sent already. */
  if (write(port->receive, "", 1) < 0) perror("pending");
  return number;
}

xenevtchn_port_or_error_t xenevtchn_bind_virq(xenevtchn_handle *handle, unsigned virq) {
  char path[path_size], target[32];
  int number = new_port(handle);
  snprintf(target, sizeof target, "%d", number);
  unlink(at(path, "evt/0/virq%u", virq));
  return number < 0 || symlink(target, path) < 0 ? -1 : number;
}

int xenevtchn_notify(xenevtchn_handle *handle, evtchn_port_t number) {
  struct port *port = *find(handle, number);
  if (!port) {
    errno = EINVAL;
    return -1;
  }
  /* A full FIFO is an event that is pending already. */
  if (port->send >= 0 && write(port->send, "", 1) < 0) errno = 0;
  return 0;
}

xenevtchn_port_or_error_t xenevtchn_pending(xenevtchn_handle *handle) {
  char bytes[4096];
  for (;;) {
    struct epoll_event event;
    int block = fcntl(handle->epoll, F_GETFL) & O_NONBLOCK ? 0 : -1;
    int count = epoll_wait(handle->epoll, &event, 1, block);
    if (count == 0) errno = EAGAIN;
    if (count <= 0) return -1;
    struct port *port = *find(handle, event.data.u32);
    if (!port) continue;
    while (read(port->receive, bytes, sizeof bytes) == sizeof bytes);
    return port->number;
  }
}

int xenevtchn_unmask(xenevtchn_handle *handle, evtchn_port_t number) {
  struct epoll_event event = {.events = EPOLLIN | EPOLLONESHOT, .data.u32 = number};
  struct port *port = *find(handle, number);
  return port ? epoll_ctl(handle->epoll, EPOLL_CTL_MOD, port->receive, &event) : -1;
}

/* --- the rings: C xenstored maps them by grant, oxenstored by frame number; a domain has only this one page --- */

static void *map_ring(unsigned domid, int protection) {
  char path[path_size];
  int fd = open(at(path, "gnt/%u/%d", domid, xenstore_ref), O_RDWR | O_CLOEXEC);
  void *page = fd < 0 ? MAP_FAILED : mmap(NULL, page_size, protection, MAP_SHARED, fd, 0);
  close(fd);
  return page == MAP_FAILED ? NULL : page;
}

static int no_handle;
xengnttab_handle *xengnttab_open(struct xentoollog_logger *logger, unsigned flags) { return (void *)&no_handle; }
int xengnttab_close(xengnttab_handle *handle) { return 0; }
int xengnttab_set_max_grants(xengnttab_handle *handle, uint32_t count) { return 0; }
void *xengnttab_map_grant_ref(xengnttab_handle *handle, uint32_t domid, uint32_t ref, int protection) {
  return map_ring(domid, protection);
}
int xengnttab_unmap(xengnttab_handle *handle, void *page, uint32_t count) { return munmap(page, count * page_size); }
void *xc_map_foreign_range(xc_interface *handle, uint32_t domid, int size, int protection, unsigned long frame) {
  return map_ring(domid, protection);
}

/* --- domains --- */

xc_interface *xc_interface_open(xentoollog_logger *logger, xentoollog_logger *build_logger, unsigned flags) {
  return (void *)&no_handle;
}
int xc_interface_close(xc_interface *handle) { return 0; }
const xc_error *xc_get_last_error(xc_interface *handle) {
  static const xc_error none;
  return &none;
}

/* The first domain from this id on, and its state; -1 when there is none. */
static long domain_from(unsigned first, char state[64]) {
  char path[path_size];
  long found = -1;
  DIR *directory = opendir(at(path, "dom"));
  for (struct dirent *entry; directory && (entry = readdir(directory));) {
    char *end;
    long domid = strtol(entry->d_name, &end, 10);
    if (*entry->d_name != '.' && !*end && domid >= first && (found < 0 || domid < found)) found = domid;
  }
  if (directory) closedir(directory);
  FILE *file = found < 0 ? NULL : fopen(at(path, "dom/%ld", found), "r");
  if (!file || !fgets(state, 64, file)) *state = 0;
  if (file) fclose(file);
  return found;
}

int xc_domain_getinfolist(xc_interface *handle, uint32_t first, unsigned max, xc_domaininfo_t *info) {
  char state[64];
  unsigned count = 0;
  for (long domid; count < max && (domid = domain_from(first, state)) >= 0; first = domid + 1) {
    memset(&info[count], 0, sizeof *info);
    info[count].domain = domid;
    if (!strncmp(state, "dying", 5))
      info[count].flags = XEN_DOMINF_dying | XEN_DOMINF_shutdown;
    else if (!strncmp(state, "shutdown", 8))
      info[count].flags = XEN_DOMINF_shutdown | atoi(state + 8) << XEN_DOMINF_shutdownshift;
    else
      info[count].flags = XEN_DOMINF_running;
    count++;
  }
  return count;
}

int xc_domain_getinfo(xc_interface *handle, uint32_t first, unsigned max, xc_dominfo_t *info) {
  unsigned count = 0;
  for (xc_domaininfo_t one; count < max && xc_domain_getinfolist(handle, first, 1, &one); first = one.domain + 1) {
    memset(&info[count], 0, sizeof *info);
    info[count].domid = one.domain;
    info[count].running = !!(one.flags & XEN_DOMINF_running);
    info[count].dying = !!(one.flags & XEN_DOMINF_dying);
    info[count].shutdown = !!(one.flags & XEN_DOMINF_shutdown);
    info[count].shutdown_reason = one.flags >> XEN_DOMINF_shutdownshift & XEN_DOMINF_shutdownmask;
    count++;
  }
  if (!count) errno = ESRCH;
  return count ? (int)count : -1;
}

/* --- what is compiled into the daemons --- */

#define REAL(name) ((typeof(&name))dlsym(RTLD_NEXT, #name))

static const char *redirect(const char *path, char *buffer) {
  static const char standard[] = "/var/run/xenstored";
  const char *run = getenv("XENSTORED_RUNDIR");
  if (!strcmp(path, "/proc/xen/xsd_port")) return at(buffer, "xsd_port");
  if (!strcmp(path, "/proc/xen/xsd_kva")) return at(buffer, "gnt/0/%d", xenstore_ref);
  if (!run || strncmp(path, standard, sizeof standard - 1)) return path;
  snprintf(buffer, path_size, "%s%s", run, path + sizeof standard - 1);
  return buffer;
}

int open(const char *path, int flags, ...) {
  char buffer[path_size];
  va_list arguments;
  va_start(arguments, flags);
  mode_t mode = va_arg(arguments, mode_t);
  va_end(arguments);
  return REAL(open)(redirect(path, buffer), flags, mode);
}

int open64(const char *path, int flags, ...) {
  char buffer[path_size];
  va_list arguments;
  va_start(arguments, flags);
  mode_t mode = va_arg(arguments, mode_t);
  va_end(arguments);
  return REAL(open64)(redirect(path, buffer), flags, mode);
}

int unlink(const char *path) {
  char buffer[path_size];
  return REAL(unlink)(redirect(path, buffer));
}

int mkdir(const char *path, mode_t mode) {
  char buffer[path_size];
  return REAL(mkdir)(redirect(path, buffer), mode);
}

int bind(int fd, const struct sockaddr *address, socklen_t length) {
  char buffer[path_size];
  struct sockaddr_un own = {.sun_family = AF_UNIX};
  if (address->sa_family != AF_UNIX) return REAL(bind)(fd, address, length);
  const char *path = redirect(((const struct sockaddr_un *)address)->sun_path, buffer);
  strncpy(own.sun_path, path, sizeof own.sun_path - 1);
  return REAL(bind)(fd, (struct sockaddr *)&own, sizeof own);
}

/* oxenstored insists on more open files than a container may allow, and ends when it does not get them. */
int setrlimit(__rlimit_resource_t resource, const struct rlimit *limit) {
  REAL(setrlimit)(resource, limit);
  return 0;
}
