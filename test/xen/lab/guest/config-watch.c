/* config-watch FILE: reads identification and command of a function over and over until it is told to end (SIGTERM), and tells how
 * often, what went wrong, and for how long a read was waited for at most. Linux's front-end gives all ones for what failed. */
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

static volatile sig_atomic_t told_to_end;
static void end(int signal) { told_to_end = signal; }

static double milliseconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1e3 + now.tv_nsec / 1e6;
}

int main(int count, char **words) {
    static const off_t offsets[] = {0x00, 0x04};
    /* The upper half of 0x04 is the status, which changes as the function works. */
    static const uint32_t masks[] = {0xffffffff, 0x0000ffff};
    uint32_t expected[2];
    unsigned long reads = 0, errors = 0, wrong = 0;
    double longest = 0;
    int file = count == 2 ? open(words[1], O_RDONLY) : -1;
    if (file < 0) {
        fputs("usage: config-watch FILE\n", stderr);
        return 2;
    }
    signal(SIGTERM, end);
    for (int each = 0; each < 2; each++) {
        if (pread(file, &expected[each], 4, offsets[each]) != 4) {
            perror("first read");
            return 1;
        }
        expected[each] &= masks[each];
    }
    for (double before = milliseconds(); !told_to_end; reads++) {
        int each = reads & 1;
        uint32_t value = 0;
        /* Of a request that the front-end has given up, sysfs says nothing but ones. */
        if (pread(file, &value, sizeof value, offsets[each]) != sizeof value || value == UINT32_MAX) {
            if (!errors++) fprintf(stderr, "read %lu failed\n", reads);
        } else if ((value & masks[each]) != expected[each]) {
            if (!wrong++) fprintf(stderr, "read %lu of 0x%02x: %08x\n", reads, (unsigned)offsets[each], value);
        }
        double after = milliseconds();
        if (after - before > longest) longest = after - before;
        before = after;
    }
    printf("reads %lu errors %lu wrong %lu longest %.1f ms\n", reads, errors, wrong, longest);
    return errors + wrong > 0;
}
