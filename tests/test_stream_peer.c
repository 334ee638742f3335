/* SPDX-License-Identifier: MIT */
/* Streams whose peers do not read, send half of what they promise, vanish or never quite catch up:
 * they end, are counted as what they are, and leave nothing. */
#include "chat.h"
#include "service/service.h"
#include "stream/stream.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>

#define PEER_BACK "Micro-Stream: 1\r\nMicro-Id: 1\r\nMicro-Endpoint: Chat.Back\r\n"
#define PEER_ECHO "Micro-Stream: 1\r\nMicro-Id: 1\r\nMicro-Endpoint: Chat.Echo\r\n"

static int peer_open(chat_fixture *f, const char *lines)
{
    int fd = raw_connect(micro_service_address(f->server)), small = 4096;
    int before = atomic_load(&chat_seen.opened);

    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
    raw_post(fd, lines, "{}");
    CHECK_EQ_INT(raw_until(&chat_seen.opened, before + 1), before + 1);
    return fd;
}

/* What the connections of a service keep for messages half read and half sent: at least so much,
 * and nothing, in the end. */
static bool peer_keeps(chat_fixture *f, size_t least)
{
    for (int i = 0; i < 20000 && atomic_load(&f->server->port->kept) < least; i++)
        raw_sleep(1);
    return CHECK(atomic_load(&f->server->port->kept) >= least);
}

static bool peer_keeps_nothing(chat_fixture *f)
{
    for (int i = 0; i < 20000 && atomic_load(&f->server->port->kept); i++)
        raw_sleep(1);
    return CHECK_EQ_UINT(atomic_load(&f->server->port->kept), 0);
}

/* Sends messages without ever reading, until no more are taken or limit bytes have gone. The next
 * call goes on where this one stopped. */
static size_t peer_pour(int fd, size_t limit)
{
    static size_t at;
    static char req[4096], body[3000], text[2001];
    size_t n, sent = 0;

    memset(text, 'y', sizeof text - 1);
    snprintf(body, sizeof body, "{\"count\":1,\"text\":\"%s\"}", text);
    n = strlen(raw_post_text(req, sizeof req, PEER_BACK, body));
    for (int quiet = 0; quiet < 100 && sent < limit;) {
        ssize_t k = send(fd, req + at, n - at, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (k > 0) {
            at = (at + (size_t)k) % n;
            sent += (size_t)k;
        }
        if (k < 0 && errno != EAGAIN)
            break;
        quiet = k > 0 ? 0 : quiet + 1;
        if (k <= 0)
            raw_sleep(1);
    }
    return sent;
}

/* Until its stream has ended. How fast a starved machine's TCP takes it is not the matter. */
static void peer_pour_to_the_end(chat_fixture *f, int fd)
{
    long long until = raw_ms() + 100000;
    size_t sent = 0, most = 100u << 20;

    while (!atomic_load(&chat_seen.ended) && raw_ms() < until && sent < most)
        sent += peer_pour(fd, most);
    CHECK(sent < most);
    NOTE("%zu bytes were taken, %zu are kept", sent, atomic_load(&f->server->port->kept));
    REQUIRE(CHECK_EQ_INT(raw_until(&chat_seen.ended, 1), 1));
    CHECK(chat_seen.err == MICRO_EIO || chat_seen.err == MICRO_ECANCELED);
}

TEST(peer_that_never_reads_has_an_end)
{
    chat_fixture f;
    char got[4096];
    bool closed = false;

    REQUIRE(chat_begin_with(&f, (micro_service_opts){ .idle_ms = 3000 }));
    int idle = peer_open(&f, PEER_BACK), fd = peer_open(&f, PEER_BACK);
    peer_pour_to_the_end(&f, fd);
    while (!closed && raw_read(fd, got, sizeof got - 1, 30000, &closed) == sizeof got - 1)
        ;
    CHECK(closed);
    peer_keeps_nothing(&f);
    CHECK_EQ_INT(atomic_load(&chat_seen.ended), 1); /* the idle one waits for nothing, and stays */
    close(fd);
    close(idle);
    CHECK_EQ_INT(raw_until(&chat_seen.ended, 2), 2);
    chat_finish(&f);
}

static void peer_half(int fd, const char *lines, size_t length, size_t sent)
{
    static char text[65536];
    int n = snprintf(text, sizeof text,
                     "POST / HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n%s"
                     "Content-Length: %zu\r\n\r\n",
                     lines, length);

    memset(text + n, ' ', sent);
    text[(size_t)n + sent] = 0;
    raw_send(fd, text);
}

/* What is half read counts, whichever form the stream has; who comes too late is told. */
static void peer_memory(const char *lines)
{
    enum { HALF = 40000 };
    chat_fixture f;
    char out[1024];

    REQUIRE(chat_begin_with(&f, (micro_service_opts){ .max_memory = 100000 }));
    int one = peer_open(&f, lines), two = peer_open(&f, lines);
    peer_half(one, lines, 2 * HALF, HALF);
    REQUIRE(peer_keeps(&f, 2 * HALF)); /* room for the whole, so the next one's will not fit */
    peer_half(two, lines, 2 * HALF, HALF);
    REQUIRE(CHECK_EQ_INT(raw_until(&chat_seen.ended, 1), 1));
    CHECK_EQ_INT(chat_seen.err, MICRO_ENOMEM);
    CHECK(strstr(raw_reply(two, out, sizeof out, 30000), "too much is half read"));
    close(one);
    close(two);
    CHECK_EQ_INT(raw_until(&chat_seen.ended, 2), 2);
    peer_keeps_nothing(&f);
    chat_finish(&f);
}

TEST(peer_half_messages_count_for_the_memory_of_all)
{
    peer_memory(PEER_BACK);
}

TEST_OF_THREADS(stream, peer_half_messages_count_in_a_straight_line)
{
    peer_memory(PEER_ECHO);
}

TEST(peer_half_sent_counts_for_the_memory_of_all)
{
    chat_fixture f;

    REQUIRE(chat_begin_with(&f, (micro_service_opts){ .max_memory = 50000 }));
    int fd = peer_open(&f, PEER_BACK);
    peer_pour_to_the_end(&f, fd);
    peer_keeps_nothing(&f);
    close(fd);
    chat_finish(&f);
}

/* A reader that is always a little behind: what waits for it is bounded, though never nothing. */
TEST(peer_that_never_catches_up_costs_no_more)
{
    micro__pipe p;
    micro_buf head = { 0 }, body = { 0 };
    char got[1024];
    int fds[2], small = 4096;

    REQUIRE(CHECK_EQ_INT(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0));
    setsockopt(fds[0], SOL_SOCKET, SO_SNDBUF, &small, sizeof small);
    fcntl(fds[0], F_SETFL, O_NONBLOCK);
    micro__pipe_init(&p, fds[0], true, 65536);
    p.driven = true;
    for (int i = 0; i < 500; i++)
        micro__buf_text(&body, "0123456789");
    for (int i = 0; i < 20000; i++) {
        micro_err err = micro__pipe_put(&p, &head, &body, MICRO_STREAM_BUF);
        if (!CHECK(err == MICRO_OK || err == MICRO_EAGAIN))
            break;
        micro__pipe_flush(&p);
        if (i > 100 && !CHECK(read(fds[1], got, sizeof got) > 0 && p.out.len > p.sent))
            break;
    }
    CHECK(p.out.cap < 4 * MICRO_STREAM_BUF);
    micro__pipe_free(&p);
    micro__buf_free(&body);
    close(fds[0]);
    close(fds[1]);
}

/* ---- ends that are none ------------------------------------------------------------------------
 */

static unsigned peer_failed(chat_fixture *f, const char *endpoint)
{
    micro__stats_sum sum;

    micro__stats_read(micro__server_find(&f->server->server, micro_s(endpoint))->stats, &sum);
    return (unsigned)(sum.requests - sum.outcomes[MICRO__DONE_OK]);
}

static void peer_reset(int fd)
{
    struct linger now = { 1, 0 };

    setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    close(fd);
}

/* How callers of either protocol go: what the handler is told, and whether it counts as a failure.
 */
static void peer_vanishes(const char *endpoint)
{
    static const struct {
        bool envelope, reset, half;
        micro_err err;
    } rows[] = {
        { false, false, false, MICRO_ECANCELED }, { false, true, false, MICRO_ECANCELED },
        { false, false, true, MICRO_ECANCELED },  { true, false, false, MICRO_EOS },
        { true, true, false, MICRO_ECANCELED },   { true, false, true, MICRO_ECANCELED },
    };
    chat_fixture f;
    unsigned failed = 0;

    REQUIRE(chat_begin(&f));
    for (size_t i = 0; i < MICRO_COUNTOF(rows); i++) {
        char lines[128], body[128];
        int fd = raw_connect(micro_service_address(f.server)), n = (int)i + 1;

        NOTE("%s, row %zu", endpoint, i);
        snprintf(lines, sizeof lines, "Micro-Stream: 1\r\nMicro-Id: 1\r\nMicro-Endpoint: %s\r\n",
                 endpoint);
        snprintf(body, sizeof body, "{\"method\":\"%s\",\"params\":[{}],\"id\":1}", endpoint);
        raw_post(fd, rows[i].envelope ? "" : lines, rows[i].envelope ? body : "{}");
        REQUIRE(CHECK_EQ_INT(raw_until(&chat_seen.opened, n), n));
        if (rows[i].half)
            raw_send(fd, "POST / HTTP/1.1\r\nContent-Le");
        if (rows[i].reset)
            peer_reset(fd);
        else
            close(fd);
        REQUIRE(CHECK_EQ_INT(raw_until(&chat_seen.ended, n), n));
        CHECK_EQ_INT(chat_seen.err, rows[i].err);
        failed += rows[i].err != MICRO_EOS;
        for (int k = 0; k < 5000 && peer_failed(&f, endpoint) != failed; k++)
            raw_sleep(1);
        CHECK_EQ_UINT(peer_failed(&f, endpoint), failed);
    }
    chat_finish(&f);
}

TEST(peer_that_vanishes_is_no_good_end)
{
    peer_vanishes("Chat.Back");
}

TEST_OF_THREADS(stream, peer_that_vanishes_in_a_straight_line)
{
    peer_vanishes("Chat.Echo");
}

MICRO_STREAM(peer_clock, "Chat.Clock", chat_msg, chat_msg);

/* Never reads, and takes being canceled for a reason to end well. */
static micro_err peer_on_clock(micro_ctx *ctx, micro_stream *st)
{
    (void)st;
    atomic_fetch_add(&chat_seen.opened, 1);
    while (!micro_ctx_canceled(ctx))
        usleep(1000);
    atomic_fetch_add(&chat_seen.ended, 1);
    return MICRO_OK;
}

TEST_OF_THREADS(stream, peer_that_vanishes_is_no_good_end_for_one_that_does_not_look)
{
    chat_fixture f = { .reg = micro_registry_memory_new() };

    memset(&chat_seen, 0, sizeof chat_seen);
    f.server = micro_service_new(.name = "chat", .address = "127.0.0.1:0", .registry = f.reg,
                                 .drain_ms = 3000);
    peer_clock_handle(f.server, peer_on_clock, NULL);
    REQUIRE(CHECK_EQ_INT(micro_service_start(f.server), MICRO_OK));
    close(peer_open(&f, "Micro-Stream: 1\r\nMicro-Id: 1\r\nMicro-Endpoint: Chat.Clock\r\n"));
    CHECK_EQ_INT(raw_until(&chat_seen.ended, 1), 1);
    for (int k = 0; k < 5000 && peer_failed(&f, "Chat.Clock") != 1; k++)
        raw_sleep(1);
    CHECK_EQ_UINT(peer_failed(&f, "Chat.Clock"), 1);
    chat_finish(&f);
}

/* ---- a host that is gone sends nothing ---------------------------------------------------------
 */

static int peer_option(int fd, int level, int name)
{
    int value = 0;
    socklen_t len = sizeof value;

    CHECK_EQ_INT(getsockopt(fd, level, name, &value, &len), 0);
    return value;
}

static MICRO__ATOMIC(int) peer_probes;

static micro_err peer_on_probed(micro_ctx *ctx, micro_stream *st)
{
    (void)ctx;
    atomic_store(&peer_probes, peer_option(st->pipe.fd, SOL_SOCKET, SO_KEEPALIVE));
    atomic_fetch_add(&chat_seen.opened, 1);
    micro_stream_on(st, NULL, NULL, NULL, NULL);
    return MICRO_OK;
}

TEST(peer_that_is_silent_is_probed)
{
    chat_fixture f = { .reg = micro_registry_memory_new() };
    micro_stream *st;

    memset(&chat_seen, 0, sizeof chat_seen);
    f.server = micro_service_new(.name = "chat", .address = "127.0.0.1:0", .registry = f.reg,
                                 .drain_ms = 50);
    peer_clock_handle(f.server, peer_on_probed, NULL);
    REQUIRE(CHECK_EQ_INT(micro_service_start(f.server), MICRO_OK));
    f.ctx = micro_ctx_new(f.server);
    REQUIRE(CHECK_EQ_INT(peer_clock(f.ctx, "chat", &st), MICRO_OK));
    CHECK(peer_option(st->pipe.fd, SOL_SOCKET, SO_KEEPALIVE));
#ifdef TCP_KEEPIDLE
    CHECK(peer_option(st->pipe.fd, IPPROTO_TCP, TCP_KEEPIDLE) <= 60);
#endif
    CHECK_EQ_INT(raw_until(&chat_seen.opened, 1), 1);
    CHECK(atomic_load(&peer_probes));
    chat_finish(&f);
}

/* ---- the peer is this very thread --------------------------------------------------------------
 */

/* A caller that waits drives the service it waits for, if nobody else does. */
TEST(peer_that_this_thread_drives)
{
    chat_fixture f;
    micro_stream *st;
    chat_msg m = { 0, micro_s("to myself") };

    REQUIRE(chat_begin_with(&f, (micro_service_opts){ .loops = MICRO_OFF }));
    micro_ctx_set_timeout(f.ctx, 30000);
    REQUIRE(CHECK_EQ_INT(chat_back(f.ctx, "chat", &st), MICRO_OK));
    for (int64_t i = 0; i < 100; i++) {
        m.count = i;
        m.text = micro_s("to myself");
        CHECK_EQ_INT(chat_back_send_req(st, &m), MICRO_OK);
        if (!CHECK_EQ_INT(chat_back_recv_rsp(st, &m), MICRO_OK) || !CHECK_EQ_INT(m.count, i))
            break;
    }
    m.count = -1;
    CHECK_EQ_INT(chat_back_send_req(st, &m), MICRO_OK);
    CHECK_EQ_INT(chat_back_recv_rsp(st, &m), MICRO_EOS);
    CHECK_EQ_INT(atomic_load(&chat_seen.ended), 1);
    micro_stream_close(st, MICRO_OK);
    /* A handler that waits for somebody else, while its thread's caller has that much time. */
    int fd = raw_connect(micro_service_address(f.server));
    raw_post(fd, PEER_ECHO, "{}");
    micro_ctx_set_timeout(f.ctx, 200);
    REQUIRE(CHECK_EQ_INT(chat_back(f.ctx, "chat", &st), MICRO_OK));
    CHECK_EQ_INT(chat_back_recv_rsp(st, &m), MICRO_ETIMEDOUT);
    CHECK_EQ_INT(chat_seen.err, MICRO_ETIMEDOUT);
    close(fd);
    chat_finish(&f);
}

/* One that waits for its caller, who is beneath it, would wait for ever. */
TEST(peer_beneath_is_not_waited_for)
{
    chat_fixture f;
    micro_stream *st;
    chat_msg m = { 1, micro_s("to myself") };

    REQUIRE(chat_begin_with(&f, (micro_service_opts){ .loops = MICRO_OFF }));
    REQUIRE(CHECK_EQ_INT(chat_echo(f.ctx, "chat", &st), MICRO_OK));
    CHECK_EQ_INT(chat_echo_send_req(st, &m), MICRO_OK);
    CHECK_EQ_INT(chat_echo_recv_rsp(st, &m), MICRO_OK);
    CHECK_EQ_INT(m.count, 1);
    CHECK_EQ_INT(chat_echo_recv_rsp(st, &m), 500);
    CHECK(strstr(micro_ctx_strerror(f.ctx), "the caller waits on this very thread"));
    CHECK_EQ_INT(chat_seen.err, MICRO_EBUSY);
    chat_finish(&f);
}

static atomic_int peer_inside_err;

static void peer_inside(void *arg)
{
    chat_fixture *f = arg;
    micro_ctx *ctx = micro_ctx_new(f->client);
    micro_stream *st;
    chat_msg m;

    if (CHECK_EQ_INT(chat_echo(ctx, "chat", &st), MICRO_OK)) {
        atomic_store(&peer_inside_err, chat_echo_recv_rsp(st, &m));
        CHECK(strstr(micro_ctx_strerror(ctx), "once its own handler has returned"));
    }
    micro_ctx_free(ctx);
}

/* Nor a service that nobody can drive, since its thread is in a callback. */
TEST(peer_that_nobody_drives_is_not_waited_for)
{
    chat_fixture f;

    REQUIRE(chat_begin_with(&f, (micro_service_opts){ .loops = MICRO_OFF }));
    CHECK_EQ_INT(micro_post(f.server, 0, peer_inside, &f), MICRO_OK);
    for (int i = 0; i < 10000 && !atomic_load(&peer_inside_err); i++)
        micro_ignore(micro_poll(f.server, 1));
    CHECK_EQ_INT(atomic_load(&peer_inside_err), MICRO_EBUSY);
    chat_finish(&f);
}
