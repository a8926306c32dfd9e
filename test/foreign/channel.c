/* The page is a file that both ends map; the event channel is a FIFO at each end, and a text that names the other one. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "foreign.h"

enum { FIRST_GRANT = 20, FIRST_PORT = 9, TRIES = 1000 };

static char root[256];
static unsigned self;
static int incoming = -1, outgoing = -1;
static struct stat peer_seen;

static void path_of(char *path, size_t size, const char *kind, unsigned domid, uint32_t number, const char *suffix)
{
    snprintf(path, size, "%s/%s/%u/%u%s", root, kind, domid, number, suffix);
}

static void make_directory(const char *kind)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%s/%u", root, kind, self);
    mkdir(path, 0777);
}

/* A page of zeroes under the first free number. */
static struct shared_page *make_page(uint32_t *number)
{
    char path[512];
    for (*number = FIRST_GRANT; *number < FIRST_GRANT + TRIES; ++*number) {
        path_of(path, sizeof path, "gnt", self, *number, "");
        const int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (fd < 0 && errno == EEXIST)
            continue;
        if (fd < 0 || ftruncate(fd, sizeof(struct shared_page)) != 0)
            return NULL;
        void *page = mmap(NULL, sizeof(struct shared_page), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        close(fd);
        return page == MAP_FAILED ? NULL : page;
    }
    return NULL;
}

bool channel_open(struct channel *channel, const char *directory, unsigned domid)
{
    char path[512];
    memset(channel, 0, sizeof *channel);
    snprintf(root, sizeof root, "%s", directory);
    self = domid;
    make_directory("gnt");
    make_directory("evt");
    channel->page = make_page(&channel->grant);
    if (!channel->page)
        return false;
    for (channel->port = FIRST_PORT;; channel->port++) {
        path_of(path, sizeof path, "evt", self, channel->port, "");
        if (mkfifo(path, 0666) == 0)
            break;
        if (errno != EEXIST || channel->port == FIRST_PORT + TRIES)
            return false;
    }
    incoming = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
    __atomic_fetch_or(&channel->page->flags, FLAG_AER_HANDLER, __ATOMIC_SEQ_CST);
    memset(channel->page->unused, 0xA5, sizeof channel->page->unused);
    return incoming >= 0;
}

void channel_close(struct channel *channel)
{
    char path[512];
    path_of(path, sizeof path, "gnt", self, channel->grant, "");
    unlink(path);
    path_of(path, sizeof path, "evt", self, channel->port, "");
    unlink(path);
    path_of(path, sizeof path, "evt", self, channel->port, ".peer");
    unlink(path);
    munmap(channel->page, sizeof *channel->page);
    close(incoming);
    if (outgoing >= 0)
        close(outgoing);
    incoming = outgoing = -1;
}

/* The other end, opened anew when another back-end has bound itself to our port. */
static int other_end(const struct channel *channel)
{
    char path[512], text[64] = "";
    struct stat seen;
    unsigned domid, port;
    path_of(path, sizeof path, "evt", self, channel->port, ".peer");
    if (stat(path, &seen) != 0)
        return -1;
    if (outgoing >= 0 && seen.st_ino == peer_seen.st_ino && seen.st_mtim.tv_sec == peer_seen.st_mtim.tv_sec &&
        seen.st_mtim.tv_nsec == peer_seen.st_mtim.tv_nsec)
        return outgoing;
    if (outgoing >= 0)
        close(outgoing);
    outgoing = -1;
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    const ssize_t length = read(fd, text, sizeof text - 1);
    close(fd);
    if (length <= 0 || sscanf(text, "%u %u", &domid, &port) != 2)
        return -1;
    path_of(path, sizeof path, "evt", domid, port, "");
    outgoing = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
    peer_seen = seen;
    return outgoing;
}

void channel_notify(struct channel *channel)
{
    const int fd = other_end(channel);
    /* A full FIFO is an event that is pending already. */
    if (fd >= 0 && write(fd, "", 1) < 0 && errno != EAGAIN)
        outgoing = -1;
}

static void drain(void)
{
    char bytes[256];
    while (read(incoming, bytes, sizeof bytes) > 0) {
    }
}

double seconds(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

/* Whether all that an answer may not touch is as it was in the request. */
static bool is_undisturbed(const struct pci_op *sent, const struct pci_op *answer, const struct channel *channel)
{
    struct pci_op expected = *sent;
    expected.err = answer->err;
    if (sent->cmd != 1)
        expected.value = answer->value;
    if (sent->cmd == 4 && answer->err == 0)
        for (uint32_t i = 0; i < sent->value && i < 128; i++)
            expected.msix[i].vector = answer->msix[i].vector;
    if (memcmp(&expected, answer, sizeof expected) != 0)
        return false;
    for (size_t i = 0; i < sizeof channel->page->unused; i++)
        if (channel->page->unused[i] != 0xA5)
            return false;
    return (__atomic_load_n(&channel->page->flags, __ATOMIC_ACQUIRE) & FLAG_AER_HANDLER) != 0;
}

bool channel_exchange(struct channel *channel, struct pci_op *op, int milliseconds)
{
    struct shared_page *page = channel->page;
    const double deadline = seconds() + milliseconds / 1e3;
    channel->requests++;
    page->op = *op;
    __atomic_fetch_or(&page->flags, FLAG_ACTIVE, __ATOMIC_SEQ_CST);
    channel_notify(channel);
    for (;;) {
        drain();
        if (!(__atomic_load_n(&page->flags, __ATOMIC_ACQUIRE) & FLAG_ACTIVE))
            break;
        const int left = (int)((deadline - seconds()) * 1e3);
        if (left <= 0) {
            /* The answer may have come this very moment; it is then taken. */
            if (!(__atomic_fetch_and(&page->flags, ~(uint32_t)FLAG_ACTIVE, __ATOMIC_SEQ_CST) & FLAG_ACTIVE))
                break;
            channel->lost++;
            return false;
        }
        struct pollfd wanted = {incoming, POLLIN, 0};
        poll(&wanted, 1, left);
    }
    const struct pci_op answer = page->op;
    if (!is_undisturbed(op, &answer, channel))
        channel->disturbed++;
    *op = answer;
    return true;
}
