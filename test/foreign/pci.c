/* Configuration space: probing, sizing, capability lists, MSI-X. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "foreign.h"

enum { CONF_READ = 0, CONF_WRITE = 1, ENABLE_MSIX = 4, DISABLE_MSIX = 5 };

int patience(void)
{
    const char *text = getenv("FOREIGN_PATIENCE");
    return text ? atoi(text) : 2000;
}

static struct pci_op op_for(const struct function *fn, uint32_t cmd)
{
    return (struct pci_op){.cmd = cmd, .err = 0x5a5a5a5a, .domain = fn->domain, .bus = fn->bus, .devfn = fn->devfn};
}

int pci_read(struct bus *bus, const struct function *fn, int offset, int size, uint32_t *value)
{
    struct pci_op op = op_for(fn, CONF_READ);
    op.offset = offset;
    op.size = size;
    *value = 0xffffffffu;
    if (!channel_exchange(bus->channel, &op, patience()))
        return PCI_LOST;
    if (op.err == 0)
        *value = size == 4 ? op.value : op.value & ((1u << (8 * size)) - 1);
    return op.err;
}

int pci_write(struct bus *bus, const struct function *fn, int offset, int size, uint32_t value)
{
    struct pci_op op = op_for(fn, CONF_WRITE);
    op.offset = offset;
    op.size = size;
    op.value = value;
    return channel_exchange(bus->channel, &op, patience()) ? op.err : PCI_LOST;
}

static uint32_t peek(struct bus *bus, const struct function *fn, int offset, int size)
{
    uint32_t value;
    pci_read(bus, fn, offset, size, &value);
    return value;
}

/* The register, and what it shows after all ones were written; it gets its old value back. */
static void size_register(struct bus *bus, const struct function *fn, int offset, uint32_t ones, uint32_t *was,
                          uint32_t *mask)
{
    *was = peek(bus, fn, offset, 4);
    pci_write(bus, fn, offset, 4, ones);
    *mask = peek(bus, fn, offset, 4);
    pci_write(bus, fn, offset, 4, *was);
}

static uint64_t lowest_bit(uint64_t bits) { return bits & (~bits + 1); }

static void size_bars(struct bus *bus, struct function *fn)
{
    const int count = fn->header == 0 ? 6 : fn->header == 1 ? 2 : 0;
    const int rom = fn->header == 0 ? 0x30 : 0x38;
    const uint32_t command = peek(bus, fn, 4, 2);
    uint32_t was, mask, upper, upper_mask;
    if (count == 0)
        return;
    if (command & 3)
        pci_write(bus, fn, 4, 2, command & ~3u);
    for (int i = 0; i < count; i++) {
        struct bar *bar = &fn->bar[fn->bars];
        size_register(bus, fn, 0x10 + 4 * i, 0xffffffffu, &was, &mask);
        if (mask == 0)
            continue;
        bar->index = i;
        if (mask & 1) {
            *bar = (struct bar){i, 'i', was & ~3u, lowest_bit(mask & ~3u), was};
        } else if ((mask & 6) == 4 && i + 1 < count) {
            size_register(bus, fn, 0x14 + 4 * i, 0xffffffffu, &upper, &upper_mask);
            *bar = (struct bar){i, 'M', (uint64_t)upper << 32 | (was & ~0xfu),
                                lowest_bit((uint64_t)upper_mask << 32 | (mask & ~0xfu)), was};
            i++;
        } else {
            *bar = (struct bar){i, 'm', was & ~0xfu, lowest_bit(mask & ~0xfu), was};
        }
        fn->bars++;
    }
    size_register(bus, fn, rom, 0xfffff800u, &was, &mask);
    if (mask & 0xfffff800u)
        fn->bar[fn->bars++] = (struct bar){6, 'r', was & 0xfffff800u, lowest_bit(mask & 0xfffff800u), was};
    if (command & 3)
        pci_write(bus, fn, 4, 2, command);
}

static void walk_capabilities(struct bus *bus, struct function *fn)
{
    bool has_extended = false;
    uint16_t at = peek(bus, fn, 6, 2) & 0x10 ? peek(bus, fn, 0x34, 1) & 0xfc : 0;
    while (at >= 0x40 && fn->capabilities < 48) {
        const uint32_t head = peek(bus, fn, at, 2);
        const uint8_t id = head & 0xff;
        fn->capability[fn->capabilities++] = (struct capability){id, at};
        if (id == 0x01)
            fn->pm = at;
        if (id == 0x03)
            fn->vpd = at;
        if (id == 0x05)
            fn->msi = at;
        if (id == 0x10)
            has_extended = true;
        if (id == 0x11) {
            fn->msix = at;
            fn->msix_entries = (int)(peek(bus, fn, at + 2, 2) & 0x7ff) + 1;
        }
        at = head >> 8 & 0xfc;
    }
    at = has_extended ? 0x100 : 0;
    while (at >= 0x100 && fn->extended < 64) {
        const uint32_t head = peek(bus, fn, at, 4);
        if (head == 0 || head == 0xffffffffu)
            break;
        fn->extended_capability[fn->extended++] = (struct capability){head & 0xffff, at};
        at = head >> 20 & 0xffc;
    }
}

static bool is_known(const struct bus *bus, const struct function *fn)
{
    for (int i = 0; i < bus->functions; i++) {
        const struct function *known = &bus->function[i];
        if (known->domain == fn->domain && known->bus == fn->bus && known->devfn == fn->devfn)
            return true;
    }
    return false;
}

void pci_scan_root(struct bus *bus, uint32_t domain, uint32_t number)
{
    for (uint32_t devfn = 0; devfn < 256 && bus->functions < MAX_FUNCTIONS; devfn++) {
        struct function fn = {.domain = domain, .bus = number, .devfn = devfn};
        uint32_t id;
        if (is_known(bus, &fn) || pci_read(bus, &fn, 0, 4, &id) != 0 || id == 0 || id == 0xffffffffu)
            continue;
        fn.vendor = id & 0xffff;
        fn.device = id >> 16;
        fn.class_code = peek(bus, &fn, 8, 4) >> 8;
        fn.header = peek(bus, &fn, 0x0e, 1) & 0x7f;
        fn.line = peek(bus, &fn, 0x3c, 1);
        fn.pin = peek(bus, &fn, 0x3d, 1);
        size_bars(bus, &fn);
        walk_capabilities(bus, &fn);
        bus->function[bus->functions++] = fn;
    }
}

bool pci_enable_msix(struct bus *bus, struct function *fn, char *why, size_t length)
{
    struct pci_op op = op_for(fn, ENABLE_MSIX);
    const uint32_t command = peek(bus, fn, 4, 2);
    pci_write(bus, fn, 4, 2, command | 6);
    op.value = fn->msix_entries < 128 ? (uint32_t)fn->msix_entries : 128;
    for (uint32_t i = 0; i < op.value; i++)
        op.msix[i] = (struct msix_entry){.vector = 0xffff, .entry = (uint16_t)i};
    const uint32_t wanted = op.value;
    if (!channel_exchange(bus->channel, &op, patience()) || op.err != 0 || op.value != 0) {
        snprintf(why, length, "err %d value %u", op.err, op.value);
        return false;
    }
    for (uint32_t i = 0; i < wanted; i++) {
        fn->vectors[i] = op.msix[i].vector;
        for (uint32_t j = 0; j < i; j++)
            if (op.msix[i].vector == 0 || op.msix[i].vector == op.msix[j].vector) {
                snprintf(why, length, "vectors %u and %u are %u and %u", j, i, op.msix[j].vector, op.msix[i].vector);
                return false;
            }
    }
    fn->enabled_vectors = (int)wanted;
    snprintf(why, length, "%u vectors", wanted);
    return wanted > 0 && op.msix[0].vector != 0;
}

bool pci_disable_msix(struct bus *bus, struct function *fn)
{
    struct pci_op op = op_for(fn, DISABLE_MSIX);
    fn->enabled_vectors = 0;
    return channel_exchange(bus->channel, &op, patience()) && op.err == 0;
}
