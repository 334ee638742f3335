/* SPDX-License-Identifier: MIT */
/* Load without a framework: N connections, one thread, the same request again and again.
 *   load -p PORT -f REQUESTFILE [-c CONNS] [-d SECONDS | -n CALLS] [-s PID,...] [-e TEXT]
 *        [-u SECONDS]   not counted before
 *        [-w REQUESTS]  in one write, the replies to all awaited (pipelining)
 *        [-r RATE]      calls a second in all, the latency from the planned moment (open loop)
 *        [-k CALLS]     after which a connection is closed and made anew
 *        [-i]           one call on each, then all are held until stdin ends
 * Without -r each connection has one request under way at any time (closed loop). -e: must be in
 * the first reply of each connection; the others must be as long. */
#include "bench.h"
#include "request.h"
#include <errno.h>
#include <stdbool.h>
#include <strings.h>
#include <unistd.h>

enum { LOAD_FDS = 70000, LOAD_HEAD = 8192, LOAD_EVENTS = 256, LOAD_QUEUE = 1 << 20 };

typedef struct load_conn {
    uint64_t since;   /* when the request was sent, or planned */
    size_t got, want; /* of this reply; want 0: its head is not complete */
    size_t length;    /* of every reply; 0: none has come */
    size_t head_len;
    char *head; /* so far, where it comes in pieces */
    int calls;
} load_conn;

static bench_options told = { .conns = 1, .window = 1, .seconds = 1 };
static int port, rate, calls_each, poller;
static bool idle_mode;
static uint64_t limit; /* 0: by time */
static const char *expected;
static char *request, *buf;
static size_t request_len;
enum { LOAD_BUF = 1 << 18 };
static load_conn conns[LOAD_FDS];
static uint64_t calls, errors, sent;
static int idle[LOAD_FDS], nidle; /* connections without a call */
static uint64_t planned[LOAD_QUEUE], head, tail;

static int load_connect(void)
{
    int fd = bench_connect(port, poller, LOAD_FDS);

    free(conns[fd].head);
    memset(&conns[fd], 0, sizeof conns[fd]);
    return fd;
}

static void load_send(int fd, uint64_t since)
{
    if (limit && sent >= limit)
        return;
    sent += (uint64_t)told.window;
    conns[fd].since = since;
    if (send(fd, request, request_len, MSG_NOSIGNAL) != (ssize_t)request_len)
        bench_die("send");
}

/* The head of a reply, in whatever pieces it comes: how long the whole is. False: not all there. */
static bool load_head(load_conn *c, size_t k)
{
    char *p = buf;
    size_t len = k;

    buf[k] = 0;
    if (c->head_len || !strstr(buf, "\r\n\r\n")) {
        if (!c->head)
            c->head = malloc(LOAD_HEAD);
        if (!c->head || c->head_len + k >= LOAD_HEAD)
            bench_die("head of reply");
        memcpy(c->head + c->head_len, buf, k + 1);
        len = c->head_len += k;
        p = c->head;
    }
    char *end = strstr(p, "\r\n\r\n"), *length = strcasestr(p, "content-length:");
    if (!end)
        return false;
    if (!length || length > end || strncmp(p, "HTTP/1.1 200", 12)) {
        fprintf(stderr, "not a reply to count: %.300s\n", p);
        exit(1);
    }
    c->want = (size_t)(end - p) + 4 + (size_t)atol(length + 15);
    c->head_len = 0;
    if (!c->length && expected && !memmem(p, len, expected, strlen(expected))) {
        fprintf(stderr, "not the expected reply: %.600s\n", p);
        exit(1);
    }
    if (c->length && c->length != c->want)
        errors++;
    c->length = c->want;
    return true;
}

static void load_renew(int fd)
{
    close(fd);
    fd = load_connect();
    load_send(fd, bench_now());
}

static void load_done(int fd, uint64_t now)
{
    load_conn *c = &conns[fd];

    c->got = c->want = 0;
    bench_add(now - c->since);
    calls += (uint64_t)told.window;
    if (rate)
        idle[nidle++] = fd;
    else if (calls_each && ++c->calls == calls_each)
        load_renew(fd);
    else if (!idle_mode)
        load_send(fd, now);
}

static void load_read(int fd)
{
    load_conn *c = &conns[fd];
    ssize_t k = recv(fd, buf, LOAD_BUF - 1, MSG_DONTWAIT);

    if (k < 0 && errno == EAGAIN)
        return;
    if (k <= 0)
        bench_die("closed by the server");
    c->got += (size_t)k;
    if (!c->want && !load_head(c, (size_t)k))
        return;
    if (c->got >= c->want * (size_t)told.window)
        load_done(fd, bench_now());
}

/* Waits at most ns (< 0: for a reply, and there must be one) and works off what has come. */
static uint64_t load_turn(int64_t ns)
{
    struct epoll_event events[LOAD_EVENTS];
    struct timespec t = { 0, ns > 0 ? ns : 0 };
    int n = ns < 0 ? epoll_wait(poller, events, LOAD_EVENTS, 10000)
                   : epoll_pwait2(poller, events, LOAD_EVENTS, &t, NULL);

    if (n == 0 && ns < 0) {
        fprintf(stderr, "no reply for 10 s\n");
        exit(1);
    }
    for (int i = 0; i < n; i++)
        load_read(events[i].data.fd);
    return bench_now();
}

static void load_closed(uint64_t end)
{
    uint64_t now = bench_now();

    while (limit ? calls < limit : now < end)
        now = load_turn(-1);
}

/* Calls are due by the clock; what finds no free connection waits, and that counts. */
static void load_open(uint64_t end)
{
    uint64_t step = 1000000000u / (uint64_t)rate, now = bench_now(), due = now;

    while (now < end) {
        for (; due <= now && tail - head < LOAD_QUEUE; due += step)
            planned[tail++ % LOAD_QUEUE] = due;
        while (head < tail && nidle)
            load_send(idle[--nidle], planned[head++ % LOAD_QUEUE]);
        uint64_t wait = due > now ? due - now : 0;
        now = load_turn((int64_t)(wait < 100000000 ? wait : 100000000));
    }
}

/* What was due and has no reply at the end took at least so long. */
static void load_late(uint64_t now)
{
    for (; head < tail; head++)
        bench_add(now - planned[head % LOAD_QUEUE]);
    while (rate && nidle)
        conns[idle[--nidle]].since = 0;
    for (int fd = 0; rate && fd < LOAD_FDS; fd++)
        if (conns[fd].since)
            bench_add(now - conns[fd].since);
}

static void load_run(double secs)
{
    uint64_t end = bench_now() + (uint64_t)(secs * 1e9);

    if (rate)
        load_open(end);
    else
        load_closed(end);
}

/* A call on each connection, one after the other; then they stay. */
static void load_hold(void)
{
    for (int i = 0; i < told.conns; i++) {
        uint64_t before = calls;
        load_send(load_connect(), bench_now());
        while (calls == before)
            load_turn(-1);
    }
    printf("{\"calls\": %llu}\n", (unsigned long long)calls);
    fflush(stdout);
    while (read(0, buf, LOAD_BUF) > 0) {
    }
}

static void load_options(int argc, char **argv)
{
    const char *file = NULL;

    for (int o; (o = getopt(argc, argv, "p:f:c:d:n:s:e:u:w:r:k:i")) > 0;)
        switch (o) {
        case 'p':
            port = atoi(optarg);
            break;
        case 'f':
            file = optarg;
            break;
        case 'n':
            limit = strtoull(optarg, NULL, 10);
            break;
        case 'e':
            expected = optarg;
            break;
        case 'r':
            rate = atoi(optarg);
            break;
        case 'k':
            calls_each = atoi(optarg);
            break;
        case 'i':
            idle_mode = true;
            break;
        default:
            if (!bench_option(&told, o, optarg))
                exit(2);
        }
    if (!file || !port) {
        fprintf(stderr, "usage: load -p PORT -f REQUESTFILE ...\n");
        exit(2);
    }
    request = bench_request(file, told.window, &request_len);
    buf = malloc(LOAD_BUF);
    if (!buf)
        bench_die("malloc");
}

int main(int argc, char **argv)
{
    load_options(argc, argv);
    poller = epoll_create1(0);
    if (idle_mode) {
        load_hold();
        return 0;
    }
    while (nidle < told.conns)
        idle[nidle++] = load_connect();
    bench_begin();
    while (!rate && nidle)
        load_send(idle[--nidle], bench_now());
    if (told.warm_up > 0 && !limit) {
        load_run(told.warm_up);
        calls = 0;
        head = tail = 0;
        bench_begin();
    }
    load_run(told.seconds);
    bench_end();
    load_late(bench_now());
    bench_print(calls, errors);
    return 0;
}
