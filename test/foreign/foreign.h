/* The parts of a small PCI front-end for guests that are processes. */
#ifndef FOREIGN_H
#define FOREIGN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Seconds of a clock that only goes forward. */
double seconds(void);

/* ---- xenstore.c: a client of one connection; a refused request is NULL or false -------------------------------- */

bool xs_connect(const char *socket_path);
/* The value, to be freed by the caller; NULL when there is none. */
char *xs_read(uint32_t transaction, const char *path);
bool xs_write(uint32_t transaction, const char *path, const char *value);
bool xs_watch(const char *path, const char *token);
/* 0 when it cannot be begun. */
uint32_t xs_begin(void);
/* 1 done, 0 conflict, -1 refused. */
int xs_commit(uint32_t transaction);
/* Waits for a watch event, but no longer than this; takes all that have come. */
bool xs_wait_event(int milliseconds);

/* ---- channel.c: the shared page and the event channel ---------------------------------------------------------- */

struct msix_entry {
    uint16_t vector;
    uint16_t entry;
};

struct pci_op {
    uint32_t cmd;
    int32_t err;
    uint32_t domain;
    uint32_t bus;
    uint32_t devfn;
    int32_t offset;
    int32_t size;
    uint32_t value;
    uint32_t info;
    struct msix_entry msix[128];
};

struct aer_op {
    uint32_t cmd;
    int32_t err;
    uint32_t domain, bus, devfn;
};

struct shared_page {
    uint32_t flags;
    struct pci_op op;
    struct aer_op aer;
    uint8_t unused[4096 - 572];
};

_Static_assert(offsetof(struct pci_op, msix) == 36, "entries of an op");
_Static_assert(sizeof(struct pci_op) == 548, "size of an op");
_Static_assert(offsetof(struct shared_page, aer) == 552, "place of the AER op");
_Static_assert(sizeof(struct shared_page) == 4096, "size of the page");

enum { FLAG_ACTIVE = 1, FLAG_AER_HANDLER = 2, FLAG_AER_ACTIVE = 4 };

struct channel {
    struct shared_page *page;
    uint32_t grant;
    uint32_t port;
    uint64_t requests;
    uint64_t lost;
    /* Answers that changed what an answer must leave alone. */
    uint64_t disturbed;
};

bool channel_open(struct channel *channel, const char *directory, unsigned domid);
void channel_close(struct channel *channel);
void channel_notify(struct channel *channel);
/* Sends the op and puts the answer in its place. False when none came within the time; it is then withdrawn. */
bool channel_exchange(struct channel *channel, struct pci_op *op, int milliseconds);

/* ---- pci.c: what a PCI core does ------------------------------------------------------------------------------- */

struct bar {
    int index; /* 6: the ROM */
    char kind; /* i: ports, m: 32-bit, M: 64-bit, r: ROM */
    uint64_t base, size;
    uint32_t low; /* the register, type bits and all */
};

struct capability {
    uint16_t id, offset;
};

struct function {
    uint32_t domain, bus, devfn;
    uint16_t vendor, device;
    uint32_t class_code;
    uint8_t header, pin, line;
    int bars, capabilities, extended;
    struct bar bar[7];
    struct capability capability[48], extended_capability[64];
    uint16_t msix, msi, vpd, pm; /* offsets, 0 when there is none */
    int msix_entries;
    uint16_t vectors[128];
    int enabled_vectors;
};

enum { MAX_FUNCTIONS = 64 };

/* Milliseconds after which a request is given up: two seconds like Linux, or what FOREIGN_PATIENCE says. */
int patience(void);

struct bus {
    struct channel *channel;
    int functions;
    struct function function[MAX_FUNCTIONS];
};

/* The error of the wire, or PCI_LOST; the value through the pointer. */
enum { PCI_LOST = -100 };
int pci_read(struct bus *bus, const struct function *fn, int offset, int size, uint32_t *value);
int pci_write(struct bus *bus, const struct function *fn, int offset, int size, uint32_t value);
/* Finds what is not known yet. */
void pci_scan_root(struct bus *bus, uint32_t domain, uint32_t number);
bool pci_enable_msix(struct bus *bus, struct function *fn, char *why, size_t length);
bool pci_disable_msix(struct bus *bus, struct function *fn);

/* ---- xenbus.c ---------------------------------------------------------------------------------------------------- */

enum { UNKNOWN, INITIALISING, INIT_WAIT, INITIALISED, CONNECTED, CLOSING, CLOSED, RECONFIGURING, RECONFIGURED };

/* Waits for the device, publishes page and port, waits until the back-end is connected. */
bool xenbus_connect(struct channel *channel, const char *directory, unsigned domid);
bool xenbus_go_to(int state);
int xenbus_backend_state(void);
void xenbus_scan_roots(struct bus *bus);
/* Takes part in what the back-end does. False when it is going away. */
bool xenbus_follow(struct bus *bus);
/* Closes in step with the back-end; false when it does not follow. */
bool xenbus_close(void);

/* ---- misbehave.c ------------------------------------------------------------------------------------------------ */

/* Prints what was tried and returns whether the back-end held against all of it. */
bool misbehave(struct bus *bus, struct function *fn);

#endif
