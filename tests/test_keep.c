/* SPDX-License-Identifier: MIT */
/* Peers that send too slowly, too much, or on and on; and what all of them may take together. */
#include "hello.h"
#include "raw.h"

#include <errno.h>

static micro_registry *keep_reg;
static micro_service *keep_svc;

static bool keep_setup(int idle_ms, int max_body, int max_memory)
{
    keep_reg = micro_registry_memory_new();
    keep_svc = hello_start(MICRO_OPTS(micro_service_opts, .abi_ = MICRO_ABI, .registry = keep_reg,
                                      .loops = 1, .idle_ms = idle_ms, .max_body = max_body,
                                      .max_memory = max_memory));
    return CHECK(keep_svc != NULL);
}

static void keep_teardown(void)
{
    micro_service_free(keep_svc);
    micro_registry_free(keep_reg);
}

/* A request for Hello whose body has length bytes, of which sent are there. */
static int keep_half_request(size_t length, size_t sent)
{
    int fd = raw_connect(micro_service_address(keep_svc));
    char *text = malloc(sent + 1), head[256];

    snprintf(head, sizeof head,
             "POST / HTTP/1.1\r\nContent-Type: application/json\r\nMicro-Method: Say.Hello\r\n"
             "Content-Length: %zu\r\n\r\n",
             length);
    raw_send(fd, head);
    memset(text, ' ', sent);
    text[sent] = 0;
    raw_send(fd, text);
    free(text);
    return fd;
}

/* Sends text again and again, until the peer has closed. How often; out: what came. */
static int keep_drip(int fd, const char *text, int pause_ms, char *out, size_t size)
{
    int n = 0;
    size_t got = 0;
    bool closed = false;
    long long until = raw_ms() + 8000;

    for (; !closed && raw_ms() < until; n++) {
        raw_send(fd, text);
        got += raw_read(fd, out + got, got + 1 < size ? 1 : 0, pause_ms, &closed);
        while (!closed && got && got + 1 < size && raw_wait(fd, POLLIN, 0))
            got += raw_read(fd, out + got, 1, 0, &closed);
    }
    CHECK(closed);
    return n;
}

TEST(keep_slow_bodies_and_heads_are_given_up)
{
    char out[512];

    REQUIRE(keep_setup(400, 0, 0));
    int fd = keep_half_request(100000, 1);
    CHECK(keep_drip(fd, " ", 20, out, sizeof out) < 400);
    CHECK(!strncmp(out, "HTTP/1.1 408 ", 13));
    close(fd);
    fd = raw_connect(micro_service_address(keep_svc));
    raw_send(fd, "POST / HTTP/1.1\r\nX: ");
    CHECK(keep_drip(fd, "x", 20, out, sizeof out) < 400);
    CHECK(!strncmp(out, "HTTP/1.1 408 ", 13));
    close(fd);
    keep_teardown();
}

/* The same time, but it gets on. */
TEST(keep_body_that_gets_on_is_waited_for)
{
    char out[1024], *part = malloc(1001);

    memset(part, ' ', 1000);
    part[1000] = 0;
    REQUIRE(keep_setup(400, 0, 0));
    int fd = keep_half_request(40 * 1000 + 13, 0);
    for (int i = 0; i < 40; i++) {
        raw_send(fd, part);
        raw_sleep(20);
    }
    raw_send(fd, "{\"name\":\"me\"}");
    CHECK(strstr(raw_reply(fd, out, sizeof out, 30000), "Hello me"));
    close(fd);
    free(part);
    keep_teardown();
}

/* A peer that goes on sending a body that is too large gets to read why it was refused. */
TEST(keep_refusal_is_not_lost)
{
    enum { PART = 65536, PARTS = 40 };
    char out[1024], *part = malloc(PART);
    int sent = 0;
    bool closed;

    memset(part, ' ', PART);
    REQUIRE(keep_setup(0, 1000, 0));
    int fd = keep_half_request(PART * PARTS, 1);
    for (; sent < PARTS; sent++) {
        size_t done = 0;
        while (done < PART && raw_wait(fd, POLLOUT, 5000)) {
            ssize_t n = send(fd, part + done, PART - done, MSG_NOSIGNAL | MSG_DONTWAIT);
            if (n < 0 && errno != EAGAIN)
                break;
            done += n > 0 ? (size_t)n : 0;
        }
        if (done < PART)
            break;
    }
    CHECK_EQ_INT(sent, PARTS);
    CHECK(raw_read(fd, out, sizeof out - 1, 30000, &closed) > 0);
    CHECK(!strncmp(out, "HTTP/1.1 413 ", 13));
    CHECK(closed);
    close(fd);
    free(part);
    keep_teardown();
}

/* But who never stops is not listened to for ever. */
TEST(keep_refused_peer_is_left_in_the_end)
{
    long long until = raw_ms() + 20000;
    ssize_t n = 1;

    REQUIRE(keep_setup(0, 1000, 0));
    int fd = keep_half_request(2000, 1);
    while ((n > 0 || errno == EAGAIN) && raw_ms() < until) {
        raw_sleep(20);
        n = send(fd, "xxxxxxxx", 8, MSG_NOSIGNAL | MSG_DONTWAIT);
    }
    CHECK(n < 0 && (errno == EPIPE || errno == ECONNRESET));
    close(fd);
    keep_teardown();
}

/* So many of them, at least, have an answer. */
static bool keep_answered(const int *fds, int n, int least)
{
    for (int tries = 0; tries < 3000; tries++) {
        int answered = 0;
        for (int i = 0; i < n; i++)
            answered += raw_wait(fds[i], POLLIN, 0);
        if (answered >= least)
            return true;
        raw_sleep(10);
    }
    return false;
}

TEST(keep_memory_of_all_connections_is_bounded)
{
    enum { CONNS = 12, HALF = 20000 };
    char out[1024];
    int fds[CONNS], refused = 0, waiting = 0;

    REQUIRE(keep_setup(0, 0, 100000));
    for (int i = 0; i < CONNS; i++)
        fds[i] = keep_half_request(HALF + 13, HALF);
    CHECK(keep_answered(fds, CONNS, CONNS - 5));
    for (int i = 0; i < CONNS; i++) {
        raw_send(fds[i], "{\"name\":\"me\"}");
        raw_reply(fds[i], out, sizeof out, 30000);
        refused += !strncmp(out, "HTTP/1.1 503 ", 13);
        waiting += strstr(out, "Hello me") != NULL;
        close(fds[i]);
    }
    CHECK(waiting >= 1 && waiting <= 5);
    CHECK_EQ_INT(refused + waiting, CONNS);
    int fd = keep_half_request(HALF + 13, HALF); /* those have given back what they had */
    raw_send(fd, "{\"name\":\"me\"}");
    CHECK(strstr(raw_reply(fd, out, sizeof out, 30000), "Hello me"));
    close(fd);
    keep_teardown();
}
