/* SPDX-License-Identifier: MIT */
/* The least that publishing over HTTP can cost: to each of N connections a request for each event,
 * constant bytes, then all replies are awaited, whose length is known from the first.
 *   fanout -p PORT -f REQUESTFILE [-c SUBSCRIBERS] [-w EVENTS] [-u SECONDS] [-d SECONDS]
 *          [-s PID,...]
 * -w: so many events in one write. A delivery is a call; latency is that of all EVENTS to all
 * subscribers. */
#include "bench.h"
#include "request.h"
#include <stdbool.h>
#include <unistd.h>

enum { FANOUT_FDS = 4096, FANOUT_BUF = 1 << 16, FANOUT_EVENTS = 256 };

static bench_options told = { .conns = 10, .window = 1, .seconds = 1 };
static int port, poller;
static char *request, buf[FANOUT_BUF];
static size_t request_len, reply_len, got[FANOUT_FDS];
static int subs[FANOUT_FDS];
static uint64_t deliveries;

/* True: with that the connection has all its replies. */
static bool fanout_read(int fd)
{
    ssize_t k = recv(fd, buf, sizeof buf, MSG_DONTWAIT);

    if (k == 0)
        bench_die("closed by the subscriber");
    got[fd] += k > 0 ? (size_t)k : 0;
    return k > 0 && got[fd] == reply_len * (size_t)told.window;
}

static void fanout_publish(void)
{
    struct epoll_event events[FANOUT_EVENTS];

    for (int i = 0; i < told.conns; i++) {
        got[subs[i]] = 0;
        if (send(subs[i], request, request_len, MSG_NOSIGNAL) != (ssize_t)request_len)
            bench_die("send");
    }
    for (int left = told.conns; left;) {
        int n = epoll_wait(poller, events, FANOUT_EVENTS, 10000);
        if (n <= 0)
            bench_die("no reply for 10 s");
        for (int i = 0; i < n; i++)
            left -= fanout_read(events[i].data.fd);
    }
    deliveries += (uint64_t)(told.conns * told.window);
}

static void fanout_run(double secs)
{
    uint64_t now = bench_now(), end = now + (uint64_t)(secs * 1e9);

    while (now < end) {
        uint64_t since = now;
        fanout_publish();
        now = bench_now();
        bench_add(now - since);
    }
}

static void fanout_options(int argc, char **argv)
{
    const char *file = NULL;

    for (int o; (o = getopt(argc, argv, "p:f:c:w:u:d:s:")) > 0;)
        switch (o) {
        case 'p':
            port = atoi(optarg);
            break;
        case 'f':
            file = optarg;
            break;
        default:
            if (!bench_option(&told, o, optarg))
                exit(2);
        }
    if (!file || !port || told.conns < 1 || told.conns > FANOUT_FDS || told.window < 1) {
        fprintf(stderr, "usage: fanout -p PORT -f REQUESTFILE ...\n");
        exit(2);
    }
    request = bench_request(file, told.window, &request_len);
}

int main(int argc, char **argv)
{
    fanout_options(argc, argv);
    poller = epoll_create1(0);
    for (int i = 0; i < told.conns; i++)
        subs[i] = bench_connect(port, poller, FANOUT_FDS);
    if (send(subs[0], request, request_len / (size_t)told.window, MSG_NOSIGNAL) < 0)
        bench_die("send");
    ssize_t k = recv(subs[0], buf, sizeof buf, 0);
    if (k <= 0)
        bench_die("recv");
    reply_len = (size_t)k;
    fanout_run(told.warm_up);
    deliveries = 0;
    bench_begin();
    fanout_run(told.seconds);
    bench_end();
    bench_print(deliveries, 0);
    return 0;
}
