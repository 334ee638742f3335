/* SPDX-License-Identifier: MIT */
/* Streams with callbacks, on both sides: no thread waits for them. */
#include "chat.h"

#include <sys/wait.h>

typedef struct streams_got {
    int64_t next, wrong;
    atomic_int messages, ended;
    micro_err err;
    char detail[64];
    int64_t stop; /* sends -1 after so many */
} streams_got;

static void streams_message(micro_ctx *ctx, micro_stream *st, const chat_msg *m, void *arg)
{
    streams_got *g = arg;

    (void)ctx;
    g->wrong += m->count != g->next++;
    atomic_fetch_add(&g->messages, 1);
    chat_msg out = { g->next < g->stop ? g->next : -1, micro_s("again") };
    if (g->stop)
        CHECK_EQ_INT(chat_back_send_req(st, &out), MICRO_OK);
}

static void streams_end(micro_ctx *ctx, micro_stream *st, micro_err err, void *arg)
{
    streams_got *g = arg;

    (void)st;
    g->err = err;
    snprintf(g->detail, sizeof g->detail, "%s", micro_ctx_error(ctx)->detail.ptr);
    atomic_fetch_add(&g->ended, 1);
}

static micro_err streams_open(chat_fixture *f, bool direct, const char *type, micro_stream **st)
{
    return chat_back_with(f->ctx, "chat", st,
                          MICRO_OPTS(micro_call_opts, .content_type = type,
                                     .address = direct ? micro_service_address(f->server) : NULL));
}

TEST(stream_on_both_sides)
{
    const char *types[] = { "application/json", "application/protobuf" };
    chat_fixture f;

    REQUIRE(chat_begin(&f));
    for (int i = 0; i < 4; i++) {
        micro_stream *st;
        streams_got g = { .stop = 100 };
        chat_msg m = { 0, micro_s("first") };

        NOTE("%s %s", types[i / 2], i % 2 ? "by address" : "by name");
        REQUIRE(CHECK_EQ_INT(streams_open(&f, i % 2, types[i / 2], &st), MICRO_OK));
        CHECK_EQ_INT(chat_back_send_req(st, &m), MICRO_OK);
        chat_back_on_rsp(st, streams_message, streams_end, &g);
        CHECK_EQ_INT(micro_ctx_wait(f.ctx), MICRO_OK);
        CHECK_EQ_INT(g.err, MICRO_EOS);
        CHECK_EQ_INT(g.next, 100);
        CHECK_EQ_INT(g.wrong, 0);
        CHECK_EQ_INT(atomic_load(&g.ended), 1);
        CHECK_EQ_INT(raw_until(&chat_seen.ended, i + 1), i + 1);
        CHECK_EQ_INT(chat_seen.err, MICRO_EOS);
    }
    chat_finish(&f);
}

TEST(stream_on_errors)
{
    chat_fixture f;
    const char *what[] = { "fail", "plain" };

    REQUIRE(chat_begin(&f));
    for (int i = 0; i < 4; i++) {
        micro_stream *st;
        streams_got g = { 0 };
        chat_msg m = { 0, micro_s(what[i / 2]) };

        NOTE("%s %d", what[i / 2], i);
        REQUIRE(CHECK_EQ_INT(streams_open(&f, i % 2, NULL, &st), MICRO_OK));
        chat_back_on_rsp(st, streams_message, streams_end, &g);
        CHECK_EQ_INT(chat_back_send_req(st, &m), MICRO_OK);
        CHECK_EQ_INT(micro_ctx_wait(f.ctx), MICRO_OK);
        CHECK_EQ_INT(g.err, i / 2 ? MICRO_EREMOTE : 403);
        CHECK_EQ_TEXT(g.detail, i / 2 ? "plain failure" : "no more");
    }
    chat_finish(&f);
}

TEST(stream_on_ends_with_its_ctx)
{
    chat_fixture f;
    micro_stream *st;
    streams_got g = { 0 };

    REQUIRE(chat_begin(&f));
    REQUIRE(CHECK_EQ_INT(streams_open(&f, false, NULL, &st), MICRO_OK));
    chat_back_on_rsp(st, streams_message, streams_end, &g);
    micro_ctx_set_timeout(f.ctx, 20);
    CHECK_EQ_INT(micro_ctx_wait(f.ctx), MICRO_ETIMEDOUT);
    micro_ctx_free(f.ctx);
    f.ctx = NULL;
    CHECK_EQ_INT(g.err, MICRO_ECANCELED);
    CHECK_EQ_INT(atomic_load(&g.ended), 1);
    CHECK_EQ_INT(raw_until(&chat_seen.ended, 1), 1);
    CHECK_EQ_INT(chat_seen.err, MICRO_ECANCELED);
    chat_finish(&f);
}

/* Sends numbers 1 .. stop, as many as there is room for, and ends its side. */
typedef struct streams_source {
    int64_t next, stop, refused, got;
    bool ended;
    micro_err err;
} streams_source;

static void streams_pour(micro_stream *st, streams_source *s)
{
    static pthread_mutex_t one = PTHREAD_MUTEX_INITIALIZER; /* the test's own thread begins */
    micro_err err = MICRO_OK;

    pthread_mutex_lock(&one);
    while (s->next <= s->stop && err == MICRO_OK) {
        chat_msg m = { s->next, micro_s("0123456789012345678901234567890123456789") };
        err = micro_stream_send(st, &m);
        s->next += err == MICRO_OK;
    }
    s->refused += err == MICRO_EAGAIN;
    if (s->next > s->stop && !s->ended) {
        s->ended = true;
        CHECK_EQ_INT(micro_stream_end(st), MICRO_OK);
    }
    pthread_mutex_unlock(&one);
}

static void streams_poured(micro_ctx *ctx, micro_stream *st, void *arg)
{
    (void)ctx;
    streams_pour(st, arg);
}

static void streams_sum_came(micro_ctx *ctx, micro_stream *st, micro_fn *fn, const void *msg,
                             void *arg)
{
    (void)ctx;
    (void)st;
    (void)fn;
    ((streams_source *)arg)->got = ((const chat_msg *)msg)->count;
}

static void streams_sum_end(micro_ctx *ctx, micro_stream *st, micro_err err, void *arg)
{
    (void)ctx;
    (void)st;
    ((streams_source *)arg)->err = err;
}

MICRO_STREAM(streams_sum, "Chat.SumOn", chat_msg, chat_msg);

/* The sum goes out at the end, when the caller has ended its side. */
static void streams_sum_add(micro_ctx *ctx, micro_stream *st, const chat_msg *m, void *arg)
{
    (void)ctx;
    (void)st;
    *(int64_t *)arg += m->count;
}

static void streams_sum_over(micro_ctx *ctx, micro_stream *st, micro_err err, void *arg)
{
    chat_msg m = { *(int64_t *)arg, { "", 0 } };

    (void)ctx;
    if (CHECK_EQ_INT(err, MICRO_EOS))
        CHECK_EQ_INT(streams_sum_send_rsp(st, &m), MICRO_OK);
    free(arg);
}

static micro_err streams_sum_handler(micro_ctx *ctx, micro_stream *st)
{
    int64_t *sum = calloc(1, sizeof *sum);

    if (!sum)
        return micro_fail(ctx, 503, "no memory");
    streams_sum_on_req(st, streams_sum_add, streams_sum_over, sum);
    return MICRO_OK;
}

TEST(stream_on_room_and_the_end_of_a_side)
{
    streams_source s = { .next = 1, .stop = 20000 };
    micro_registry *reg = micro_registry_memory_new();
    micro_service *svc = micro_service_new(.name = "sums", .address = "127.0.0.1:0",
                                           .registry = reg, .drain_ms = 1000);
    micro_stream *st;

    streams_sum_handle(svc, streams_sum_handler, NULL);
    REQUIRE(CHECK_EQ_INT(micro_service_start(svc), MICRO_OK));
    micro_ctx *ctx = micro_ctx_new(svc);
    REQUIRE(CHECK_EQ_INT(streams_sum(ctx, "sums", &st), MICRO_OK));
    micro_stream_on_room(st, streams_poured);
    chat_msg m = { 0, { "", 0 } };
    CHECK_EQ_INT(streams_sum_send_req(st, &m), MICRO_OK);
    micro_stream_on(st, streams_sum_came, NULL, streams_sum_end, &s);
    streams_pour(st, &s);
    CHECK_EQ_INT(micro_ctx_wait(ctx), MICRO_OK);
    CHECK_EQ_INT(s.err, MICRO_EOS);
    CHECK_EQ_INT(s.got, s.stop * (s.stop + 1) / 2);
    micro_ctx_free(ctx);
    micro_service_free(svc);
    micro_registry_free(reg);
}

/* A caller that does not read: what waits for it stays small, and its messages stay where they are.
 */
TEST(stream_on_slow_reader_bounds_memory)
{
    chat_fixture f;
    char req[4096], body[3000], text[2001];
    int small = 4096, sent = 0;

    REQUIRE(chat_begin(&f));
    memset(text, 'y', sizeof text - 1);
    text[2000] = 0;
    snprintf(body, sizeof body, "{\"count\":1,\"text\":\"%s\"}", text);
    raw_post_text(req, sizeof req,
                  "Micro-Stream: 1\r\nMicro-Id: 1\r\nMicro-Endpoint: Chat.Back\r\n", body);
    int fd = raw_connect(micro_service_address(f.server));
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
    raw_send(fd, req);
    REQUIRE(CHECK_EQ_INT(raw_until(&chat_seen.opened, 1), 1));
    size_t n = strlen(req), at = 0;
    for (int quiet = 0; quiet < 200 && sent < 200 * 1000 * 1000;) { /* until it takes no more */
        ssize_t k = send(fd, req + at, n - at, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (k > 0) {
            at = (at + (size_t)k) % n;
            sent += (int)k;
            quiet = 0;
        } else {
            quiet++;
            raw_sleep(1);
        }
    }
    CHECK(sent < 100 * 1000 * 1000);
    CHECK_EQ_INT(atomic_load(&chat_seen.ended), 0);
    close(fd);
    CHECK_EQ_INT(raw_until(&chat_seen.ended, 1), 1);
    CHECK(chat_seen.err == MICRO_EIO || chat_seen.err == MICRO_ECANCELED);
    chat_finish(&f);
}

TEST(stream_on_when_its_service_stops)
{
    chat_fixture f;
    micro_stream *st;
    streams_got g = { 0 };

    REQUIRE(chat_begin_with(&f, (micro_service_opts){ .drain_ms = 50 }));
    REQUIRE(CHECK_EQ_INT(streams_open(&f, false, NULL, &st), MICRO_OK));
    chat_back_on_rsp(st, streams_message, streams_end, &g);
    REQUIRE(CHECK_EQ_INT(raw_until(&chat_seen.opened, 1), 1));
    micro_service_stop(f.server);
    CHECK_EQ_INT(raw_until(&chat_seen.ended, 1), 1);
    CHECK_EQ_INT(chat_seen.err, MICRO_ECANCELED);
    CHECK_EQ_INT(micro_ctx_wait(f.ctx), MICRO_OK);
    CHECK_EQ_INT(g.err, MICRO_EIO);
    chat_finish(&f);
}

static micro_err streams_twice_handler(micro_ctx *ctx, micro_stream *st)
{
    (void)ctx;
    chat_back_on_req(st, chat_back_message, chat_back_end, NULL);
    chat_back_on_req(st, chat_back_message, chat_back_end, NULL);
    return MICRO_OK;
}

static micro_err streams_refuses(micro_ctx *ctx, micro_stream *st)
{
    chat_back_on_req(st, chat_back_message, chat_back_end, NULL);
    return micro_fail(ctx, 409, "after all not");
}

static micro_err streams_ignores(micro_ctx *ctx, micro_stream *st)
{
    (void)ctx;
    atomic_fetch_add(&chat_seen.opened, 1);
    micro_stream_on(st, NULL, NULL, NULL, NULL);
    return MICRO_OK;
}

TEST(stream_on_without_callbacks)
{
    micro_registry *reg = micro_registry_memory_new();
    micro_service *svc = micro_service_new(.name = "chat", .address = "127.0.0.1:0",
                                           .registry = reg, .drain_ms = 1000);
    chat_msg m = { 1, micro_s("to nobody") };

    memset(&chat_seen, 0, sizeof chat_seen);
    chat_back_handle(svc, streams_ignores, NULL);
    REQUIRE(CHECK_EQ_INT(micro_service_start(svc), MICRO_OK));
    for (int i = 0; i < 3; i++) {
        micro_ctx *ctx = micro_ctx_new(svc);
        micro_stream *st;
        REQUIRE(CHECK_EQ_INT(chat_back(ctx, "chat", &st), MICRO_OK));
        chat_back_on_rsp(st, NULL, NULL, NULL);
        CHECK_EQ_INT(chat_back_send_req(st, &m), MICRO_OK);
        CHECK_EQ_INT(raw_until(&chat_seen.opened, i + 1), i + 1);
        micro_stream_close(st, MICRO_OK);
        CHECK_EQ_INT(micro_ctx_wait(ctx), MICRO_OK);
        micro_ctx_free(ctx);
    }
    micro_service_free(svc);
    micro_registry_free(reg);
}

TEST(stream_on_twice_and_then_an_error)
{
    micro_registry *reg = micro_registry_memory_new();
    const micro_method twice = { .size_ = sizeof twice,
                                 .flags = MICRO_STREAMING,
                                 .name = "Odd.Twice",
                                 .req = &chat_msg_type,
                                 .rsp = &chat_msg_type },
                       refuses = { .size_ = sizeof refuses,
                                   .flags = MICRO_STREAMING,
                                   .name = "Odd.Refuses",
                                   .req = &chat_msg_type,
                                   .rsp = &chat_msg_type };
    micro_service *svc = micro_service_new(.name = "odd", .address = "127.0.0.1:0", .registry = reg,
                                           .drain_ms = 1000);
    const micro_method *methods[] = { &twice, &refuses };

    memset(&chat_seen, 0, sizeof chat_seen);
    micro_service_handle_stream(svc, &twice, streams_twice_handler, NULL);
    micro_service_handle_stream(svc, &refuses, streams_refuses, NULL);
    REQUIRE(CHECK_EQ_INT(micro_service_start(svc), MICRO_OK));
    micro_ctx *ctx = micro_ctx_new(svc);
    for (int i = 0; i < 2; i++) {
        micro_stream *st;
        streams_got g = { 0 };
        REQUIRE(CHECK_EQ_INT(micro_stream_open(ctx, "odd", methods[i], NULL, &st), MICRO_OK));
        chat_back_on_rsp(st, streams_message, streams_end, &g);
        CHECK_EQ_INT(micro_ctx_wait(ctx), MICRO_OK);
        CHECK_EQ_INT(g.err, i ? 409 : 500);
        CHECK_EQ_INT(raw_until(&chat_seen.ended, i + 1), i + 1);
        CHECK_EQ_INT(chat_seen.err, i ? 409 : MICRO_EINVAL);
    }
    micro_ctx_free(ctx);
    micro_service_free(svc);
    micro_registry_free(reg);
}

/* ---- many --------------------------------------------------------------------------------------
 */

/* The service is a process of its own, so that a stream is one descriptor in each. */
typedef struct streams_state {
    int opened, ended, err, threads;
} streams_state;

/* Tells of itself for each byte that comes, until no more can come. */
static int streams_serve(int to)
{
    micro_registry *reg = micro_registry_memory_new();
    micro_service *svc =
        micro_service_new(.name = "chat", .address = "127.0.0.1:0", .registry = reg, .loops = 2,
                          .max_conns = 20000, .drain_ms = 20000);
    char c, address[128] = "";
    uint64_t memory, threads;

    chat_back_handle(svc, chat_on_back, NULL);
    if (micro_service_start(svc) == MICRO_OK)
        snprintf(address, sizeof address, "%s", micro_service_address(svc));
    bool ok = *address && write(to, address, sizeof address) == (ssize_t)sizeof address;
    while (ok) {
        if (!raw_wait(to, POLLIN, 1000))
            continue;
        if (read(to, &c, 1) != 1)
            break;
        micro__process_usage(&memory, &threads);
        streams_state s = { chat_seen.opened, chat_seen.ended, chat_seen.err, (int)threads };
        ok = write(to, &s, sizeof s) == (ssize_t)sizeof s;
    }
    micro_service_free(svc);
    micro_registry_free(reg);
    return !ok;
}

static streams_state streams_ask(int service)
{
    streams_state s = { 0, 0, 0, 0 };

    CHECK(write(service, "?", 1) == 1 && read(service, &s, sizeof s) == (ssize_t)sizeof s);
    return s;
}

/* Once n have been opened and so many of them ended, after half a minute at most. */
static streams_state streams_until(int service, int opened, int ended)
{
    long long until = raw_ms() + 30000;
    streams_state s = streams_ask(service);

    while ((s.opened < opened || s.ended < ended) && raw_ms() < until) {
        raw_sleep(1);
        s = streams_ask(service);
    }
    CHECK_EQ_INT(s.opened, opened);
    CHECK_EQ_INT(s.ended, ended);
    return s;
}

/* Open at once, on two loops at each end, each used once in the middle of the others. */
static void streams_open_many(int service, const char *address, int n)
{
    micro_registry *reg = micro_registry_memory_new();
    micro_service *client = micro_service_new(.name = "caller", .registry = reg, .loops = 2);
    micro_stream **st = calloc((size_t)n, sizeof *st);
    streams_got *g = calloc((size_t)n, sizeof *g);
    micro_ctx *ctx = micro_ctx_new(client);

    for (int i = 0; i < n; i++) {
        if (!CHECK_EQ_INT(chat_back_with(ctx, "chat", &st[i],
                                         MICRO_OPTS(micro_call_opts, .address = address)),
                          MICRO_OK))
            return;
        chat_back_on_rsp(st[i], streams_message, streams_end, &g[i]);
        if (i % 256 == 255) /* no more than a listener's backlog at once */
            streams_until(service, i + 1, 0);
    }
    CHECK(streams_until(service, n, 0).threads < 20);
    for (int i = 0; i < n; i++) {
        chat_msg m = { 0, micro_s("one of many") };
        CHECK_EQ_INT(chat_back_send_req(st[i], &m), MICRO_OK);
    }
    for (int i = 0; i < n; i++)
        if (!CHECK_EQ_INT(raw_until(&g[i].messages, 1), 1))
            break;
    for (int i = 0; i < n; i++)
        micro_stream_close(st[i], MICRO_OK);
    CHECK_EQ_INT(micro_ctx_wait(ctx), MICRO_OK);
    CHECK_EQ_INT(streams_until(service, n, n).err, MICRO_EOS);
    micro_ctx_free(ctx);
    micro_service_free(client);
    micro_registry_free(reg);
    free(st);
    free(g);
}

/* As many as the limit of descriptors allows. */
TEST(stream_on_ten_thousand_open_at_once)
{
    int limit = (int)micro__raise_fd_limit(10500), n = limit < 10500 ? limit - 500 : 10000;
    int ends[2], status = -1;
    char address[128] = "";

    if (MICRO__POLLER == MICRO__POLLER_KQUEUE && n > 1000)
        n = 1000; /* on Linux that is a library which looks at all descriptors each time */
    if (n < 10000)
        printf("# only %d streams: %d descriptors\n", n, limit);
    REQUIRE(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
    pid_t child = fork();
    if (child == 0) {
        close(ends[0]);
        _exit(streams_serve(ends[1]));
    }
    close(ends[1]);
    if (CHECK(child > 0 && read(ends[0], address, sizeof address) == (ssize_t)sizeof address))
        streams_open_many(ends[0], address, n);
    close(ends[0]);
    CHECK(waitpid(child, &status, 0) == child);
    CHECK_EQ_INT(status, 0);
}
