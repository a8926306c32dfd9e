/* What an honest front-end never sends. Every attempt must be answered, and none may change what it aims at. */
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "foreign.h"

enum { RACES = 2000, RACE_PATIENCE = 2000, STORM = 200000 };
enum { NOT_FOUND = -1, BAD_OFFSET = -2, DENIED = -3, NOT_IMPLEMENTED = -4, FAILED = -5 };

static bool all_held;

static void report(const char *name, bool held, const char *format, long a, long b)
{
    char detail[128];
    snprintf(detail, sizeof detail, format, a, b);
    printf("{\"event\":\"attempt\",\"name\":\"%s\",\"held\":%s,\"answer\":\"%s\"}\n", name, held ? "true" : "false", detail);
    all_held = all_held && held;
}

/* A request that must be answered with exactly this error. A failed read shows no value. */
static void expect_error(struct bus *bus, const char *name, struct pci_op op, int err)
{
    const uint32_t value = op.value;
    const bool is_bad_read = op.cmd == 0 && err == BAD_OFFSET;
    op.err = 0x5a5a5a5a;
    if (!channel_exchange(bus->channel, &op, patience())) {
        report(name, false, "no answer", 0, 0);
        return;
    }
    const bool held = op.err == err && (err == FAILED || op.value == (is_bad_read ? 0 : value));
    report(name, held, "err %ld value %ld", op.err, (long)op.value);
    if (op.cmd == 4 && op.err == 0) {
        op.cmd = 5;
        channel_exchange(bus->channel, &op, patience());
    }
}

/* A write that may be refused or dropped; the register must read as before. */
static void expect_unchanged(struct bus *bus, struct function *fn, const char *name, int offset, int size, uint32_t value)
{
    uint32_t before, after;
    pci_read(bus, fn, offset, size, &before);
    const int err = pci_write(bus, fn, offset, size, value);
    pci_read(bus, fn, offset, size, &after);
    /* What got through must not spoil what follows. */
    if (after != before)
        pci_write(bus, fn, offset, size, before);
    report(name, (err == 0 || err == DENIED) && before == after, "err %ld, reads %ld afterwards", err, (long)after);
}

static void bad_shapes(struct bus *bus, const struct pci_op *read)
{
    static const struct {
        const char *name;
        int32_t offset, size;
    } shapes[] = {
        {"offset -4", -4, 4},        {"offset -1", -1, 1},           {"offset INT_MIN", INT32_MIN, 4},
        {"offset 4096", 4096, 4},    {"offset 4095/2", 4095, 2},     {"offset INT_MAX", INT32_MAX - 3, 4},
        {"offset 1/2", 1, 2},        {"offset 2/4", 2, 4},           {"size 0", 0, 0},
        {"size 3", 0, 3},            {"size 5", 0, 5},               {"size 8", 0, 8},
        {"size -1", 0, -1},          {"size INT_MIN", 0, INT32_MIN}, {"size INT_MAX", 0, INT32_MAX},
    };
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        struct pci_op op = *read;
        op.offset = shapes[i].offset;
        op.size = shapes[i].size;
        op.value = 0x13572468;
        expect_error(bus, shapes[i].name, op, BAD_OFFSET);
        op.cmd = 1;
        op.value = 0;
        expect_error(bus, shapes[i].name, op, BAD_OFFSET);
    }
}

static void bad_addresses(struct bus *bus, const struct pci_op *read)
{
    static const struct {
        const char *name;
        uint32_t domain, bus, devfn;
    } plus[] = {
        {"devfn + 0x100", 0, 0, 0x100},      {"devfn + 0x80000000", 0, 0, 0x80000000u},
        {"bus + 0x100", 0, 0x100, 0},        {"bus + 0x10000", 0, 0x10000, 0},
        {"domain + 0x10000", 0x10000, 0, 0}, {"domain + 0xffffffff", 0xffffffffu, 0, 0},
    };
    for (size_t i = 0; i < sizeof plus / sizeof *plus; i++) {
        struct pci_op op = *read;
        op.domain += plus[i].domain;
        op.bus += plus[i].bus;
        op.devfn += plus[i].devfn;
        op.value = 0x78563412;
        expect_error(bus, plus[i].name, op, NOT_FOUND);
        op.cmd = 77;
        expect_error(bus, plus[i].name, op, NOT_FOUND);
    }
}

static void bad_commands(struct bus *bus, const struct pci_op *read)
{
    static const uint32_t commands[] = {6, 7, 8, 9, 10, 11, 0x100, 0x7fffffff, 0x80000000u, 0xffffffffu};
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) {
        char name[32];
        struct pci_op op = *read;
        op.cmd = commands[i];
        op.value = 1;
        snprintf(name, sizeof name, "command %#x", commands[i]);
        expect_error(bus, name, op, NOT_IMPLEMENTED);
    }
}

static void bad_msix(struct bus *bus, const struct pci_op *read)
{
    struct pci_op op = *read;
    op.cmd = 4;
    op.value = 0;
    expect_error(bus, "no vectors", op, FAILED);
    op.value = 129;
    expect_error(bus, "129 vectors", op, FAILED);
    op.value = 0xffffffffu;
    expect_error(bus, "0xffffffff vectors", op, FAILED);
    op.value = 2;
    expect_error(bus, "one entry twice", op, FAILED);
    op.msix[1].entry = 0xffff;
    expect_error(bus, "entry 0xffff", op, FAILED);
}

static void forbidden_writes(struct bus *bus, struct function *fn)
{
    expect_unchanged(bus, fn, "identity", 0, 4, 0xdeadbeefu);
    expect_unchanged(bus, fn, "class", 8, 4, 0x06040000);
    expect_unchanged(bus, fn, "interrupt line", 0x3c, 1, 0x5c);
    for (int i = 0; i < fn->bars; i++)
        if (fn->bar[i].kind != 'r')
            expect_unchanged(bus, fn, "relocate a BAR", 0x10 + 4 * fn->bar[i].index, 4, 0xd0000000u);
    if (fn->msi) {
        expect_unchanged(bus, fn, "MSI address", fn->msi + 4, 4, 0xfee00000u);
        expect_unchanged(bus, fn, "MSI enable", fn->msi + 2, 2, 0x0001);
        expect_unchanged(bus, fn, "MSI enable, as half of a dword", fn->msi, 4, 0x0001ffff);
    }
    if (fn->msix) {
        uint32_t control;
        pci_read(bus, fn, fn->msix + 2, 2, &control);
        expect_unchanged(bus, fn, "MSI-X enable", fn->msix + 2, 2, control ^ 0x8000);
        expect_unchanged(bus, fn, "MSI-X table", fn->msix + 4, 4, 0x00001001);
    }
    if (fn->vpd)
        expect_unchanged(bus, fn, "VPD write", fn->vpd + 2, 2, 0x8004);
    for (int i = 0; i < fn->extended; i++)
        expect_unchanged(bus, fn, "extended capability", fn->extended_capability[i].offset + 4, 4, 0xffffffffu);
}

struct flicker {
    volatile int32_t *field;
    int32_t values[2];
    volatile bool stop;
};

static void *flicker(void *argument)
{
    struct flicker *what = argument;
    for (unsigned i = 0; !what->stop; i++)
        *what->field = what->values[i & 1];
    *what->field = what->values[0];
    return NULL;
}

/* A field that changes without pause while the request is worked on: the answer is that for the one value or the other. */
static void race(struct bus *bus, const struct pci_op *read, const char *name, volatile int32_t *field, int32_t one,
                 int32_t other, uint32_t identity)
{
    long strange = 0, answered = 0;
    for (int i = 0; i < RACES / 100; i++) {
        struct flicker what = {field, {one, other}, false};
        pthread_t thread;
        if (pthread_create(&thread, NULL, flicker, &what) != 0)
            break;
        for (int j = 0; j < 100; j++) {
            struct pci_op op = *read;
            if (!channel_exchange(bus->channel, &op, 20))
                continue;
            answered++;
            if (!(op.err == 0 && op.value == identity) && op.err != BAD_OFFSET && op.err != NOT_FOUND)
                strange++;
        }
        what.stop = true;
        pthread_join(thread, NULL);
    }
    report(name, strange == 0, "%ld answered, %ld of them strangely", answered, strange);
}

static void races(struct bus *bus, struct function *fn, const struct pci_op *read)
{
    struct channel *channel = bus->channel;
    struct pci_op *op = &channel->page->op;
    const uint32_t identity = (uint32_t)fn->device << 16 | fn->vendor;
    const uint64_t lost = channel->lost, disturbed = channel->disturbed;
    race(bus, read, "offset changes", &op->offset, 0, INT32_MIN, identity);
    race(bus, read, "size changes", &op->size, 4, 0x40000004, identity);
    race(bus, read, "domain changes", (volatile int32_t *)&op->domain, (int32_t)read->domain, 0x10000, identity);
    /* Who rewrites a request while it is answered spoils it himself. */
    channel->lost = lost;
    channel->disturbed = disturbed;
}

static bool is_served(struct bus *bus, struct function *fn)
{
    uint32_t identity;
    return pci_read(bus, fn, 0, 4, &identity) == 0 && identity == ((uint32_t)fn->device << 16 | fn->vendor);
}

static void flags_and_storms(struct bus *bus, struct function *fn)
{
    struct shared_page *page = bus->channel->page;
    __atomic_fetch_or(&page->flags, FLAG_AER_ACTIVE, __ATOMIC_SEQ_CST);
    channel_notify(bus->channel);
    bool held = is_served(bus, fn);
    held = held && (__atomic_load_n(&page->flags, __ATOMIC_SEQ_CST) & FLAG_AER_ACTIVE);
    __atomic_fetch_and(&page->flags, ~(uint32_t)FLAG_AER_ACTIVE, __ATOMIC_SEQ_CST);
    report("an AER answer that nobody asked for", held, "the bit is left alone", 0, 0);

    for (int i = 0; i < STORM; i++)
        channel_notify(bus->channel);
    report("events without requests", is_served(bus, fn), "%ld events", STORM, 0);
}

bool misbehave(struct bus *bus, struct function *fn)
{
    const struct pci_op read = {
        .err = 0x5a5a5a5a, .domain = fn->domain, .bus = fn->bus, .devfn = fn->devfn, .size = 4};
    all_held = true;
    bad_shapes(bus, &read);
    bad_addresses(bus, &read);
    bad_commands(bus, &read);
    bad_msix(bus, &read);
    forbidden_writes(bus, fn);
    races(bus, fn, &read);
    flags_and_storms(bus, fn);
    report("still served after all that", is_served(bus, fn), "%ld lost, %ld disturbed", (long)bus->channel->lost,
           (long)bus->channel->disturbed);
    return all_held && bus->channel->lost == 0 && bus->channel->disturbed == 0;
}
