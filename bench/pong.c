/* SPDX-License-Identifier: MIT */
/* Microseconds of a multicast round trip on lo between two processes, each on a processor of its
 * own: the least that a look-up by mDNS can take. pong BYTES TIMES, in a network namespace of its
 * own. */
#include "bench.h"
#include <arpa/inet.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <unistd.h>

enum { PONG_PORT = 25353 };
#define PONG_GROUP "239.255.77.7"

static int pong_open(int port)
{
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    struct timeval patience = { .tv_sec = 2 };
    struct in_addr lo = { htonl(INADDR_LOOPBACK) };
    struct sockaddr_in at = { .sin_family = AF_INET, .sin_port = htons((unsigned short)port) };
    struct ip_mreq group = { { inet_addr(PONG_GROUP) }, lo };

    at.sin_addr = group.imr_multiaddr;
    if (bind(fd, (struct sockaddr *)&at, sizeof at) ||
        setsockopt(fd, IPPROTO_IP, IP_ADD_MEMBERSHIP, &group, sizeof group) ||
        setsockopt(fd, IPPROTO_IP, IP_MULTICAST_IF, &lo, sizeof lo) ||
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience)) {
        perror("pong");
        exit(1);
    }
    return fd;
}

static void pong_send(int fd, const char *data, size_t len, int port)
{
    struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons((unsigned short)port) };

    to.sin_addr.s_addr = inet_addr(PONG_GROUP);
    if (sendto(fd, data, len, 0, (struct sockaddr *)&to, sizeof to) < 0) {
        perror("pong");
        exit(1);
    }
}

/* The first or the last of those that there are. */
static void pong_pin(bool last)
{
    cpu_set_t set;
    long n = last ? sysconf(_SC_NPROCESSORS_ONLN) : 1;

    CPU_ZERO(&set);
    CPU_SET((size_t)(n > 0 ? n - 1 : 0), &set);
    sched_setaffinity(0, sizeof set, &set);
}

int main(int argc, char **argv)
{
    static char data[1400];
    size_t len = argc > 2 ? strtoul(argv[1], NULL, 10) : 0;
    int there = pong_open(PONG_PORT), here = pong_open(PONG_PORT + 1);

    if (len == 0 || len > sizeof data)
        return 2;
    pid_t pid = fork();
    pong_pin(pid != 0);
    if (pid == 0)
        for (ssize_t n; (n = recv(there, data, sizeof data, 0)) > 0;)
            pong_send(there, data, (size_t)n, PONG_PORT + 1);
    for (int left = pid ? atoi(argv[2]) : 0; left > 0; left--) {
        uint64_t begin = bench_now();
        pong_send(here, data, len, PONG_PORT);
        if (recv(here, data, sizeof data, 0) <= 0)
            exit(1);
        printf("%.1f\n", (double)(bench_now() - begin) / 1e3);
    }
    if (pid)
        kill(pid, SIGKILL);
    return 0;
}
