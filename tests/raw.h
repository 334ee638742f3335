/* SPDX-License-Identifier: MIT */
/* Bare TCP for tests: what a peer writes, byte for byte, and what comes back. Header only, so that
 * it is in one unit with whatever uses it. Without threads whoever waits here drives the library
 * meanwhile. */
#ifndef RAW_H
#define RAW_H

#include "net/net.h"

#include <pthread.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

__attribute__((unused)) static long long raw_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (long long)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

#if MICRO_OMIT_THREADS
static pthread_t raw_main; /* a test's threads may be peers, but not drive */

__attribute__((constructor)) static void raw_begin(void)
{
    raw_main = pthread_self();
}
#endif

/* One step of the engine that all share. */
static void raw_drive(void)
{
#if MICRO_OMIT_THREADS
    micro__engine *e;

    if (!pthread_equal(raw_main, pthread_self()) || micro__engine_inside() ||
        micro__engine_open(false, 0, 0, &e) != MICRO_OK)
        return;
    micro__engine_step(e, 0);
    micro__engine_close(e);
#endif
}

/* poll for one descriptor; fd -1: sleeps. */
static bool raw_wait(int fd, short events, int ms)
{
    struct pollfd p = { .fd = fd, .events = events };
    long long until = raw_ms() + ms;

    while (MICRO_OMIT_THREADS) {
        if (poll(&p, 1, 0) > 0)
            return true;
        raw_drive();
        if (raw_ms() >= until)
            return false;
        poll(&p, 1, 1);
    }
    return poll(&p, 1, ms) > 0;
}

__attribute__((unused)) static int raw_connect(const char *address)
{
    struct sockaddr_in to = { .sin_family = AF_INET };
    const char *colon = strrchr(address, ':');
    int fd = socket(AF_INET, SOCK_STREAM, 0), one = 1;

    to.sin_port = htons((unsigned short)atoi(colon + 1));
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (connect(fd, (struct sockaddr *)&to, sizeof to)) {
        close(fd);
        return -1;
    }
    return fd;
}

/* A peer to be connected to: listens on a port of its own; address tells which. -1: it cannot. */
__attribute__((unused)) static int raw_listen(char address[32])
{
    struct sockaddr_in at = { .sin_family = AF_INET };
    socklen_t len = sizeof at;
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (bind(fd, (struct sockaddr *)&at, sizeof at) || listen(fd, 128) ||
        getsockname(fd, (struct sockaddr *)&at, &len)) {
        close(fd);
        return -1;
    }
    snprintf(address, 32, "127.0.0.1:%d", ntohs(at.sin_port));
    return fd;
}

__attribute__((unused)) static void raw_send(int fd, const char *text)
{
    size_t n = strlen(text), done = 0;

    while (done < n) {
        ssize_t k = raw_wait(fd, POLLOUT, 60000)
                        ? send(fd, text + done, n - done, MSG_NOSIGNAL | MSG_DONTWAIT)
                        : 0;
        if (k <= 0)
            return;
        done += (size_t)k;
    }
}

/* A request with a JSON body, as text; lines are more lines of its head, each with CR LF. */
__attribute__((unused)) static const char *raw_post_text(char *out, size_t size, const char *lines,
                                                         const char *body)
{
    snprintf(out, size,
             "POST / HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n%s"
             "Content-Length: %zu\r\n\r\n%s",
             lines, strlen(body), body);
    return out;
}

__attribute__((unused)) static void raw_post(int fd, const char *lines, const char *body)
{
    char text[8192];

    raw_send(fd, raw_post_text(text, sizeof text, lines, body));
}

/* Reads until want bytes are there, the peer closes, or ms have passed without a byte. The number
 * read; *closed says whether the end was seen. */
__attribute__((unused)) static size_t raw_read(int fd, char *out, size_t want, int ms, bool *closed)
{
    size_t n = 0;

    *closed = false;
    while (n < want) {
        if (!raw_wait(fd, POLLIN, ms))
            break;
        ssize_t k = recv(fd, out + n, want - n, 0);
        if (k <= 0) {
            *closed = true;
            break;
        }
        n += (size_t)k;
    }
    out[n] = 0;
    return n;
}

/* One whole reply with Content-Length, as text; "" if none comes within ms. */
__attribute__((unused)) static const char *raw_reply(int fd, char *out, size_t size, int ms)
{
    size_t n = 0, want = size - 1;
    bool closed = false;

    out[0] = 0;
    while (n < want && !closed) {
        size_t k = raw_read(fd, out + n, 1, ms, &closed);
        if (!k)
            break;
        n += k;
        char *end = strstr(out, "\r\n\r\n");
        char *length = strstr(out, "Content-Length: ");
        if (end && want == size - 1)
            want = (size_t)(end + 4 - out) + (length ? strtoul(length + 16, NULL, 10) : 0);
    }
    return out;
}

__attribute__((unused)) static void raw_sleep(int ms)
{
    raw_wait(-1, 0, ms);
}

/* Until *n has come up to want, for half a minute at most; what it is then. */
__attribute__((unused)) static int raw_until(atomic_int *n, int want)
{
    long long until = raw_ms() + 30000;

    while (atomic_load(n) < want && raw_ms() < until)
        raw_sleep(1);
    return atomic_load(n);
}

#endif
