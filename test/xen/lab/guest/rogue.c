/* rogue: a front-end that means harm. Grants domain 0 a page and an event channel, prints "REFERENCE PORT", and then notifies as fast
 * as it can until it is told to end (SIGTERM), now and then for a while with a page full of nonsense; tells then how often. */
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

/* The kernel's header leaves it to Xen's. */
typedef uint16_t domid_t;
#include <xen/evtchn.h>
#include <xen/gntalloc.h>

enum { page_size = 4096, turn = 4096, nonsense_of_turn = 64 };

static volatile sig_atomic_t told_to_end;
static void end(int signal) { told_to_end = signal; }

static int failed(const char *what) {
    perror(what);
    return 1;
}

int main(void) {
    int grants = open("/dev/xen/gntalloc", O_RDWR), channels = open("/dev/xen/evtchn", O_RDWR);
    if (grants < 0 || channels < 0) return failed("/dev/xen");
    struct ioctl_gntalloc_alloc_gref grant = {.domid = 0, .flags = GNTALLOC_FLAG_WRITABLE, .count = 1};
    if (ioctl(grants, IOCTL_GNTALLOC_ALLOC_GREF, &grant) != 0) return failed("grant");
    volatile uint32_t *page = mmap(NULL, page_size, PROT_READ | PROT_WRITE, MAP_SHARED, grants, grant.index);
    if (page == MAP_FAILED) return failed("map");
    struct ioctl_evtchn_bind_unbound_port unbound = {.remote_domain = 0};
    int port = ioctl(channels, IOCTL_EVTCHN_BIND_UNBOUND_PORT, &unbound);
    if (port < 0) return failed("event channel");
    printf("%u %d\n", grant.gref_ids[0], port);
    fflush(stdout);

    signal(SIGTERM, end);
    struct ioctl_evtchn_notify notify = {.port = port};
    unsigned long notified = 0, nonsense = 0;
    for (; !told_to_end; notified++) {
        if (notified % turn < nonsense_of_turn) {
            for (int word = 1; word < page_size / 4; word++) page[word] = random() ^ (uint32_t)random() << 16;
            page[0] = ~0u; /* A request is there, and everything else that a flag can say. */
            nonsense++;
        }
        /* Fails as long as nobody has bound the other end. */
        if (ioctl(channels, IOCTL_EVTCHN_NOTIFY, &notify) != 0) usleep(1000);
    }
    printf("notified %lu times, %lu times with nonsense\n", notified, nonsense);
    return 0;
}
