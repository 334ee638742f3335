/* SPDX-License-Identifier: MIT */
/* Requests whose replies nobody waits for: written together, answered in any pieces, lost. */
#include "events.h"
#include "failing.h"

#include "net/pipeline.h"
#include "os/sys.h"

typedef struct pipeline_fixture {
    micro__engine *e;
    micro__pipelines *set;
    micro_ctx *ctx;
    int listener;
    char address[32];
    micro__pipeline_counts counts; /* after the end */
} pipeline_fixture;

static bool pipeline_setup(pipeline_fixture *f, size_t max_bytes, int ack_ms, int idle_ms)
{
    const micro__pipelines_opts o = { "events", max_bytes, 5000, ack_ms, idle_ms };

    memset(f, 0, sizeof *f);
    f->listener = raw_listen(f->address);
    f->ctx = micro_ctx_new(NULL);
    if (!CHECK_EQ_INT(micro__engine_open(!MICRO_OMIT_THREADS, 1, 8, &f->e), MICRO_OK))
        return false;
    f->set = micro__pipelines_new(f->e, &o);
    return CHECK(f->set != NULL && f->ctx != NULL && f->listener >= 0);
}

static void pipeline_close(pipeline_fixture *f, int ms)
{
    f->counts = micro__pipelines_close(f->set, micro__now_ms() + (uint64_t)ms);
    CHECK_EQ_UINT(f->counts.open, 0);
    CHECK(f->counts.taken >= f->counts.answered + f->counts.refused);
}

static void pipeline_teardown(pipeline_fixture *f)
{
    micro__engine_close(f->e);
    micro_ctx_free(f->ctx);
    close(f->listener);
}

static micro_err pipeline_send(pipeline_fixture *f, const char *head, const char *body)
{
    micro__pipeline_request r = { f->address, micro_s(head), micro_s(body), MICRO_OK };

    micro__pipelines_send(f->set, f->ctx, &r, 1);
    return r.err;
}

static int pipeline_accept(pipeline_fixture *f)
{
    return raw_wait(f->listener, POLLIN, 30000) ? accept(f->listener, NULL, NULL) : -1;
}

/* All of text has come. */
static void pipeline_expect(int fd, const char *text)
{
    char got[256];
    bool closed;

    raw_read(fd, got, strlen(text), 30000, &closed);
    CHECK_EQ_TEXT(got, text);
}

static const char pipeline_ok[] = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

TEST(pipeline_sends_without_waiting_for_replies)
{
    pipeline_fixture f;

    REQUIRE(pipeline_setup(&f, 1000, 30000, 30000));
    for (int i = 0; i < 3; i++)
        CHECK_EQ_INT(pipeline_send(&f, "<head>", "<body>"), MICRO_OK);
    int fd = pipeline_accept(&f);
    pipeline_expect(fd, "<head><body><head><body><head><body>");
    for (int i = 0; i < 3; i++)
        raw_send(fd, pipeline_ok);
    CHECK_EQ_INT(pipeline_send(&f, "", "fourth"), MICRO_OK); /* on the same connection */
    pipeline_expect(fd, "fourth");
    raw_send(fd, pipeline_ok);
    pipeline_close(&f, 30000);
    CHECK_EQ_UINT(f.counts.taken, 4);
    CHECK_EQ_UINT(f.counts.answered, 4);
    CHECK_EQ_UINT(f.counts.lost, 0);
    close(fd);
    pipeline_teardown(&f);
}

/* ---- written by the sender ------------------------------------------------------------------- */

static _Thread_local bool pipeline_here; /* in pipeline_send_here */
static int pipeline_writes;              /* by that thread */
static size_t pipeline_takes;            /* bytes of each, at most; 0: EAGAIN */

static ssize_t pipeline_hook_send(int fd, const void *data, size_t size, int flags)
{
    if (!pipeline_here)
        return send(fd, data, size, flags);
    pipeline_writes++;
    errno = EAGAIN;
    return pipeline_takes ? send(fd, data, size < pipeline_takes ? size : pipeline_takes, flags)
                          : -1;
}

/* How often the sender has written. */
static int pipeline_send_here(pipeline_fixture *f, const char *text, size_t takes)
{
    pipeline_writes = 0;
    pipeline_takes = takes;
    pipeline_here = true;
    CHECK_EQ_INT(pipeline_send(f, text, ""), MICRO_OK);
    pipeline_here = false;
    return pipeline_writes;
}

/* So many are answered, and nothing is under way. */
static bool pipeline_rests(pipeline_fixture *f, uint64_t answered)
{
    bool rests = false;

    for (long long until = raw_ms() + 30000; !rests && raw_ms() < until; raw_drive()) {
        micro__lock(&f->set->lock);
        rests = f->set->counts.answered == answered && f->set->list &&
                f->set->list->whose == MICRO__PIPELINE_FREE;
        micro__unlock(&f->set->lock);
    }
    return CHECK(rests);
}

static void pipeline_answer(pipeline_fixture *f, int fd, const char *text, int replies,
                            uint64_t answered)
{
    pipeline_expect(fd, text);
    while (replies-- > 0)
        raw_send(fd, pipeline_ok);
    pipeline_rests(f, answered);
}

/* One that comes alone is; the second of a row, and the first of the next, are not. */
TEST(pipeline_of_a_lone_request_is_written_by_its_sender)
{
    pipeline_fixture f;

    micro__sys.send = pipeline_hook_send;
    REQUIRE(pipeline_setup(&f, 1000, 30000, 30000));
    CHECK_EQ_INT(pipeline_send_here(&f, "connects", 100), 0);
    int fd = pipeline_accept(&f);
    pipeline_answer(&f, fd, "connects", 1, 1);
    CHECK_EQ_INT(pipeline_send_here(&f, "alone", 100), 1);
    pipeline_expect(fd, "alone");
    CHECK_EQ_INT(pipeline_send_here(&f, "second", 100), 0);
    pipeline_answer(&f, fd, "second", 2, 3);
    CHECK_EQ_INT(pipeline_send_here(&f, "first of a row?", 100), 0);
    pipeline_answer(&f, fd, "first of a row?", 1, 4);
    CHECK_EQ_INT(pipeline_send_here(&f, "it was not", 100), 1);
    pipeline_answer(&f, fd, "it was not", 1, 5);
    pipeline_close(&f, 30000);
    CHECK_EQ_UINT(f.counts.answered, 5);
    CHECK_EQ_UINT(f.counts.lost, 0);
    close(fd);
    pipeline_teardown(&f);
}

/* What it cannot write the loop does, in order. */
TEST(pipeline_goes_on_with_what_a_sender_has_left)
{
    pipeline_fixture f;

    micro__sys.send = pipeline_hook_send;
    REQUIRE(pipeline_setup(&f, 1000, 30000, 30000));
    pipeline_send_here(&f, "connects", 100);
    int fd = pipeline_accept(&f);
    pipeline_answer(&f, fd, "connects", 1, 1);
    CHECK_EQ_INT(pipeline_send_here(&f, "in two pieces", 3), 1);
    pipeline_answer(&f, fd, "in two pieces", 1, 2);
    CHECK_EQ_INT(pipeline_send_here(&f, "not at all", 0), 1);
    pipeline_answer(&f, fd, "not at all", 1, 3);
    close(fd); /* and with one that has ended, over another */
    CHECK_EQ_INT(pipeline_send(&f, "after the end", ""), MICRO_OK);
    pipeline_close(&f, 100);
    CHECK_EQ_UINT(f.counts.answered, 3);
    CHECK_EQ_UINT(f.counts.lost, 1); /* nobody has accepted it */
    pipeline_teardown(&f);
}

/* Replies, how many requests they answer with 200, with something else, and whether the connection
 * is still good. */
static const struct {
    const char *text;
    int ok, refused;
    bool open;
} pipeline_replies_rows[] = {
    { "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhelloHTTP/1.1 200 OK\r\nContent-Length: "
      "0\r\n\r\n",
      2, 0, true },
    { "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;x=y\r\nhello\r\n0\r\nT: 1\r\n\r\n"
      "HTTP/1.1 503 Busy\r\nContent-Length: 2\r\n\r\nno",
      1, 1, true },
    { "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 None\r\n\r\nHTTP/1.1 200 OK\r\n"
      "Content-Length: 0\r\n\r\n",
      1, 1, true },
    { "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx", 1, 0, false },
    { "HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", 1, 0, false },
    { "HTTP/1.1 200 OK\r\n\r\nuntil the end", 1, 0, false },
    { "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nContent-Length: 1\r\n\r\n", 0, 0, false },
    { "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 0, 0, false },
    { "\x16\x03\x01 what is this\r\n\r\n", 0, 0, false },
    { "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
      "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
      2, 0, false },
};

static void pipeline_reply_row(size_t row, size_t piece)
{
    const char *text = pipeline_replies_rows[row].text;
    bool open = pipeline_replies_rows[row].open, closed;
    pipeline_fixture f;
    char got[8];

    NOTE("row %zu in pieces of %zu", row, piece);
    REQUIRE(pipeline_setup(&f, 1000, 30000, 30000));
    pipeline_send(&f, "a", "b");
    pipeline_send(&f, "a", "b");
    int fd = pipeline_accept(&f);
    pipeline_expect(fd, "abab");
    for (size_t i = 0; i < strlen(text); i += piece) {
        char part[512];
        snprintf(part, sizeof part, "%.*s", (int)piece, text + i);
        raw_send(fd, part);
        if (piece < 100)
            raw_sleep(1);
    }
    if (!open) {
        raw_read(fd, got, 1, 30000, &closed);
        CHECK(closed);
    }
    pipeline_close(&f, 30000);
    CHECK_EQ_UINT(f.counts.answered, (unsigned)pipeline_replies_rows[row].ok);
    CHECK_EQ_UINT(f.counts.refused, (unsigned)pipeline_replies_rows[row].refused);
    CHECK_EQ_UINT(f.counts.lost, 2 - f.counts.answered - f.counts.refused);
    close(fd);
    pipeline_teardown(&f);
}

TEST(pipeline_reads_replies_of_any_kind)
{
    for (size_t i = 0; i < MICRO_COUNTOF(pipeline_replies_rows); i++) {
        pipeline_reply_row(i, 1000);
        pipeline_reply_row(i, 7);
    }
}

TEST(pipeline_refused_is_told_until_somebody_is_heard_of)
{
    pipeline_fixture f;

    REQUIRE(pipeline_setup(&f, 1000, 30000, 30000));
    close(f.listener);
    f.listener = -1;
    CHECK_EQ_INT(pipeline_send(&f, "a", "b"), MICRO_OK);
    for (long long until = raw_ms() + 30000;
         !micro__pipelines_refused(f.set, f.address) && raw_ms() < until;)
        raw_sleep(1);
    CHECK_EQ_INT(pipeline_send(&f, "a", "b"), MICRO_ECONNECT);
    micro__pipelines_retry(f.set, "127.0.0.1:1"); /* another one */
    CHECK_EQ_INT(pipeline_send(&f, "a", "b"), MICRO_ECONNECT);
    micro__pipelines_retry(f.set, f.address);
    CHECK(!micro__pipelines_refused(f.set, f.address));
    pipeline_close(&f, 30000);
    CHECK_EQ_UINT(f.counts.lost, 3);
    pipeline_teardown(&f);
}

/* A peer that reads nothing takes what the system holds for it, then what may wait; no more. */
TEST(pipeline_bounds_what_waits)
{
    pipeline_fixture f;
    static char body[65536];
    int n = 0;

    REQUIRE(pipeline_setup(&f, sizeof body * 4, 30000, 30000));
    memset(body, 'x', sizeof body - 1);
    while (pipeline_send(&f, "", body) == MICRO_OK && n < 10000) {
        n++;
        raw_drive();
    }
    CHECK(n >= 4 && n < 10000);
    CHECK_EQ_INT(pipeline_send(&f, "", body), MICRO_EAGAIN);
    micro_ctx_cancel(f.ctx);
    CHECK_EQ_INT(pipeline_send(&f, "", body), MICRO_EAGAIN);
    pipeline_close(&f, 10); /* and does not wait for ever at the end */
    CHECK_EQ_UINT(f.counts.taken, (unsigned)n);
    CHECK_EQ_UINT(f.counts.lost, (unsigned)n + 3);
    pipeline_teardown(&f);
}

/* The publisher waits for one that takes what it gets, however slowly. */
TEST(pipeline_waits_for_a_slow_reader)
{
    pipeline_fixture f;
    static char body[65536], got[65536];
    pid_t child;

    REQUIRE(pipeline_setup(&f, sizeof body * 2, 30000, 30000));
    memset(body, 'x', sizeof body - 1);
    child = fork();
    if (!child) {
        int fd = accept(f.listener, NULL, NULL);
        ssize_t n;
        while ((n = recv(fd, got, sizeof got, 0)) > 0)
            usleep(2000);
        raise(SIGKILL); /* at an exit valgrind would miss what the parent's threads own */
    }
    for (int i = 0; i < 200; i++)
        if (!CHECK_EQ_INT(pipeline_send(&f, "", body), MICRO_OK))
            break;
    f.counts = micro__pipelines_close(f.set, micro__now_ms() + 10);
    CHECK_EQ_UINT(f.counts.taken, 200);
    waitpid(child, NULL, 0);
    pipeline_teardown(&f);
}

TEST(pipeline_gives_up_on_a_peer_that_never_answers)
{
    pipeline_fixture f;
    bool closed;
    char got[8];

    REQUIRE(pipeline_setup(&f, 1000, 50, 30000));
    pipeline_send(&f, "a", "b");
    int fd = pipeline_accept(&f);
    pipeline_expect(fd, "ab");
    raw_read(fd, got, 1, 30000, &closed);
    CHECK(closed);
    close(fd);
    CHECK_EQ_INT(pipeline_send(&f, "c", "d"), MICRO_OK); /* it may be better now */
    fd = pipeline_accept(&f);
    pipeline_expect(fd, "cd");
    raw_send(fd, pipeline_ok); /* perhaps too late on a busy machine */
    pipeline_close(&f, 30000);
    CHECK_EQ_UINT(f.counts.answered + f.counts.lost, 2);
    CHECK(f.counts.lost >= 1);
    close(fd);
    pipeline_teardown(&f);
}

/* What was not written in full when a working connection ended goes over another one. */
TEST(pipeline_goes_on_over_another_connection)
{
    pipeline_fixture f;
    static char body[1 << 20];

    REQUIRE(pipeline_setup(&f, sizeof body * 8, 30000, 30000));
    memset(body, 'x', sizeof body - 1);
    pipeline_send(&f, "a", "b");
    int fd = pipeline_accept(&f);
    pipeline_expect(fd, "ab");
    raw_send(fd, pipeline_ok);
    for (int i = 0; i < 6; i++)
        pipeline_send(&f, "", body); /* more than the system holds */
    pipeline_send(&f, "", "last");
    raw_sleep(20);
    close(fd);
    fd = pipeline_accept(&f);
    char got[4 + 65536] = ""; /* the last four bytes before what comes, and that */
    ssize_t k;
    size_t all = 0;
    while (memcmp(got, "last", 4) != 0 && raw_wait(fd, POLLIN, 30000) &&
           (k = recv(fd, got + 4, sizeof got - 4, 0)) > 0) {
        memmove(got, got + k, 4);
        all += (size_t)k;
    }
    CHECK_EQ_MEM(got, 4, "last", 4);
    CHECK_EQ_UINT((all - 4) % (sizeof body - 1), 0); /* from the start of a request on */
    CHECK(all > sizeof body);
    pipeline_close(&f, 10);
    CHECK_EQ_UINT(f.counts.answered, 1);
    close(fd);
    pipeline_teardown(&f);
}

TEST(pipeline_ends_when_it_is_idle)
{
    pipeline_fixture f;
    bool closed;
    char got[8];

    REQUIRE(pipeline_setup(&f, 1000, 30000, 30));
    pipeline_send(&f, "a", "b");
    int fd = pipeline_accept(&f);
    pipeline_expect(fd, "ab");
    raw_send(fd, pipeline_ok);
    raw_read(fd, got, 1, 30000, &closed);
    CHECK(closed);
    close(fd);
    pipeline_close(&f, 30000);
    CHECK_EQ_UINT(f.counts.lost, 0);
    pipeline_teardown(&f);
}

TEST(pipeline_addresses_that_are_none)
{
    pipeline_fixture f;
    const char *bad[] = { "", "nonsense", "host:", "127.0.0.1:99999" };

    REQUIRE(pipeline_setup(&f, 1000, 30000, 30000));
    for (size_t i = 0; i < MICRO_COUNTOF(bad); i++) {
        NOTE("\"%s\"", bad[i]);
        snprintf(f.address, sizeof f.address, "%s", bad[i]);
        micro_err err = pipeline_send(&f, "a", "b");
        CHECK(err == MICRO_EINVAL || err == MICRO_ECONNECT);
    }
    pipeline_close(&f, 30000);
    CHECK_EQ_UINT(f.counts.lost, MICRO_COUNTOF(bad));
    pipeline_teardown(&f);
}

/* Whatever request for memory fails: what was taken is answered or counted as lost. */
TEST(pipeline_without_memory)
{
    bool whole = false;

    for (size_t at = 1; !whole && at < 200; at++) {
        pipeline_fixture f = { 0 };
        const micro__pipelines_opts o = { "events", 1000, 5000, 30000, 30000 };
        NOTE("request %zu fails", at);
        f.listener = raw_listen(f.address);
        micro__engine_open(!MICRO_OMIT_THREADS, 1, 8, &f.e);
        f.ctx = micro_ctx_new(NULL);
        raw_sleep(1);
        failing_begin(at);
        failing.once = true;
        f.set = micro__pipelines_new(f.e, &o);
        micro_err err = f.set ? pipeline_send(&f, "a", "b") : MICRO_ENOMEM;
        CHECK(err == MICRO_OK || err == MICRO_ENOMEM);
        int fd = err == MICRO_OK ? pipeline_accept(&f) : -1;
        if (fd >= 0)
            raw_send(fd, pipeline_ok);
        pipeline_close(&f, 30000);
        whole = failing_end();
        if (err == MICRO_OK)
            CHECK_EQ_UINT(f.counts.answered + f.counts.lost, 1);
        close(fd);
        pipeline_teardown(&f);
    }
    CHECK(whole);
}
