/* The handshake over xenstore, and what follows from the back-end's states. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "foreign.h"

static const char device[] = "device/pci/0";
static char *backend;
static int own_state;

static char *read_key(const char *directory, const char *key)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%s", directory, key);
    return xs_read(0, path);
}

static long read_number(const char *directory, const char *key, long missing)
{
    char *text = read_key(directory, key);
    const long value = text ? strtol(text, NULL, 10) : missing;
    free(text);
    return value;
}

int xenbus_backend_state(void) { return backend ? (int)read_number(backend, "state", UNKNOWN) : UNKNOWN; }

static bool write_key(uint32_t transaction, const char *key, const char *value)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%s", device, key);
    return xs_write(transaction, path, value);
}

bool xenbus_go_to(int state)
{
    char text[16];
    snprintf(text, sizeof text, "%d", state);
    own_state = state;
    printf("{\"event\":\"state\",\"state\":%d}\n", state);
    return write_key(0, "state", text);
}

static bool publish(const struct channel *channel)
{
    char grant[16], port[16];
    snprintf(grant, sizeof grant, "%u", channel->grant);
    snprintf(port, sizeof port, "%u", channel->port);
    for (int tries = 0; tries < 100; tries++) {
        const uint32_t transaction = xs_begin();
        if (!transaction || !write_key(transaction, "pci-op-ref", grant) ||
            !write_key(transaction, "event-channel", port) || !write_key(transaction, "magic", "7"))
            return false;
        const int outcome = xs_commit(transaction);
        if (outcome != 0)
            return outcome > 0;
    }
    return false;
}

/* Waits until the back-end's state is at least this; false when the time is over. */
static bool await_backend(int state, double patience)
{
    const double deadline = seconds() + patience;
    while (xenbus_backend_state() < state) {
        const double left = deadline - seconds();
        if (left <= 0)
            return false;
        xs_wait_event((int)(left * 1000));
    }
    return true;
}

void xenbus_scan_roots(struct bus *bus)
{
    const long roots = read_number(backend, "root_num", -1);
    if (roots < 0)
        pci_scan_root(bus, 0, 0);
    for (long i = 0; i < roots && i < 256; i++) {
        char key[32];
        unsigned domain, number;
        snprintf(key, sizeof key, "root-%ld", i);
        char *text = read_key(backend, key);
        if (text && sscanf(text, "%x:%x", &domain, &number) == 2)
            pci_scan_root(bus, domain, number);
        free(text);
    }
}

bool xenbus_connect(struct channel *channel, const char *directory, unsigned domid)
{
    char path[512];
    const double deadline = seconds() + 30;
    snprintf(path, sizeof path, "%s/xenstored/dom%u", directory, domid);
    while (access(path, F_OK) != 0 && seconds() < deadline)
        usleep(20000);
    if (!xs_connect(path) || !xs_watch(device, "device"))
        return false;
    while (!(backend = read_key(device, "backend")) && seconds() < deadline)
        xs_wait_event(1000);
    if (!backend || !channel_open(channel, directory, domid) || !publish(channel) || !xenbus_go_to(INITIALISED))
        return false;
    snprintf(path, sizeof path, "%s/state", backend);
    return xs_watch(path, "backend") && await_backend(CONNECTED, 30) && xenbus_backend_state() == CONNECTED;
}

static void forget_closing_functions(struct bus *bus)
{
    const long count = read_number(backend, "num_devs", 0);
    for (long i = 0; i < count && i < 256; i++) {
        char key[32];
        unsigned domain, number, slot, function;
        snprintf(key, sizeof key, "state-%ld", i);
        if (read_number(backend, key, UNKNOWN) != CLOSING)
            continue;
        snprintf(key, sizeof key, "vdev-%ld", i);
        char *text = read_key(backend, key);
        const bool known = text && sscanf(text, "%x:%x:%x.%x", &domain, &number, &slot, &function) == 4;
        free(text);
        for (int j = 0; known && j < bus->functions; j++) {
            struct function *fn = &bus->function[j];
            if (fn->domain != domain || fn->bus != number || fn->devfn != (slot << 3 | function))
                continue;
            printf("{\"event\":\"removed\",\"address\":\"%04x:%02x:%02x.%x\"}\n", domain, number, slot, function);
            *fn = bus->function[--bus->functions];
        }
    }
}

/* Takes part in what the back-end does. False when it is going away. */
bool xenbus_follow(struct bus *bus)
{
    const int state = xenbus_backend_state();
    if (state == RECONFIGURING && own_state == CONNECTED) {
        forget_closing_functions(bus);
        xenbus_go_to(RECONFIGURING);
    } else if (state == RECONFIGURED && own_state == RECONFIGURING) {
        const int before = bus->functions;
        xenbus_scan_roots(bus);
        printf("{\"event\":\"added\",\"functions\":%d}\n", bus->functions - before);
        xenbus_go_to(CONNECTED);
    } else if (state == CLOSING || state == CLOSED || state == UNKNOWN) {
        xenbus_go_to(CLOSED);
        return false;
    }
    return true;
}

bool xenbus_close(void)
{
    if (own_state == CLOSED)
        return true;
    return xenbus_go_to(CLOSING) && await_backend(CLOSING, patience() / 1e3) && xenbus_go_to(CLOSED) && await_backend(CLOSED, patience() / 1e3);
}
