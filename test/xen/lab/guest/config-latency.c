/* config-latency FILE COUNT OFFSET...: how long the guest waits for 4 bytes of a function's configuration space, in microseconds.
 * COUNT reads of each offset, in turns of fifty, so that what else the machine does falls on all of them alike. */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>
#include <x86intrin.h>

enum { most_offsets = 8, turn = 50 };

static int ascending(const void *left, const void *right) {
    uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;
    return (a > b) - (a < b);
}

static double microseconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1e6 + now.tv_nsec / 1e3;
}

int main(int count, char **words) {
    int file = count > 3 ? open(words[1], O_RDONLY) : -1;
    int reads = count > 3 ? atoi(words[2]) / turn * turn : 0, offsets = count - 3;
    if (file < 0 || reads <= 0 || offsets > most_offsets) {
        fputs("usage: config-latency FILE COUNT OFFSET...\n", stderr);
        return 2;
    }
    uint64_t *ticks = malloc(sizeof *ticks * offsets * reads);
    /* The clock is a system call here, which costs as much as a read; the time stamp counter is only an instruction. */
    double began = microseconds();
    uint64_t first = __rdtsc();
    for (int done = 0; done < reads; done += turn) {
        for (int each = 0; each < offsets; each++) {
            off_t offset = strtol(words[3 + each], NULL, 0);
            for (int i = done; i < done + turn; i++) {
                uint32_t value;
                uint64_t before = __rdtsc();
                if (pread(file, &value, sizeof value, offset) != sizeof value) {
                    perror("pread");
                    return 1;
                }
                ticks[each * reads + i] = __rdtsc() - before;
            }
        }
    }
    double per_tick = (microseconds() - began) / (__rdtsc() - first);
    for (int each = 0; each < offsets; each++) {
        uint64_t *sorted = ticks + each * reads;
        qsort(sorted, reads, sizeof *sorted, ascending);
        printf("%s %.0f %.0f\n", words[3 + each], sorted[reads / 2] * per_tick, sorted[reads * 99 / 100] * per_tick);
    }
    return 0;
}
