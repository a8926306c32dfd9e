/* xenstore over a unix socket: a header of four words, then the payload. One request at a time. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "foreign.h"

enum { READ = 2, WATCH = 4, BEGIN = 6, END = 7, WRITE = 11, EVENT = 15, ERROR = 16 };
enum { LONGEST = 4096, ANSWER_TIME = 60000 };

struct header {
    uint32_t type, request, transaction, length;
};

static int connection = -1;
static uint32_t last_request;
static unsigned events;

bool xs_connect(const char *socket_path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(socket_path) >= sizeof address.sun_path)
        return false;
    strcpy(address.sun_path, socket_path);
    connection = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    return connection >= 0 && connect(connection, (struct sockaddr *)&address, sizeof address) == 0;
}

static bool readable(int milliseconds)
{
    struct pollfd wanted = {connection, POLLIN, 0};
    int ready;
    /* A signal that ends the program does not end what it is in the middle of. */
    do
        ready = poll(&wanted, 1, milliseconds);
    while (ready < 0 && errno == EINTR);
    return ready > 0;
}

static bool take(void *buffer, size_t length)
{
    char *next = buffer;
    while (length > 0) {
        ssize_t got = readable(ANSWER_TIME) ? read(connection, next, length) : -1;
        if (got <= 0)
            return false;
        next += got;
        length -= (size_t)got;
    }
    return true;
}

static bool give(const void *buffer, size_t length)
{
    const char *next = buffer;
    while (length > 0) {
        ssize_t sent = write(connection, next, length);
        if (sent <= 0)
            return false;
        next += sent;
        length -= (size_t)sent;
    }
    return true;
}

/* Takes one message. The payload ends with a NUL that is not part of it. */
static bool take_message(struct header *header, char *payload)
{
    if (!take(header, sizeof *header) || header->length > LONGEST || !take(payload, header->length))
        return false;
    payload[header->length] = '\0';
    if (header->type == EVENT)
        events++;
    return true;
}

/*
 * Sends a request and returns the payload of what came back: a reply, or an error if `refused` says so. A connection that
 * breaks ends the program: a guest cannot live without xenstore.
 */
static char *exchange(uint32_t type, uint32_t transaction, const void *payload, size_t length, bool *refused)
{
    static char reply[LONGEST + 1];
    struct header header = {type, ++last_request, transaction, (uint32_t)length};
    bool works = give(&header, sizeof header) && give(payload, length);
    do
        works = works && take_message(&header, reply);
    while (works && header.type == EVENT);
    if (!works || header.request != last_request || (header.type != type && header.type != ERROR)) {
        fprintf(stderr, "foreign: the connection to xenstore broke\n");
        exit(1);
    }
    *refused = header.type == ERROR;
    return reply;
}

static char *ask(uint32_t type, uint32_t transaction, const void *payload, size_t length)
{
    bool refused;
    char *reply = exchange(type, transaction, payload, length, &refused);
    return refused ? NULL : reply;
}

char *xs_read(uint32_t transaction, const char *path)
{
    const char *value = ask(READ, transaction, path, strlen(path) + 1);
    return value ? strdup(value) : NULL;
}

bool xs_write(uint32_t transaction, const char *path, const char *value)
{
    char payload[LONGEST];
    const int length = snprintf(payload, sizeof payload, "%s%c%s", path, '\0', value);
    return length > 0 && length < LONGEST && ask(WRITE, transaction, payload, (size_t)length);
}

bool xs_watch(const char *path, const char *token)
{
    char payload[LONGEST];
    const int length = snprintf(payload, sizeof payload, "%s%c%s%c", path, '\0', token, '\0');
    return length > 0 && length < LONGEST && ask(WATCH, 0, payload, (size_t)length);
}

uint32_t xs_begin(void)
{
    const char *id = ask(BEGIN, 0, "", 1);
    return id ? (uint32_t)strtoul(id, NULL, 10) : 0;
}

int xs_commit(uint32_t transaction)
{
    bool refused;
    const char *reply = exchange(END, transaction, "T", 2, &refused);
    return !refused ? 1 : strcmp(reply, "EAGAIN") == 0 ? 0 : -1;
}

bool xs_wait_event(int milliseconds)
{
    static char payload[LONGEST + 1];
    struct header header;
    while (readable(events ? 0 : milliseconds)) {
        if (!take_message(&header, payload)) {
            fprintf(stderr, "foreign: the connection to xenstore broke\n");
            exit(1);
        }
    }
    const bool any = events > 0;
    events = 0;
    return any;
}
