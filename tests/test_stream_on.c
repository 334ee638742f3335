/* SPDX-License-Identifier: MIT */
/* Streams with callbacks, on both sides: no thread waits for them. */
#include "chat.h"

typedef struct streams_got {
    int64_t next, wrong;
    atomic_int messages, ended;
    micro_err err;
    micro_err code;
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
    g->code = micro_ctx_error(ctx)->code;
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
        CHECK(chat_wait(&chat_seen.ended, i + 1));
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
    CHECK(chat_wait(&chat_seen.ended, 1));
    CHECK_EQ_INT(chat_seen.err, MICRO_EIO);
    chat_finish(&f);
}
