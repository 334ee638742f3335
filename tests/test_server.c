/* SPDX-License-Identifier: MIT */
/* The HTTP server as a peer sees it: framing, fragments, limits, pipelining, slow readers, closing.
 */
#include "hello.h"
#include "raw.h"

#include <sys/resource.h>

#define ENVELOPE(name) "{\"method\":\"Say.Hello\",\"params\":[{\"name\":\"" name "\"}],\"id\":7}"
#define ANSWER(name) "{\"id\":7,\"result\":{\"msg\":\"Hello " name "\"},\"error\":null}\n"

typedef struct server_fixture {
    micro_registry *reg;
    micro_service *svc;
    int fd;
    char out[65536];
} server_fixture;

static bool server_begin(server_fixture *f, micro_service_opts o)
{
    memset(f, 0, sizeof *f);
    f->reg = micro_registry_memory_new();
    o.size_ = sizeof o;
    o.abi_ = MICRO_ABI;
    o.registry = f->reg;
    if (!o.drain_ms)
        o.drain_ms = 1000;
    f->svc = hello_start(&o);
    f->fd = f->svc ? raw_connect(micro_service_address(f->svc)) : -1;
    return CHECK(f->fd >= 0);
}

static void server_end(server_fixture *f)
{
    close(f->fd);
    micro_service_free(f->svc);
    micro_registry_free(f->reg);
}

static const char *server_body(const char *reply)
{
    const char *p = strstr(reply, "\r\n\r\n");
    return p ? p + 4 : "(no reply)";
}

TEST(server_answers_2018_and_micro_headers)
{
    server_fixture f;

    REQUIRE(server_begin(&f, (micro_service_opts){ 0 }));
    raw_post(f.fd, "", ENVELOPE("John"));
    CHECK_EQ_TEXT(server_body(raw_reply(f.fd, f.out, sizeof f.out, 30000)), ANSWER("John"));
    raw_post(f.fd, "Micro-Endpoint: Say.Hello\r\nMicro-Id: 5\r\n", "{\"name\":\"Ann\"}");
    raw_reply(f.fd, f.out, sizeof f.out, 30000);
    CHECK_EQ_TEXT(server_body(f.out), "{\"msg\":\"Hello Ann\"}\n");
    CHECK(strstr(f.out, "Micro-Id: 5\r\n") != NULL);
    server_end(&f);
}

TEST(server_takes_any_fragmentation)
{
    server_fixture f;
    char req[1024];

    REQUIRE(server_begin(&f, (micro_service_opts){ 0 }));
    raw_post_text(req, sizeof req, "", ENVELOPE("John"));
    size_t n = strlen(req);
    for (size_t cut = 1; cut < n; cut++) {
        NOTE("cut at %zu", cut);
        char first[1024];
        memcpy(first, req, cut);
        first[cut] = 0;
        raw_send(f.fd, first);
        raw_sleep(1);
        raw_send(f.fd, req + cut);
        CHECK_EQ_TEXT(server_body(raw_reply(f.fd, f.out, sizeof f.out, 30000)), ANSWER("John"));
    }
    for (size_t i = 0; i < n; i++) {
        char one[2] = { req[i], 0 };
        raw_send(f.fd, one);
    }
    CHECK_EQ_TEXT(server_body(raw_reply(f.fd, f.out, sizeof f.out, 30000)), ANSWER("John"));
    server_end(&f);
}

TEST(server_reads_chunked_bodies)
{
    server_fixture f;
    const char *head = "POST / HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
                       "Transfer-Encoding: chunked\r\nMicro-Method: Say.Hello\r\n\r\n";
    const char *parts[] = { "5\r\n{\"nam\r\n", "a;x=y\r\ne\":\"John\"}\r\n", "0\r\nT: x\r\n\r\n" };

    REQUIRE(server_begin(&f, (micro_service_opts){ 0 }));
    for (int pause = 0; pause < 2; pause++) {
        NOTE("pause %d", pause);
        raw_send(f.fd, head);
        for (size_t i = 0; i < MICRO_COUNTOF(parts); i++) {
            if (pause)
                raw_sleep(5);
            raw_send(f.fd, parts[i]);
        }
        CHECK_EQ_TEXT(server_body(raw_reply(f.fd, f.out, sizeof f.out, 30000)),
                      "{\"msg\":\"Hello John\"}\n");
    }
    /* an empty message as Go peers send it */
    raw_send(f.fd, head);
    raw_send(f.fd, "0\r\n\r\n");
    CHECK_EQ_TEXT(server_body(raw_reply(f.fd, f.out, sizeof f.out, 30000)),
                  "{\"msg\":\"Hello \"}\n");
    server_end(&f);
}

TEST(server_answers_pipelined_requests_in_order)
{
    server_fixture f;
    enum { COUNT = 500 };
    static char all[COUNT * 256];
    size_t at = 0;

    REQUIRE(server_begin(&f, (micro_service_opts){ 0 }));
    for (int i = 0; i < COUNT; i++) {
        char body[128];
        snprintf(body, sizeof body,
                 "{\"method\":\"Say.Hello\",\"params\":[{\"name\":\"%d\"}],\"id\":%d}", i, i);
        raw_post_text(all + at, sizeof all - at, "", body);
        at += strlen(all + at);
    }
    raw_send(f.fd, all);
    for (int i = 0; i < COUNT; i++) {
        char want[128];
        NOTE("reply %d", i);
        snprintf(want, sizeof want,
                 "{\"id\":%d,\"result\":{\"msg\":\"Hello %d\"},\"error\":null}\n", i, i);
        if (!CHECK_EQ_TEXT(server_body(raw_reply(f.fd, f.out, sizeof f.out, 30000)), want))
            break;
    }
    server_end(&f);
}

/* Framing that is refused: status, a JSON error, and the connection closes. */
TEST(server_refuses_bad_framing)
{
    static const struct {
        const char *what, *request;
        int status;
    } cases[] = {
        { "both framings",
          "POST / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400 },
        { "two lengths", "POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400 },
        { "signed length", "POST / HTTP/1.1\r\nContent-Length: +1\r\n\r\n", 400 },
        { "folded line", "POST / HTTP/1.1\r\nA: b\r\n c\r\n\r\n", 400 },
        { "space before colon", "POST / HTTP/1.1\r\nA : b\r\n\r\n", 400 },
        { "bare line feed", "POST / HTTP/1.1\nA: b\r\n\r\n", 400 },
        { "two hosts", "POST / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400 },
        { "version", "POST / HTTP/2.0\r\n\r\n", 400 },
        { "two words", "POST /\r\n\r\n", 400 },
        { "other coding", "POST / HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n", 400 },
        { "too long", "POST / HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n", 413 },
        { "chunk size", "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400 },
    };

    server_fixture f;
    REQUIRE(server_begin(&f, (micro_service_opts){ 0 }));
    for (size_t i = 0; i < MICRO_COUNTOF(cases); i++) {
        char line[32];
        bool closed;
        NOTE("%s", cases[i].what);
        int fd = raw_connect(micro_service_address(f.svc));
        REQUIRE(fd >= 0);
        raw_send(fd, cases[i].request);
        size_t n = raw_read(fd, f.out, sizeof f.out - 1, 30000, &closed);
        snprintf(line, sizeof line, "HTTP/1.1 %d ", cases[i].status);
        CHECK(n > 0 && !strncmp(f.out, line, strlen(line)));
        CHECK(strstr(f.out, "\"id\":\"go.micro.server\"") != NULL);
        CHECK(closed);
        close(fd);
    }
    server_end(&f);
}

TEST(server_limits_headers)
{
    server_fixture f;
    static char req[40000];
    bool closed;

    REQUIRE(server_begin(&f, (micro_service_opts){ 0 }));
    strcpy(req, "POST / HTTP/1.1\r\nA: ");
    memset(req + strlen(req), 'x', 20000);
    strcat(req, "\r\n\r\n");
    raw_send(f.fd, req);
    raw_read(f.fd, f.out, sizeof f.out - 1, 30000, &closed);
    CHECK(!strncmp(f.out, "HTTP/1.1 431 ", 13) && closed);
    close(f.fd);
    f.fd = raw_connect(micro_service_address(f.svc));
    strcpy(req, "POST / HTTP/1.1\r\n");
    for (int i = 0; i < 200; i++)
        sprintf(req + strlen(req), "A%d: b\r\n", i);
    strcat(req, "\r\n");
    raw_send(f.fd, req);
    raw_read(f.fd, f.out, sizeof f.out - 1, 30000, &closed);
    CHECK(!strncmp(f.out, "HTTP/1.1 431 ", 13) && closed);
    server_end(&f);
}

TEST(server_limits_bodies_by_option)
{
    server_fixture f;
    static char body[5000];
    bool closed;

    REQUIRE(server_begin(&f, (micro_service_opts){ .max_body = 4000 }));
    memset(body, ' ', sizeof body - 1);
    raw_post(f.fd, "", body);
    raw_read(f.fd, f.out, sizeof f.out - 1, 30000, &closed);
    CHECK(!strncmp(f.out, "HTTP/1.1 413 ", 13) && closed);
    server_end(&f);
}

TEST(server_keeps_or_closes_as_each_protocol_wants)
{
    static const struct {
        const char *what, *more, *body;
        bool closes;
    } cases[] = {
        { "2018 with Connection: close", "Connection: close\r\n", ENVELOPE("x"), false },
        { "2018, unknown method", "", "{\"method\":\"Say.Nope\",\"params\":[{}],\"id\":1}", true },
        { "2018, unreadable", "", "hello", true },
        { "2018, bad params", "", "{\"method\":\"Say.Hello\",\"params\":{},\"id\":1}", false },
        { "2018, handler error", "", "{\"method\":\"Test.Fail\",\"params\":[{}],\"id\":1}", false },
        { "headers with Connection: close", "Micro-Method: Say.Hello\r\nConnection: close\r\n",
          "{}", true },
        { "headers, unknown method", "Micro-Method: Say.Nope\r\n", "{}", false },
        { "headers, bad JSON", "Micro-Method: Say.Hello\r\n", "nope", false },
        { "headers, handler error", "Micro-Method: Test.Fail\r\n", "{}", false },
    };
    server_fixture f;

    REQUIRE(server_begin(&f, (micro_service_opts){ 0 }));
    for (size_t i = 0; i < MICRO_COUNTOF(cases); i++) {
        NOTE("%s", cases[i].what);
        int fd = raw_connect(micro_service_address(f.svc));
        bool closed;
        raw_post(fd, cases[i].more, cases[i].body);
        CHECK(!strncmp(raw_reply(fd, f.out, sizeof f.out, 30000), "HTTP/1.1 200 OK", 15));
        raw_read(fd, f.out, 1, cases[i].closes ? 2000 : 50, &closed);
        CHECK_EQ_INT(closed, cases[i].closes);
        close(fd);
    }
    server_end(&f);
}

TEST(server_http10_and_head)
{
    server_fixture f;
    bool closed;

    REQUIRE(server_begin(&f, (micro_service_opts){ 0 }));
    raw_send(f.fd, "HEAD /any/path HTTP/1.1\r\nContent-Type: application/json\r\n"
                   "Micro-Method: Say.Hello\r\n\r\n");
    for (size_t n = 0; n < sizeof f.out - 1 && !strstr(f.out, "\r\n\r\n"); n++)
        if (!raw_read(f.fd, f.out + n, 1, 30000, &closed))
            break;
    CHECK(strstr(f.out, "Content-Length: 17\r\n") != NULL);
    raw_send(f.fd, "PUT /x HTTP/1.0\r\nContent-Type: application/json\r\n"
                   "Micro-Method: Say.Hello\r\n\r\n");
    raw_read(f.fd, f.out, sizeof f.out - 1, 30000, &closed);
    CHECK(closed && !strncmp(f.out, "HTTP/1.1 200 OK\r\n", 17)); /* no body of HEAD before it */
    CHECK_EQ_TEXT(server_body(f.out), "{\"msg\":\"Hello \"}\n");
    server_end(&f);
}

/* 100 Continue only if the body stays away: 2018 gateways send it at once and cannot bear a 100. */
TEST(server_expect_continue)
{
    server_fixture f;
    const char *head =
        "POST / HTTP/1.1\r\nContent-Type: application/json\r\nMicro-Method: Say.Hello\r\n"
        "Expect: 100-continue\r\nContent-Length: 2\r\n\r\n";
    bool closed;

    REQUIRE(server_begin(&f, (micro_service_opts){ 0 }));
    raw_send(f.fd, head);
    raw_send(f.fd, "{}");
    CHECK(!strncmp(raw_reply(f.fd, f.out, sizeof f.out, 30000), "HTTP/1.1 200", 12));
    raw_send(f.fd, head);
    raw_read(f.fd, f.out, 25, 30000, &closed);
    CHECK_EQ_TEXT(f.out, "HTTP/1.1 100 Continue\r\n\r\n");
    raw_send(f.fd, "{}");
    CHECK(!strncmp(raw_reply(f.fd, f.out, sizeof f.out, 30000), "HTTP/1.1 200", 12));
    server_end(&f);
}

/* A peer that sends requests and reads nothing: its replies wait, further requests are not taken
 * in. */
TEST(server_slow_reader_gets_everything)
{
    server_fixture f;
    enum { COUNT = 40, SIZE = 200000 };
    static char reply[SIZE + 1024];

    REQUIRE(server_begin(&f, (micro_service_opts){ 0 }));
    for (int i = 0; i < COUNT; i++)
        raw_post(f.fd, "Micro-Method: Test.Big\r\n", "{\"name\":\"200000\"}");
    raw_sleep(200);
    for (int i = 0; i < COUNT; i++) {
        bool closed;
        NOTE("reply %d", i);
        size_t n = raw_read(f.fd, reply, 1, 30000, &closed);
        while (n && !strstr(reply, "\r\n\r\n"))
            n += raw_read(f.fd, reply + n, 1, 30000, &closed);
        if (!CHECK(n > 0))
            break;
        if (!CHECK_EQ_UINT(raw_read(f.fd, reply, SIZE + 11, 30000, &closed), SIZE + 11))
            break;
        CHECK(reply[8] == 'y' && reply[SIZE + 7] == 'y' && reply[SIZE + 10] == '\n');
    }
    server_end(&f);
}

TEST(server_closes_idle_connections)
{
    server_fixture f;
    bool closed;

    long long start = raw_ms();
    REQUIRE(server_begin(&f, (micro_service_opts){ .idle_ms = 200 }));
    raw_read(f.fd, f.out, 1, 30000, &closed);
    CHECK(closed);
    CHECK(raw_ms() - start >= 150);
    server_end(&f);
}

TEST(server_drip_fed_head_is_bounded)
{
    server_fixture f;
    bool closed = false;

    REQUIRE(server_begin(&f, (micro_service_opts){ .idle_ms = 300 }));
    for (int i = 0; i < 200 && !closed; i++) {
        raw_send(f.fd, "X");
        raw_read(f.fd, f.out, 1, 20, &closed);
    }
    CHECK(closed);
    server_end(&f);
}

#if MICRO__LINUX
/* Served so far, as Debug.Stats tells it over a connection of its own. */
static unsigned long server_served(const server_fixture *f)
{
    int fd = raw_connect(micro_service_address(f->svc));
    char out[4096];

    raw_post(fd, "Micro-Method: Debug.Stats\r\n", "{}");
    const char *at = strstr(raw_reply(fd, out, sizeof out, 30000), "\"requests\":");
    close(fd);
    return at ? strtoul(at + 11, NULL, 10) : 0;
}

/* Nor does the kernel keep megabytes of replies for it, which would cost as many requests. */
TEST(server_soon_stops_for_who_never_reads)
{
    enum { SIZE = 4000 };
    server_fixture f;
    char post[512];
    unsigned long served, before = 0;

    REQUIRE(server_begin(&f, (micro_service_opts){ 0 }));
    raw_post_text(post, sizeof post, "Micro-Method: Test.Big\r\n", "{\"name\":\"4000\"}");
    for (int i = 0; i < 2000 && raw_wait(f.fd, POLLOUT, 100); i++)
        raw_send(f.fd, post);
    while ((served = server_served(&f)) > before + 1) { /* it asks once itself */
        before = served;
        raw_sleep(100);
    }
    CHECK(served >= 10 && served * SIZE < 1500000);
    server_end(&f);
}
#endif

TEST(server_pauses_at_max_conns)
{
    server_fixture f;
    int fds[4];

    REQUIRE(server_begin(&f, (micro_service_opts){ .max_conns = 3, .loops = 1 }));
    close(f.fd);
    raw_sleep(20);
    for (int i = 0; i < 4; i++) {
        fds[i] = raw_connect(micro_service_address(f.svc));
        raw_post(fds[i], "", ENVELOPE("x"));
    }
    for (int i = 0; i < 3; i++)
        CHECK_EQ_TEXT(server_body(raw_reply(fds[i], f.out, sizeof f.out, 30000)), ANSWER("x"));
    CHECK_EQ_TEXT(raw_reply(fds[3], f.out, sizeof f.out, 100), "");
    close(fds[0]);
    CHECK_EQ_TEXT(server_body(raw_reply(fds[3], f.out, sizeof f.out, 30000)), ANSWER("x"));
    for (int i = 1; i < 4; i++)
        close(fds[i]);
    f.fd = -1;
    server_end(&f);
}

static atomic_int server_said;

static void server_on_log(void *arg, int level, const char *file, int line, const char *text,
                          size_t len)
{
    (void)arg, (void)level, (void)file, (void)line, (void)len;
    server_said += strstr(text, "out of file descriptors") != NULL;
}

/* One is left, which each caller takes for its own end. */
TEST(server_goes_on_without_descriptors)
{
    server_fixture f;
    struct rlimit limit = { 0 };

    micro_log_set(MICRO_LOG_ERROR, server_on_log, NULL);
    REQUIRE(server_begin(&f, (micro_service_opts){ .loops = 1 }));
    raw_post(f.fd, "", ENVELOPE("before"));
    raw_reply(f.fd, f.out, sizeof f.out, 30000);
    getrlimit(RLIMIT_NOFILE, &limit);
    rlim_t all = limit.rlim_cur;
    int left = dup(f.fd);
    close(left);
    limit.rlim_cur = (rlim_t)left + 1;
    REQUIRE(setrlimit(RLIMIT_NOFILE, &limit) == 0);
    for (int i = 0; i < 20; i++) {
        bool closed = false;
        int fd = raw_connect(micro_service_address(f.svc));
        CHECK_EQ_INT(fd, left);
        CHECK(raw_read(fd, f.out, 1, 4000, &closed) == 0 && closed);
        close(fd);
        raw_post(f.fd, "", ENVELOPE("others"));
        raw_reply(f.fd, f.out, sizeof f.out, 30000);
        CHECK_EQ_TEXT(server_body(f.out), ANSWER("others"));
    }
    CHECK_EQ_INT(server_said, 1);
    limit.rlim_cur = all;
    setrlimit(RLIMIT_NOFILE, &limit);
    int fd = raw_connect(micro_service_address(f.svc));
    raw_post(fd, "", ENVELOPE("after"));
    CHECK_EQ_TEXT(server_body(raw_reply(fd, f.out, sizeof f.out, 30000)), ANSWER("after"));
    close(fd);
    server_end(&f);
}

#if MICRO__LINUX
/* Of the kernel's table, which it makes larger when it is full. */
static unsigned server_table(void)
{
    FILE *f = fopen("/proc/self/status", "r");
    char line[256];
    unsigned size = 0;

    while (f && fgets(line, sizeof line, f))
        if (sscanf(line, "FDSize: %u", &size) == 1)
            break;
    if (f)
        fclose(f);
    return size;
}

TEST(server_has_room_for_its_connections)
{
    server_fixture f;
    unsigned before = server_table(), want = 900 + 512;

    if (micro__raise_fd_limit(want) < want)
        want = (unsigned)micro__raise_fd_limit(0);
    REQUIRE(server_begin(&f, (micro_service_opts){ .max_conns = 900 }));
    CHECK(server_table() >= want);
    CHECK(server_table() < 2 * want || server_table() == before); /* large already: valgrind's */
    CHECK(f.fd < 100); /* nothing is left of what was done for that */
    server_end(&f);
}
#endif

/* ---- the seat ---------------------------------------------------------------------------------
 */

TEST_OF_THREADS(overlap, server_blocking_handlers_overlap)
{
    server_fixture f;
    enum { COUNT = 20 };
    int fds[COUNT];

    REQUIRE(server_begin(&f, (micro_service_opts){ .loops = 1 }));
    long long start = raw_ms();
    for (int i = 0; i < COUNT; i++) {
        fds[i] = raw_connect(micro_service_address(f.svc));
        raw_post(fds[i], "Micro-Method: Test.Slow\r\n", "{\"name\":\"1000\"}");
    }
    raw_sleep(50);
    raw_post(f.fd, "", ENVELOPE("quick"));
    CHECK_EQ_TEXT(server_body(raw_reply(f.fd, f.out, sizeof f.out, 30000)), ANSWER("quick"));
    CHECK(raw_ms() - start < 1000); /* before any sleeper has woken */
    for (int i = 0; i < COUNT; i++) {
        CHECK_EQ_TEXT(server_body(raw_reply(fds[i], f.out, sizeof f.out, 30000)),
                      "{\"msg\":\"slept\"}\n");
        close(fds[i]);
    }
    CHECK(raw_ms() - start < COUNT * 1000 / 3);
    server_end(&f);
}

TEST_OF_THREADS(overlap, server_pipelined_behind_a_blocking_handler)
{
    server_fixture f;
    char a[512], b[512], c[512], all[1600];

    REQUIRE(server_begin(&f, (micro_service_opts){ .loops = 1 }));
    snprintf(all, sizeof all, "%s%s%s", raw_post_text(a, sizeof a, "", ENVELOPE("one")),
             raw_post_text(b, sizeof b, "Micro-Method: Test.Slow\r\n", "{\"name\":\"1500\"}"),
             raw_post_text(c, sizeof c, "", ENVELOPE("three")));
    long long start = raw_ms();
    raw_send(f.fd, all);
    CHECK_EQ_TEXT(server_body(raw_reply(f.fd, f.out, sizeof f.out, 30000)), ANSWER("one"));
    CHECK(raw_ms() - start < 1500); /* it does not wait for the one behind it */
    CHECK_EQ_TEXT(server_body(raw_reply(f.fd, f.out, sizeof f.out, 9000)), "{\"msg\":\"slept\"}\n");
    CHECK_EQ_TEXT(server_body(raw_reply(f.fd, f.out, sizeof f.out, 30000)), ANSWER("three"));
    server_end(&f);
}

TEST_OF_THREADS(overlap, server_cancels_when_the_caller_goes)
{
    server_fixture f;

    REQUIRE(server_begin(&f, (micro_service_opts){ .loops = 1 }));
    raw_post(f.fd, "Micro-Method: Test.Slow\r\n", "{\"name\":\"200\"}");
    raw_sleep(50);
    shutdown(f.fd, SHUT_WR); /* half: the reply is still wanted */
    CHECK_EQ_TEXT(server_body(raw_reply(f.fd, f.out, sizeof f.out, 30000)),
                  "{\"msg\":\"canceled\"}\n");
    server_end(&f);
}

TEST(server_stop_finishes_what_runs)
{
    server_fixture f;
    bool closed;

    REQUIRE(server_begin(&f, (micro_service_opts){ .drain_ms = 5000 }));
    int half = raw_connect(micro_service_address(f.svc));
    raw_send(half, "POST / HTTP/1.1\r\nConte");
    raw_post(f.fd, "Micro-Method: Test.Slow\r\n", "{\"name\":\"300\"}");
    raw_sleep(50);
    char address[128];
    snprintf(address, sizeof address, "%s", micro_service_address(f.svc));
    long long start = raw_ms();
    micro_service_stop(f.svc);
    CHECK(raw_ms() - start < 4000);
    CHECK_EQ_TEXT(server_body(raw_reply(f.fd, f.out, sizeof f.out, 100)), "{\"msg\":\"slept\"}\n");
    raw_read(half, f.out, 1, 100, &closed);
    CHECK(closed);
    CHECK_EQ_INT(raw_connect(address), -1);
    close(half);
    server_end(&f);
}

TEST(server_many_connections_and_resets)
{
    server_fixture f;
    char req[1024];

    REQUIRE(server_begin(&f, (micro_service_opts){ 0 }));
    raw_post_text(req, sizeof req, "", ENVELOPE("x"));
    size_t n = strlen(req);
    for (int i = 0; i < 300; i++) {
        int fd = raw_connect(micro_service_address(f.svc));
        struct linger reset = { 1, 0 };
        char part[1024];
        REQUIRE(fd >= 0);
        snprintf(part, sizeof part, "%.*s", (int)(n * (size_t)(i % 11) / 10), req);
        raw_send(fd, part);
        if (i % 2)
            setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
        close(fd);
    }
    raw_send(f.fd, req);
    CHECK_EQ_TEXT(server_body(raw_reply(f.fd, f.out, sizeof f.out, 30000)), ANSWER("x"));
    server_end(&f);
}
