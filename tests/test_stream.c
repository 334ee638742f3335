/* SPDX-License-Identifier: MIT */
/* Streams of those who wait themselves, on both sides, in both protocols. */
#include "chat.h"

#include <pthread.h>

/* A caller's stream, by name (bare messages) or by address (the envelope of 2018). */
typedef struct stream_way {
    const char *name, *content_type;
    bool direct;
} stream_way;

static const stream_way stream_ways[] = {
    { "bare JSON", "application/json", false },
    { "bare protobuf", "application/protobuf", false },
    { "JSON envelope", "application/json", true },
    { "proto envelope", "application/protobuf", true },
    { "JSON-RPC", "application/json-rpc", false },
    { "PROTO-RPC", "application/proto-rpc", false },
};

static micro_err stream_open(chat_fixture *f, const stream_way *w, const micro_method *m,
                             micro_stream **st)
{
    return micro_stream_open(
        f->ctx, "chat", m,
        MICRO_OPTS(micro_call_opts, .content_type = w ? w->content_type : NULL,
                   .address = w && w->direct ? micro_service_address(f->server) : NULL),
        st);
}

TEST_OF_THREADS(stream, stream_answers_each_message)
{
    chat_fixture f;
    micro_stream *st;
    chat_msg m;

    REQUIRE(chat_begin(&f));
    for (size_t i = 0; i < MICRO_COUNTOF(stream_ways); i++) {
        NOTE("%s", stream_ways[i].name);
        REQUIRE(CHECK_EQ_INT(stream_open(&f, &stream_ways[i], &chat_echo_method, &st), MICRO_OK));
        for (int64_t n = 0; n < 3; n++) {
            m = (chat_msg){ n, micro_s("hello") };
            CHECK_EQ_INT(chat_echo_send_req(st, &m), MICRO_OK);
            CHECK_EQ_INT(chat_echo_recv_rsp(st, &m), MICRO_OK);
            CHECK_EQ_INT(m.count, n);
            CHECK_EQ_STR(m.text, "hello");
        }
        m.count = -1;
        CHECK_EQ_INT(chat_echo_send_req(st, &m), MICRO_OK);
        CHECK_EQ_INT(chat_echo_recv_rsp(st, &m), MICRO_EOS);
        CHECK_EQ_INT(chat_echo_recv_rsp(st, &m), MICRO_EOS);
        CHECK_EQ_INT(m.count, 0);
        CHECK_EQ_STR(m.text, "");
        CHECK_EQ_INT(chat_echo_send_req(st, &m), MICRO_ECLOSED);
        micro_stream_close(st, MICRO_OK);
    }
    CHECK_EQ_INT(atomic_load(&chat_seen.opened), (int)MICRO_COUNTOF(stream_ways));
    chat_finish(&f);
}

TEST_OF_THREADS(stream, stream_of_a_server_and_of_a_caller)
{
    chat_fixture f;
    micro_stream *st;
    chat_msg m = { 1000, micro_s("x") };

    REQUIRE(chat_begin(&f));
    for (size_t i = 0; i < MICRO_COUNTOF(stream_ways); i++) {
        const stream_way *w = &stream_ways[i];
        NOTE("%s", w->name);
        m = (chat_msg){ 1000, micro_s("x") };
        REQUIRE(CHECK_EQ_INT(stream_open(&f, w, &chat_count_method, &st), MICRO_OK));
        CHECK_EQ_INT(chat_count_send_req(st, &m), MICRO_OK);
        int64_t n = 0;
        while (chat_count_recv_rsp(st, &m) == MICRO_OK && m.count == n)
            n++;
        CHECK_EQ_INT(n, 1000);
        CHECK_EQ_INT(chat_count_recv_rsp(st, &m), MICRO_EOS);
        micro_stream_close(st, MICRO_OK);

        REQUIRE(CHECK_EQ_INT(stream_open(&f, w, &chat_sum_method, &st), MICRO_OK));
        for (n = 1; n <= 1000; n++) {
            m = (chat_msg){ n, { "", 0 } };
            if (!CHECK_EQ_INT(chat_sum_send_req(st, &m), MICRO_OK))
                break;
        }
        bool bare = !w->direct && i < 2;
        CHECK_EQ_INT(micro_stream_end(st), bare ? MICRO_OK : MICRO_ENOSYS);
        if (bare) {
            CHECK_EQ_INT(chat_sum_send_req(st, &m), MICRO_ECLOSED);
            CHECK_EQ_INT(chat_sum_recv_rsp(st, &m), MICRO_OK);
            CHECK_EQ_INT(m.count, 500500);
            CHECK_EQ_INT(chat_sum_recv_rsp(st, &m), MICRO_EOS);
        }
        micro_stream_close(st, MICRO_OK);
    }
    chat_finish(&f);
}

TEST_OF_THREADS(stream, stream_errors_end_it)
{
    chat_fixture f;
    micro_stream *st;
    chat_msg m;

    REQUIRE(chat_begin(&f));
    for (size_t i = 0; i < MICRO_COUNTOF(stream_ways); i++) {
        NOTE("%s", stream_ways[i].name);
        REQUIRE(CHECK_EQ_INT(stream_open(&f, &stream_ways[i], &chat_echo_method, &st), MICRO_OK));
        m = (chat_msg){ 1, micro_s("fail") };
        CHECK_EQ_INT(chat_echo_send_req(st, &m), MICRO_OK);
        CHECK_EQ_INT(chat_echo_recv_rsp(st, &m), 403);
        CHECK_EQ_STR(micro_ctx_error(f.ctx)->detail, "no more");
        CHECK_EQ_STR(micro_ctx_error(f.ctx)->id, "chat");
        CHECK_EQ_INT(chat_echo_recv_rsp(st, &m), 403);
        micro_stream_close(st, MICRO_OK);

        REQUIRE(CHECK_EQ_INT(stream_open(&f, &stream_ways[i], &chat_echo_method, &st), MICRO_OK));
        m = (chat_msg){ 1, micro_s("plain") };
        CHECK_EQ_INT(chat_echo_send_req(st, &m), MICRO_OK);
        CHECK_EQ_INT(chat_echo_recv_rsp(st, &m), MICRO_EREMOTE);
        CHECK_EQ_STR(micro_ctx_error(f.ctx)->detail, "plain failure");
        micro_stream_close(st, MICRO_OK);
    }
    const micro_method nobody = {
        .size_ = sizeof nobody, .name = "Chat.Nobody", .req = &chat_msg_type, .rsp = &chat_msg_type
    };
    REQUIRE(CHECK_EQ_INT(stream_open(&f, NULL, &nobody, &st), MICRO_OK));
    CHECK_EQ_INT(micro_stream_recv(st, &m), MICRO_EREMOTE);
    CHECK_EQ_STR(micro_ctx_error(f.ctx)->detail, "rpc: can't find method Nobody");
    CHECK_EQ_INT(micro_stream_open(f.ctx, "nobody", &nobody, NULL, &st), MICRO_ENOTFOUND);
    CHECK(st == NULL);
    chat_finish(&f);
}

TEST_OF_THREADS(stream, stream_recv_waits_until_the_deadline)
{
    chat_fixture f;
    micro_stream *st;
    chat_msg m = { 7, { "", 0 } };

    REQUIRE(chat_begin(&f));
    REQUIRE(CHECK_EQ_INT(stream_open(&f, NULL, &chat_echo_method, &st), MICRO_OK));
    micro_ctx_set_timeout(f.ctx, 30);
    CHECK_EQ_INT(chat_echo_recv_rsp(st, &m), MICRO_ETIMEDOUT);
    CHECK_EQ_INT(micro_ctx_error(f.ctx)->code, 408);
    micro_ctx_set_timeout(f.ctx, MICRO_OFF);
    m.count = 7;
    CHECK_EQ_INT(chat_echo_send_req(st, &m), MICRO_OK);
    CHECK_EQ_INT(chat_echo_recv_rsp(st, &m), MICRO_OK);
    CHECK_EQ_INT(m.count, 7);
    chat_finish(&f); /* the ctx closes it */
    CHECK_EQ_INT(raw_until(&chat_seen.ended, 1), 1);
    CHECK_EQ_INT(chat_seen.err, MICRO_EOS);
    CHECK(!chat_seen.canceled);
}

static void *stream_cancel(void *arg)
{
    usleep(50000);
    micro_ctx_cancel(arg);
    return NULL;
}

TEST_OF_THREADS(stream, stream_of_a_canceled_ctx)
{
    chat_fixture f;
    micro_stream *st;
    chat_msg m;
    pthread_t thread;

    REQUIRE(chat_begin(&f));
    REQUIRE(CHECK_EQ_INT(stream_open(&f, NULL, &chat_echo_method, &st), MICRO_OK));
    pthread_create(&thread, NULL, stream_cancel, f.ctx);
    CHECK_EQ_INT(chat_echo_recv_rsp(st, &m), MICRO_ECANCELED);
    pthread_join(thread, NULL);
    CHECK_EQ_INT(raw_until(&chat_seen.ended, 1), 1);
    CHECK_EQ_INT(chat_seen.err, MICRO_ECANCELED); /* it did not say that it ends */
    CHECK(chat_seen.canceled);
    CHECK_EQ_INT(stream_open(&f, NULL, &chat_echo_method, &st), MICRO_ECANCELED);
    chat_finish(&f);
}

/* ---- two threads, 10 000 messages each way ------------------------------------------------------
 */

#define STREAM_MANY 10000

static void *stream_sender(void *arg)
{
    micro_stream *st = arg;

    for (int64_t i = 0; i < STREAM_MANY; i++) {
        chat_msg m = { i, micro_s("many") };
        if (!CHECK_EQ_INT(chat_echo_send_req(st, &m), MICRO_OK))
            break;
    }
    return NULL;
}

TEST_OF_THREADS(stream, stream_ten_thousand_each_way_in_order)
{
    chat_fixture f;
    micro_stream *st;
    chat_msg m;
    pthread_t thread;

    REQUIRE(chat_begin(&f));
    for (size_t i = 0; i < 4; i++) {
        NOTE("%s", stream_ways[i].name);
        REQUIRE(CHECK_EQ_INT(stream_open(&f, &stream_ways[i], &chat_echo_method, &st), MICRO_OK));
        pthread_create(&thread, NULL, stream_sender, st);
        int64_t n = 0;
        while (n < STREAM_MANY && chat_echo_recv_rsp(st, &m) == MICRO_OK && m.count == n)
            n++;
        CHECK_EQ_INT(n, STREAM_MANY);
        pthread_join(thread, NULL);
        micro_stream_close(st, MICRO_OK);
    }
    chat_finish(&f);
}

static void *stream_waits(void *arg)
{
    chat_msg m;

    CHECK_EQ_INT(chat_echo_recv_rsp(arg, &m), MICRO_ECLOSED);
    return NULL;
}

TEST_OF_THREADS(stream, stream_close_wakes_who_waits_in_it)
{
    chat_fixture f;
    micro_stream *st;
    pthread_t thread;

    REQUIRE(chat_begin(&f));
    REQUIRE(CHECK_EQ_INT(stream_open(&f, NULL, &chat_echo_method, &st), MICRO_OK));
    pthread_create(&thread, NULL, stream_waits, st);
    usleep(30000);
    micro_stream_close(st, MICRO_OK);
    pthread_join(thread, NULL);
    CHECK_EQ_INT(raw_until(&chat_seen.ended, 1), 1);
    chat_finish(&f);
}

TEST_OF_THREADS(stream, stream_whose_caller_goes)
{
    chat_fixture f;
    micro_stream *st;

    REQUIRE(chat_begin(&f));
    REQUIRE(CHECK_EQ_INT(stream_open(&f, &stream_ways[0], &chat_echo_method, &st), MICRO_OK));
    REQUIRE(CHECK_EQ_INT(raw_until(&chat_seen.opened, 1), 1));
    micro_stream_close(st, MICRO_OK); /* says so: a good end */
    REQUIRE(CHECK_EQ_INT(raw_until(&chat_seen.ended, 1), 1));
    CHECK_EQ_INT(chat_seen.err, MICRO_EOS);
    REQUIRE(CHECK_EQ_INT(stream_open(&f, &stream_ways[0], &chat_echo_method, &st), MICRO_OK));
    REQUIRE(CHECK_EQ_INT(raw_until(&chat_seen.opened, 2), 2));
    micro_stream_close(st, 500); /* does not: it is gone */
    REQUIRE(CHECK_EQ_INT(raw_until(&chat_seen.ended, 2), 2));
    CHECK_EQ_INT(chat_seen.err, MICRO_ECANCELED);
    CHECK(chat_seen.canceled);
    REQUIRE(CHECK_EQ_INT(stream_open(&f, &stream_ways[2], &chat_echo_method, &st), MICRO_OK));
    REQUIRE(CHECK_EQ_INT(raw_until(&chat_seen.opened, 3), 3));
    micro_stream_close(st, MICRO_OK); /* 2018: closing is the end */
    REQUIRE(CHECK_EQ_INT(raw_until(&chat_seen.ended, 3), 3));
    CHECK_EQ_INT(chat_seen.err, MICRO_EOS);
    CHECK(!chat_seen.canceled);
    chat_finish(&f);
}

/* ---- bad input ---------------------------------------------------------------------------------
 */

#define STREAM_ECHO "Micro-Endpoint: Chat.Echo\r\nMicro-Id: 4\r\nMicro-Stream: 4\r\n"

TEST_OF_THREADS(stream, stream_violations_end_it)
{
    static const struct {
        const char *what, *more, *body, *says;
    } bad[] = {
        { "another stream", "Micro-Endpoint: Chat.Echo\r\nMicro-Stream: 5\r\n", "{}",
          "another request in the middle of a stream" },
        { "another method", "Micro-Endpoint: Say.Hello\r\nMicro-Stream: 4\r\n", "{}",
          "another request in the middle of a stream" },
        { "another type", "Content-Type: application/protobuf\r\n", "", NULL },
        { "no JSON", STREAM_ECHO, "nope", "object expected" },
        { "a wrong type", STREAM_ECHO, "{\"count\":\"x\"}", "count: " },
    };
    chat_fixture f;
    char out[8192];

    REQUIRE(chat_begin(&f));
    for (size_t i = 0; i < MICRO_COUNTOF(bad); i++) {
        NOTE("%s", bad[i].what);
        int fd = raw_connect(micro_service_address(f.server));
        raw_post(fd, STREAM_ECHO, "{}");
        raw_post(fd, bad[i].more, bad[i].body);
        raw_reply(fd, out, sizeof out, 30000);
        CHECK(strstr(out, "Micro-Error: {") != NULL || !bad[i].says);
        if (bad[i].says && !CHECK(strstr(out, bad[i].says) != NULL))
            printf("%s\n", out);
        close(fd);
    }
    for (size_t i = 0; i < 3; i++) { /* what is no message at all */
        static const char *const garbage[] = {
            "GARBAGE\r\n\r\n", "POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
            "POST / HTTP/1.1\r\nContent-Length: 99999999\r\n\r\n"
        };
        bool closed;
        NOTE("%s", garbage[i]);
        int fd = raw_connect(micro_service_address(f.server));
        raw_post(fd, STREAM_ECHO, "{}");
        raw_send(fd, garbage[i]);
        raw_reply(fd, out, sizeof out, 30000);
        CHECK(strstr(out, "Micro-Error: ") != NULL);
        CHECK(strstr(out, "Connection: close") != NULL);
        raw_read(fd, out, 1, 30000, &closed);
        CHECK(closed);
        close(fd);
    }
    CHECK_EQ_INT(raw_until(&chat_seen.ended, 8), 8);
    chat_finish(&f);
}

/* A peer that sends replies of its own. */
typedef struct stream_peer {
    int listener;
    char address[32];
    const char *says;
} stream_peer;

static void *stream_peer_run(void *arg)
{
    stream_peer *p = arg;
    int fd = accept(p->listener, NULL, NULL);
    char in[4096];

    if (recv(fd, in, sizeof in, 0) > 0)
        raw_send(fd, p->says);
    while (recv(fd, in, sizeof in, 0) > 0)
        ;
    close(fd);
    return NULL;
}

#define STREAM_OK "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"

TEST(stream_answers_that_are_none)
{
    static const struct {
        const char *says;
        micro_err err;
    } odd[] = {
        { "nonsense\r\n\r\n", MICRO_EPROTO },
        { STREAM_OK "Content-Length: 99999999\r\n\r\n", MICRO_ETOOBIG },
        { STREAM_OK "Content-Length: 4\r\n\r\nnope", MICRO_EFORMAT },
        { STREAM_OK "Content-Length: 29\r\n\r\n{\"id\":1,\"result\":{\"count\":\"x\"}}",
          MICRO_EFORMAT },
        { "HTTP/1.1 500 Oops\r\nContent-Length: 2\r\n\r\nno", MICRO_EPROTO },
        { "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 4\r\n\r\nwhat",
          MICRO_ECODEC },
        { STREAM_OK "Transfer-Encoding: chunked\r\n\r\nzz\r\n", MICRO_EPROTO },
        { STREAM_OK "Content-Length: 35\r\n\r\n{\"id\":0,\"result\":{},\"error\":\"EOS\"}\n",
          MICRO_EOS },
        { "HTTP/1.1 100 Continue\r\n\r\n" STREAM_OK "Micro-Error: EOS\r\nContent-Length: 0\r\n\r\n",
          MICRO_EOS },
        { STREAM_OK "Micro-Error: why\r\nContent-Length: 0\r\n\r\n", MICRO_EREMOTE },
    };
    chat_fixture f;
    stream_peer peer;

    REQUIRE(chat_begin(&f));
    peer.listener = raw_listen(peer.address);
    REQUIRE(peer.listener >= 0);
    for (size_t i = 0; i < MICRO_COUNTOF(odd); i++) {
        micro_stream *st;
        pthread_t thread;
        chat_msg m = { 7, { "", 0 } };

        NOTE("%s", odd[i].says);
        peer.says = odd[i].says;
        pthread_create(&thread, NULL, stream_peer_run, &peer);
        REQUIRE(CHECK_EQ_INT(chat_echo_with(f.ctx, "chat", &st,
                                            MICRO_OPTS(micro_call_opts, .address = peer.address)),
                             MICRO_OK));
        CHECK_EQ_INT(chat_echo_recv_rsp(st, &m), odd[i].err);
        CHECK_EQ_INT(m.count, 0);
        if (odd[i].err != MICRO_EOS)
            CHECK(micro_ctx_error(f.ctx)->detail.len > 0);
        micro_stream_close(st, MICRO_OK);
        pthread_join(thread, NULL);
    }
    close(peer.listener);
    chat_finish(&f);
}

/* ---- slow readers ------------------------------------------------------------------------------
 */

/* The handler of a server stream whose caller reads nothing waits, and ends when that is gone. */
TEST_OF_THREADS(stream, stream_slow_reader_holds_the_sender)
{
    chat_fixture f;
    char text[1001];
    int small = 4096;

    REQUIRE(chat_begin(&f));
    memset(text, 'x', sizeof text - 1);
    text[1000] = 0;
    int fd = raw_connect(micro_service_address(f.server));
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
    char body[1200];
    snprintf(body, sizeof body, "{\"count\":1000000,\"text\":\"%s\"}", text);
    const char *more = "Micro-Endpoint: Chat.Count\r\nMicro-Id: 1\r\nMicro-Stream: 1\r\n";
    raw_post(fd, more, "{}");
    raw_post(fd, more, body);
    REQUIRE(CHECK_EQ_INT(raw_until(&chat_seen.opened, 1), 1));
    raw_sleep(300);
    CHECK_EQ_INT(atomic_load(&chat_seen.ended), 0); /* a GB did not go anywhere */
    close(fd);
    CHECK_EQ_INT(raw_until(&chat_seen.ended, 1), 1);
    CHECK(chat_seen.err == MICRO_EIO || chat_seen.err == MICRO_ECANCELED);
    chat_finish(&f);
}

/* A send that cannot be finished by the deadline is the stream's last. */
TEST_OF_THREADS(stream, stream_send_waits_until_the_deadline)
{
    chat_fixture f;
    micro_stream *st;
    static char text[100001];
    int n = 0;

    REQUIRE(chat_begin(&f));
    memset(text, 'x', sizeof text - 1);
    REQUIRE(CHECK_EQ_INT(stream_open(&f, NULL, &chat_echo_method, &st), MICRO_OK));
    chat_msg m = { 1, { text, sizeof text - 1 } };
    micro_err err = MICRO_OK;
    micro_ctx_set_timeout(f.ctx, 1000);
    while (err == MICRO_OK && n++ < 100000) /* the answers are not taken: the handler stops */
        err = chat_echo_send_req(st, &m);
    CHECK_EQ_INT(err, MICRO_ETIMEDOUT);
    micro_ctx_set_timeout(f.ctx, MICRO_OFF);
    CHECK(chat_echo_send_req(st, &m) != MICRO_OK);
    micro_stream_close(st, MICRO_OK);
    CHECK_EQ_INT(raw_until(&chat_seen.ended, 1), 1);
    chat_finish(&f);
}

/* ---- the end of a service -----------------------------------------------------------------------
 */

TEST_OF_THREADS(stream, stream_when_its_service_stops)
{
    chat_fixture f;
    micro_stream *st;
    chat_msg m;

    REQUIRE(chat_begin_with(&f, (micro_service_opts){ .drain_ms = 50 }));
    REQUIRE(CHECK_EQ_INT(stream_open(&f, NULL, &chat_echo_method, &st), MICRO_OK));
    REQUIRE(CHECK_EQ_INT(raw_until(&chat_seen.opened, 1), 1));
    micro_service_stop(f.server);
    CHECK_EQ_INT(atomic_load(&chat_seen.ended), 1);
    CHECK(chat_seen.canceled);
    CHECK(chat_echo_recv_rsp(st, &m) != MICRO_OK);
    chat_finish(&f);
}

/* ---- misuse ------------------------------------------------------------------------------------
 */

TEST(stream_tables_and_handlers_are_checked)
{
    micro_service *svc = micro_service_new(.name = "x");

    hello_say_handle(svc, hello_on_say, NULL);
    micro_service_handle_stream(svc, &hello_say_method, chat_on_echo, NULL);
    CHECK_EQ_INT(micro_service_error(svc), MICRO_EINVAL);
    micro_service_free(svc);
    svc = micro_service_new(.name = "x");
    chat_echo_handle(svc, chat_on_echo, NULL);
    chat_echo_handle(svc, chat_on_echo, NULL);
    CHECK_EQ_INT(micro_service_error(svc), MICRO_EEXIST);
    micro_service_free(svc);
    CHECK_EQ_INT(micro_stream_send(NULL, ""), MICRO_ENOMEM);
    CHECK_EQ_INT(micro_stream_recv(NULL, svc), MICRO_ENOMEM);
    CHECK_EQ_INT(micro_stream_end(NULL), MICRO_ENOMEM);
    micro_stream_close(NULL, MICRO_OK);
}
