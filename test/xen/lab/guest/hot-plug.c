/* hot-plug INTERFACE COMMAND [WORD...]: runs the command, and loads the driver of every device that the kernel tells of meanwhile, as
 * udev does. Ends when that network interface is there. */
#include <linux/netlink.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { kernels_group = 1, longest_message = 8192, patience = 60 };

/* "add@/devices/pci0000:00/0000:00:00.0", then lines like "MODALIAS=pci:v00008086d000010D3...", each with a NUL at its end. */
static const char *value(const char *name, const char *message, const char *end) {
    size_t length = strlen(name);
    for (const char *line = message; line < end; line += strlen(line) + 1) {
        if (strncmp(line, name, length) == 0 && line[length] == '=') return line + length + 1;
    }
    return NULL;
}

static void start(char *const words[]) {
    if (vfork() == 0) {
        execvp(words[0], words);
        _exit(127);
    }
}

int main(int count, char **words) {
    if (count < 3) {
        fputs("usage: hot-plug INTERFACE COMMAND [WORD...]\n", stderr);
        return 2;
    }
    struct sockaddr_nl kernel = {.nl_family = AF_NETLINK, .nl_groups = kernels_group};
    int events = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_KOBJECT_UEVENT);
    if (events < 0 || bind(events, (struct sockaddr *)&kernel, sizeof kernel) != 0) {
        perror("the kernel's events");
        return 1;
    }
    signal(SIGCHLD, SIG_IGN);
    alarm(patience);
    start(words + 2);
    static char message[longest_message + 1];
    for (ssize_t length; (length = recv(events, message, longest_message, 0)) > 0;) {
        message[length] = 0;
        if (strncmp(message, "add@", 4) != 0) continue;
        const char *interface = value("INTERFACE", message, message + length);
        if (interface && strcmp(interface, words[1]) == 0) return 0;
        char *modalias = (char *)value("MODALIAS", message, message + length);
        if (modalias) start((char *[]){"modprobe", "-q", modalias, NULL});
    }
    perror("the kernel's events");
    return 1;
}
