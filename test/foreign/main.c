/* A guest that connects, then does what the command line asks for. */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "foreign.h"

static volatile sig_atomic_t is_ended;
static struct channel channel;
static struct bus bus = {.channel = &channel};

static void end(int signal)
{
    (void)signal;
    is_ended = 1;
}

static void print_list(const char *name, const struct capability *list, int count)
{
    printf(",\"%s\":[", name);
    for (int i = 0; i < count; i++)
        printf("%s{\"id\":%u,\"offset\":%u}", i ? "," : "", list[i].id, list[i].offset);
    printf("]");
}

static bool report_scan(void)
{
    printf("{\"event\":\"scan\",\"requests\":%" PRIu64 ",\"functions\":[", channel.requests);
    for (int i = 0; i < bus.functions; i++) {
        const struct function *fn = &bus.function[i];
        printf("%s{\"address\":\"%04x:%02x:%02x.%x\",\"vendor\":%u,\"device\":%u,\"class\":%u,\"header\":%u,"
               "\"pin\":%u,\"line\":%u,\"msixEntries\":%d,\"bars\":[",
               i ? "," : "", fn->domain, fn->bus, fn->devfn >> 3, fn->devfn & 7, fn->vendor, fn->device,
               fn->class_code, fn->header, fn->pin, fn->line, fn->msix_entries);
        for (int j = 0; j < fn->bars; j++)
            printf("%s{\"index\":%d,\"kind\":\"%c\",\"base\":\"0x%" PRIx64 "\",\"size\":\"0x%" PRIx64 "\"}",
                   j ? "," : "", fn->bar[j].index, fn->bar[j].kind, fn->bar[j].base, fn->bar[j].size);
        printf("]");
        print_list("capabilities", fn->capability, fn->capabilities);
        print_list("extended", fn->extended_capability, fn->extended);
        printf("}");
    }
    printf("]}\n");
    return true;
}

static bool enable_msix(void)
{
    bool all = true;
    for (int i = 0; i < bus.functions; i++) {
        struct function *fn = &bus.function[i];
        char why[96];
        if (!fn->msix)
            continue;
        const bool enabled = pci_enable_msix(&bus, fn, why, sizeof why);
        printf("{\"event\":\"msix\",\"devfn\":%u,\"enabled\":%s,\"detail\":\"%s\",\"vectors\":[", fn->devfn,
               enabled ? "true" : "false", why);
        for (int j = 0; j < fn->enabled_vectors; j++)
            printf("%s%u", j ? "," : "", fn->vectors[j]);
        printf("]}\n");
        all = all && enabled;
    }
    return all;
}

static bool disable_msix(void)
{
    bool all = true;
    for (int i = 0; i < bus.functions; i++)
        if (bus.function[i].enabled_vectors)
            all = pci_disable_msix(&bus, &bus.function[i]) && all;
    return all;
}

/* One round: what cannot change, and the sizing of each memory BAR, in which the back-end has to remember where it is. */
static void load_round(uint64_t *wrong, double *longest)
{
    for (int i = 0; i < bus.functions; i++) {
        struct function *fn = &bus.function[i];
        uint32_t value;
        const double started = seconds();
        const uint64_t lost = channel.lost;
        const int err = pci_read(&bus, fn, 0, 4, &value);
        const double took = seconds() - started;
        *longest = took > *longest ? took : *longest;
        if (channel.lost == lost && (err != 0 || value != ((uint32_t)fn->device << 16 | fn->vendor)))
            ++*wrong;
        for (int j = 0; j < fn->bars && channel.lost == lost; j++) {
            const struct bar *bar = &fn->bar[j];
            if (bar->kind != 'm' && bar->kind != 'M')
                continue;
            const int offset = 0x10 + 4 * bar->index;
            pci_write(&bus, fn, offset, 4, 0xffffffffu);
            const int read = pci_read(&bus, fn, offset, 4, &value);
            if (channel.lost == lost && (read != 0 || (value & ~0xfu) != (uint32_t)~(bar->size - 1)))
                ++*wrong;
            pci_write(&bus, fn, offset, 4, bar->low);
        }
    }
}

static bool load(double duration)
{
    const double started = seconds();
    const uint64_t requests = channel.requests, lost = channel.lost;
    uint64_t wrong = 0;
    double longest = 0, reported = started;
    bool follows = true;
    while (follows && !is_ended && seconds() - started < duration) {
        load_round(&wrong, &longest);
        if (bus.functions == 0 || xs_wait_event(0))
            follows = xenbus_follow(&bus);
        if (bus.functions == 0)
            xs_wait_event(100);
        if (seconds() - reported < 0.25)
            continue;
        reported = seconds();
        printf("{\"event\":\"progress\",\"requests\":%" PRIu64 ",\"lost\":%" PRIu64 "}\n", channel.requests - requests,
               channel.lost - lost);
    }
    printf("{\"event\":\"load\",\"requests\":%" PRIu64 ",\"lost\":%" PRIu64 ",\"wrong\":%" PRIu64
           ",\"disturbed\":%" PRIu64 ",\"seconds\":%.3f,\"longest\":%.6f}\n",
           channel.requests - requests, channel.lost - lost, wrong, channel.disturbed, seconds() - started, longest);
    return channel.lost == lost && wrong == 0 && channel.disturbed == 0;
}

static bool hold(void)
{
    bool follows = true;
    while (follows && !is_ended) {
        xs_wait_event(100);
        follows = xenbus_follow(&bus);
    }
    return true;
}

static bool close_device(void)
{
    const bool followed = xenbus_close();
    channel_close(&channel);
    printf("{\"event\":\"closed\",\"followed\":%s}\n", followed ? "true" : "false");
    return followed;
}

static bool perform(const char *step)
{
    bool all = true;
    if (strcmp(step, "scan") == 0)
        return report_scan();
    if (strcmp(step, "msix") == 0)
        return enable_msix();
    if (strcmp(step, "msixoff") == 0)
        return disable_msix();
    if (strcmp(step, "hold") == 0)
        return hold();
    if (strcmp(step, "close") == 0)
        return close_device();
    if (strncmp(step, "load=", 5) == 0)
        return load(atof(step + 5));
    if (strcmp(step, "misbehave") != 0)
        exit(2);
    for (int i = 0; i < bus.functions; i++)
        all = misbehave(&bus, &bus.function[i]) && all;
    return all;
}

int main(int argc, char **argv)
{
    bool all = true;
    if (argc < 3) {
        fprintf(stderr, "usage: foreign DIR DOMID [scan|msix|msixoff|misbehave|load=SECONDS|hold|close]...\n");
        return 2;
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    signal(SIGTERM, end);
    signal(SIGPIPE, SIG_IGN);
    if (!xenbus_connect(&channel, argv[1], (unsigned)strtoul(argv[2], NULL, 10))) {
        printf("{\"event\":\"failed\",\"detail\":\"no connection; the back-end's state is %d\"}\n",
               xenbus_backend_state());
        return 1;
    }
    xenbus_scan_roots(&bus);
    xenbus_go_to(CONNECTED);
    printf("{\"event\":\"connected\",\"functions\":%d,\"grant\":%u,\"port\":%u}\n", bus.functions, channel.grant,
           channel.port);
    for (int i = 3; i < argc; i++)
        all = perform(argv[i]) && all;
    printf("{\"event\":\"end\",\"ok\":%s,\"requests\":%" PRIu64 ",\"lost\":%" PRIu64 ",\"disturbed\":%" PRIu64 "}\n",
           all ? "true" : "false", channel.requests, channel.lost, channel.disturbed);
    return all ? 0 : 1;
}
