/* SPDX-License-Identifier: MIT */
/* Milliseconds from the start of a server to the first bytes of its reply, for each of a number of
 * starts: start PORT REQUESTFILE TIMES -- COMMAND ARG... */
#include "bench.h"
#include <arpa/inet.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static void start_server(char **argv)
{
    int null = open("/dev/null", O_WRONLY);

    dup2(null, 1);
    dup2(null, 2);
    execvp(argv[0], argv);
    _exit(127);
}

static int start_connect(int port, uint64_t give_up)
{
    struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons((unsigned short)port) };
    struct timespec nap = { 0, 50000 };

    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    while (bench_now() < give_up) {
        int fd = socket(AF_INET, SOCK_STREAM, 0);
        if (connect(fd, (struct sockaddr *)&to, sizeof to) == 0)
            return fd;
        close(fd);
        nanosleep(&nap, NULL);
    }
    return -1;
}

int main(int argc, char **argv)
{
    static char request[4096], reply[4096];
    FILE *f = argc > 5 ? fopen(argv[2], "rb") : NULL;
    size_t len = f ? fread(request, 1, sizeof request, f) : 0;

    if (!len) {
        fprintf(stderr, "usage: start PORT REQUESTFILE TIMES -- COMMAND ARG...\n");
        return 2;
    }
    for (int left = atoi(argv[3]); left > 0; left--) {
        uint64_t begin = bench_now();
        pid_t pid = fork();
        if (pid == 0)
            start_server(argv + 5);
        int fd = start_connect(atoi(argv[1]), begin + 5000000000u);
        bool ok =
            fd >= 0 && write(fd, request, len) == (ssize_t)len && read(fd, reply, sizeof reply) > 0;
        if (ok)
            printf("%.3f\n", (double)(bench_now() - begin) / 1e6);
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
        if (!ok) {
            fprintf(stderr, "start: no reply from %s\n", argv[5]);
            return 1;
        }
        close(fd);
        usleep(20000);
    }
    return 0;
}
