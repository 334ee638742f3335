/* SPDX-License-Identifier: MIT */
/* The least that one HTTP/1.1 POST a call can cost: finds the end of the head, knows the length of
 * the body beforehand, answers with constant bytes. BODY 0: looks it up in the head.
 *   floor -p PORT -b BODY [-t THREADS] [-r REPLYFILE [-g PIECES]]
 *   floor -p PORT -b BODY -e     copies the body and sends it back, whatever its size */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { FLOOR_SCRATCH = 65536, FLOOR_FDS = 70000, FLOOR_EVENTS = 256 };

static const char floor_fixed[] =
    "HTTP/1.1 200 OK\r\nContent-Type: application/json-rpc\r\nContent-Length: 52\r\n\r\n"
    "{\"id\":1,\"result\":{\"msg\":\"Hello John\"},\"error\":null}\n";

static int port, threads = 1, pieces = 1;
static size_t body_len = 60;
static bool echoes;
static char reply[4096];
static size_t reply_len;
static struct {
    char *buf;
    size_t len, head;
} conns[FLOOR_FDS]; /* of requests that came in part */

static int floor_listen(void)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), one = 1;
    struct sockaddr_in at = { .sin_family = AF_INET, .sin_port = htons((unsigned short)port) };

    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (threads > 1)
        setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof one);
    if (bind(fd, (struct sockaddr *)&at, sizeof at) || listen(fd, 4096)) {
        perror("floor");
        exit(1);
    }
    return fd;
}

static void floor_drop(int fd)
{
    free(conns[fd].buf);
    conns[fd].buf = NULL;
    conns[fd].len = conns[fd].head = 0;
    close(fd);
}

/* The reply in pieces, each a segment of its own. */
static void floor_send_pieces(int fd)
{
    size_t at = 0;

    for (int i = 0; i < pieces; i++) {
        size_t end = reply_len * (size_t)(i + 1) / (size_t)pieces;
        if (send(fd, reply + at, end - at, MSG_NOSIGNAL) < 0)
            return;
        at = end;
    }
}

static void floor_keep(int fd, const char *rest, size_t len)
{
    char *buf = len ? realloc(conns[fd].buf, len) : NULL;

    if (!len)
        free(conns[fd].buf);
    else if (buf)
        memcpy(buf, rest, len);
    conns[fd].buf = buf;
    conns[fd].len = buf ? len : 0;
}

/* Where a request ends whose head ends at end. */
static size_t floor_end(char *from, char *end, const char *scratch)
{
    size_t len = body_len;

    if (!len) {
        char *field = memmem(from, (size_t)(end - from), "Content-Length: ", 16);
        len = field ? (size_t)atol(field + 16) : 0;
    }
    return (size_t)(end - scratch) + 4 + len;
}

/* One recv, all complete requests answered in one send. */
static void floor_serve(int fd, char *scratch)
{
    static _Thread_local char out[16384];
    size_t have = conns[fd].len, at = 0, n = 0;

    if (have)
        memcpy(scratch, conns[fd].buf, have);
    ssize_t k = recv(fd, scratch + have, FLOOR_SCRATCH - have, 0);
    if (k <= 0) {
        if (k == 0 || errno != EAGAIN)
            floor_drop(fd);
        return;
    }
    size_t len = have + (size_t)k;
    for (char *end; (end = memmem(scratch + at, len - at, "\r\n\r\n", 4)) != NULL;) {
        size_t next = floor_end(scratch + at, end, scratch);
        if (next > len)
            break;
        at = next;
        if (pieces > 1) {
            floor_send_pieces(fd);
            continue;
        }
        if (n + reply_len > sizeof out) {
            (void)!send(fd, out, n, MSG_NOSIGNAL);
            n = 0;
        }
        memcpy(out + n, reply, reply_len);
        n += reply_len;
    }
    if (n)
        (void)!send(fd, out, n, MSG_NOSIGNAL);
    if (at < len || have)
        floor_keep(fd, scratch + at, len - at);
}

static void floor_send_all(int fd, const char *p, size_t n)
{
    while (n) {
        ssize_t k = send(fd, p, n, MSG_NOSIGNAL);
        struct pollfd wait = { .fd = fd, .events = POLLOUT };
        if (k < 0 && (errno != EAGAIN || poll(&wait, 1, 5000) != 1))
            return;
        p += k > 0 ? k : 0;
        n -= k > 0 ? (size_t)k : 0;
    }
}

/* One memcpy of the body, as little else as can be. */
static void floor_echo(int fd)
{
    static _Thread_local char *out;
    size_t cap = body_len + 4096;

    if (!conns[fd].buf)
        conns[fd].buf = malloc(cap);
    if (!out)
        out = malloc(cap);
    if (!conns[fd].buf || !out)
        exit(1);
    ssize_t k = recv(fd, conns[fd].buf + conns[fd].len, cap - conns[fd].len, 0);
    if (k <= 0) {
        if (k == 0 || errno != EAGAIN)
            floor_drop(fd);
        return;
    }
    conns[fd].len += (size_t)k;
    if (!conns[fd].head) {
        char *end = memmem(conns[fd].buf, conns[fd].len, "\r\n\r\n", 4);
        conns[fd].head = end ? (size_t)(end - conns[fd].buf) + 4 : 0;
    }
    if (!conns[fd].head || conns[fd].len < conns[fd].head + body_len)
        return;
    size_t n =
        (size_t)snprintf(out, 4096, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n", body_len);
    memcpy(out + n, conns[fd].buf + conns[fd].head, body_len);
    conns[fd].len = conns[fd].head = 0;
    floor_send_all(fd, out, n + body_len);
}

static void floor_accept(int listener, int poller)
{
    int fd, one = 1;

    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0 && fd < FLOOR_FDS) {
        struct epoll_event ev = { .events = EPOLLIN, .data.fd = fd };
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        epoll_ctl(poller, EPOLL_CTL_ADD, fd, &ev);
    }
}

static void *floor_loop(void *arg)
{
    int listener = floor_listen(), poller = epoll_create1(0);
    struct epoll_event ev = { .events = EPOLLIN, .data.fd = listener }, events[FLOOR_EVENTS];
    char *scratch = malloc(FLOOR_SCRATCH);

    if (!scratch || epoll_ctl(poller, EPOLL_CTL_ADD, listener, &ev))
        exit(1);
    for (;;) {
        int n = epoll_wait(poller, events, FLOOR_EVENTS, -1);
        for (int i = 0; i < n; i++) {
            int fd = events[i].data.fd;
            if (fd == listener)
                floor_accept(listener, poller);
            else if (echoes)
                floor_echo(fd);
            else
                floor_serve(fd, scratch);
        }
    }
    return arg;
}

static void floor_options(int argc, char **argv)
{
    const char *file = NULL;

    for (int o; (o = getopt(argc, argv, "p:t:b:r:g:e")) > 0;)
        switch (o) {
        case 'p':
            port = atoi(optarg);
            break;
        case 't':
            threads = atoi(optarg);
            break;
        case 'b':
            body_len = (size_t)atol(optarg);
            break;
        case 'r':
            file = optarg;
            break;
        case 'g':
            pieces = atoi(optarg);
            break;
        case 'e':
            echoes = true;
            break;
        default:
            exit(2);
        }
    FILE *f = file ? fopen(file, "rb") : NULL;
    if (f)
        reply_len = fread(reply, 1, sizeof reply, f);
    else
        memcpy(reply, floor_fixed, reply_len = sizeof floor_fixed - 1);
    if (file && !f) {
        perror(file);
        exit(1);
    }
}

int main(int argc, char **argv)
{
    pthread_t id;

    floor_options(argc, argv);
    signal(SIGPIPE, SIG_IGN);
    for (int i = 1; i < threads; i++)
        if (pthread_create(&id, NULL, floor_loop, NULL))
            return 1;
    floor_loop(NULL);
}
