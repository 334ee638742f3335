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
    CHECK(chat_wait(&chat_seen.ended, 1));
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
    CHECK(chat_wait(&chat_seen.ended, 1));
    CHECK_EQ_INT(chat_seen.err, MICRO_EIO); /* it did not say that it ends */
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
    CHECK(chat_wait(&chat_seen.ended, 1));
    chat_finish(&f);
}

TEST_OF_THREADS(stream, stream_whose_caller_goes)
{
    chat_fixture f;
    micro_stream *st;

    REQUIRE(chat_begin(&f));
    REQUIRE(CHECK_EQ_INT(stream_open(&f, &stream_ways[0], &chat_echo_method, &st), MICRO_OK));
    REQUIRE(chat_wait(&chat_seen.opened, 1));
    micro_stream_close(st, MICRO_OK); /* says so: a good end */
    REQUIRE(chat_wait(&chat_seen.ended, 1));
    CHECK_EQ_INT(chat_seen.err, MICRO_EOS);
    REQUIRE(CHECK_EQ_INT(stream_open(&f, &stream_ways[0], &chat_echo_method, &st), MICRO_OK));
    REQUIRE(chat_wait(&chat_seen.opened, 2));
    micro_stream_close(st, 500); /* does not: it is gone */
    REQUIRE(chat_wait(&chat_seen.ended, 2));
    CHECK_EQ_INT(chat_seen.err, MICRO_EIO);
    CHECK(chat_seen.canceled);
    REQUIRE(CHECK_EQ_INT(stream_open(&f, &stream_ways[2], &chat_echo_method, &st), MICRO_OK));
    REQUIRE(chat_wait(&chat_seen.opened, 3));
    micro_stream_close(st, MICRO_OK); /* 2018: closing is the end */
    REQUIRE(chat_wait(&chat_seen.ended, 3));
    CHECK_EQ_INT(chat_seen.err, MICRO_EOS);
    CHECK(!chat_seen.canceled);
    chat_finish(&f);
}
