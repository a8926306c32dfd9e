/*
 * A guest without a kernel: owns its end of the xenstore ring (xen/include/public/io/xs_wire.h) and hands it to whoever
 * connects to a unix socket, one client at a time. So a program that can only speak to sockets can be a guest to a daemon
 * that runs under fake-xen.so.
 *
 *   FAKE_XEN=DIR fake-guest DOMID GUEST_SOCKET DOM0_SOCKET
 *
 * Makes the domain, has it introduced, and prints "ready".
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum { ring_size = 1024, introduce = 8, reset_watches = 21 };

struct ring_page {
  char requests[ring_size], replies[ring_size];
  uint32_t request_cons, request_prod, reply_cons, reply_prod;
};
struct header {
  uint32_t type, request_id, transaction_id, length;
};

static volatile struct ring_page *page;
static const char *base;
static unsigned domid;
static int event = -1, notify = -1;

static void fail(const char *what) {
  perror(what);
  exit(1);
}

static char *at(char path[512], const char *kind, const char *name) {
  snprintf(path, 512, "%s/%s/%u%s", base, kind, domid, name);
  return path;
}

/* Tells the daemon that the ring has changed. The other end of the event channel is known once the domain is introduced. */
static void kick(void) {
  if (write(notify, "", 1) < 0) { /* full: pending already */
  }
}

/* Puts what fits into the ring; returns how much that was. */
static size_t send_some(const char *bytes, size_t length) {
  uint32_t prod = page->request_prod, room = ring_size - (prod - page->request_cons);
  if (length > room) length = room;
  __sync_synchronize();
  for (size_t i = 0; i < length; i++) page->requests[(prod + i) % ring_size] = bytes[i];
  __sync_synchronize();
  page->request_prod = prod + length;
  if (length) kick();
  return length;
}

static size_t receive_some(char *bytes) {
  uint32_t cons = page->reply_cons, length = page->reply_prod - cons;
  if (length > ring_size) return 0;
  __sync_synchronize();
  for (size_t i = 0; i < length; i++) bytes[i] = page->replies[(cons + i) % ring_size];
  __sync_synchronize();
  page->reply_cons = cons + length;
  if (length) kick();
  return length;
}

static void await_event(int also) {
  char bytes[256];
  struct pollfd fds[] = {{event, POLLIN, 0}, {also, POLLIN, 0}};
  poll(fds, 2, -1);
  if (fds[0].revents && read(event, bytes, sizeof bytes) < 0) fail("event");
}

/* A new client must not inherit watches and transactions; what comes before the answer was the previous client's. */
static void reset(void) {
  const struct header request = {reset_watches, ~0u, 0, 1};
  char bytes[sizeof request + 1] = {0}, stream[1 << 16];
  memcpy(bytes, &request, sizeof request);
  for (size_t sent = 0; sent < sizeof bytes; sent += send_some(bytes + sent, sizeof bytes - sent));
  for (size_t have = 0;;) {
    struct header reply;
    while (have < sizeof reply || (memcpy(&reply, stream, sizeof reply), have < sizeof reply + reply.length)) {
      size_t got = receive_some(stream + have);
      have += got;
      if (!got) await_event(-1);
    }
    have -= sizeof reply + reply.length;
    memmove(stream, stream + sizeof reply + reply.length, have);
    if (reply.request_id == ~0u) return;
  }
}

static void serve(int client) {
  char up[4096], down[ring_size];
  size_t have = 0, sent = 0;
  for (;;) {
    size_t got;
    while ((got = receive_some(down)))
      if (send(client, down, got, MSG_NOSIGNAL) != (ssize_t)got) return;
    sent += send_some(up + sent, have - sent);
    if (sent < have) {
      await_event(-1);
      continue;
    }
    ssize_t length = recv(client, up, sizeof up, MSG_DONTWAIT);
    if (length == 0 || (length < 0 && errno != EAGAIN)) return;
    have = length > 0 ? length : 0;
    sent = 0;
    if (!have) await_event(client);
  }
}

static int unix_socket(const char *path, int (*use)(int, const struct sockaddr *, socklen_t)) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  strncpy(address.sun_path, path, sizeof address.sun_path - 1);
  if (use(fd, (struct sockaddr *)&address, sizeof address) < 0) fail(path);
  return fd;
}

static void have_introduced(const char *dom0_socket) {
  struct {
    struct header header;
    char payload[64];
  } message = {.header = {.type = introduce}};
  message.header.length = sprintf(message.payload, "%u%c1%c1", domid, 0, 0) + 1;
  int fd = unix_socket(dom0_socket, connect);
  if (write(fd, &message, sizeof message.header + message.header.length) < 0) fail("INTRODUCE");
  if (read(fd, &message, sizeof message) < (ssize_t)sizeof message.header || message.header.type != introduce) {
    fprintf(stderr, "INTRODUCE was refused\n");
    exit(1);
  }
  close(fd);
}

int main(int argc, char **argv) {
  char path[512];
  base = getenv("FAKE_XEN");
  if (argc != 4 || !base) {
    fprintf(stderr, "usage: FAKE_XEN=DIR fake-guest DOMID GUEST_SOCKET DOM0_SOCKET\n");
    return 2;
  }
  domid = strtoul(argv[1], NULL, 10);
  mkdir(at(path, "gnt", ""), 0700);
  mkdir(at(path, "evt", ""), 0700);
  int ring = open(at(path, "gnt", "/1"), O_RDWR | O_CREAT | O_TRUNC, 0600);
  if (ring < 0 || ftruncate(ring, 4096) < 0) fail(path);
  page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, ring, 0);
  if (page == MAP_FAILED) fail(path);
  mkfifo(at(path, "evt", "/1"), 0600);
  event = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
  FILE *state = fopen(at(path, "dom", ""), "w");
  if (event < 0 || !state || fputs("running", state) < 0 || fclose(state)) fail(path);

  have_introduced(argv[3]);
  unsigned peer, port;
  FILE *other_end = fopen(at(path, "evt", "/1.peer"), "r");
  if (!other_end || fscanf(other_end, "%u %u", &peer, &port) != 2) fail(path);
  fclose(other_end);
  snprintf(path, sizeof path, "%s/evt/%u/%u", base, peer, port);
  notify = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
  if (notify < 0) fail(path);

  int listener = unix_socket(argv[2], bind);
  if (listen(listener, 8) < 0) fail(argv[2]);
  puts("ready");
  fflush(stdout);
  for (int client; (client = accept4(listener, NULL, NULL, SOCK_CLOEXEC)) >= 0;) {
    reset();
    serve(client);
    close(client);
  }
  return 0;
}
