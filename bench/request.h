/* SPDX-License-Identifier: MIT */
/* What load and fanout have in common: connections, and a request that is sent on them. */
#ifndef BENCH_REQUEST_H
#define BENCH_REQUEST_H

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

static inline void bench_die(const char *what)
{
    perror(what);
    exit(1);
}

/* A connection to the port of this machine, below a number of descriptors, that the poller watches
 * for replies. */
static inline int bench_connect(int port, int poller, int below)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0), one = 1;
    struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons((unsigned short)port) };
    struct epoll_event ev = { .events = EPOLLIN, .data.fd = fd };

    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0 || fd >= below || connect(fd, (struct sockaddr *)&to, sizeof to))
        bench_die("connect");
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (epoll_ctl(poller, EPOLL_CTL_ADD, fd, &ev))
        bench_die("epoll_ctl");
    return fd;
}

/* What a file holds, so many times, for one write. */
static inline char *bench_request(const char *file, int times, size_t *size)
{
    FILE *f = fopen(file, "rb");

    if (!f || fseek(f, 0, SEEK_END))
        bench_die(file);
    size_t len = (size_t)ftell(f);
    rewind(f);
    *size = len * (size_t)times;
    char *request = malloc(*size + 1);
    if (!request || fread(request, 1, len, f) != len)
        bench_die(file);
    fclose(f);
    for (int i = 1; i < times; i++)
        memcpy(request + (size_t)i * len, request, len);
    return request;
}

#endif
