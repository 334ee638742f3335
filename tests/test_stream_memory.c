/* SPDX-License-Identifier: MIT */
/* Streams when memory runs out: each allocation fails in its turn; and through middleware. */
#include "failing.h"

#include "chat.h"

/* One stream with callbacks on both ends, in a process that drives itself. */
typedef struct lack {
    micro_registry *reg;
    micro_service *svc;
    micro_ctx *ctx;
    int messages, ended;
    micro_err err;
} lack;

static void lack_message(micro_ctx *ctx, micro_stream *st, const chat_msg *m, void *arg)
{
    lack *k = arg;
    chat_msg next = { ++k->messages < 4 ? k->messages : -1, micro_s("more") };

    (void)ctx;
    (void)m;
    micro_err err = chat_back_send_req(st, &next);
    if (err != MICRO_OK)
        micro_stream_close(st, err);
}

static void lack_end(micro_ctx *ctx, micro_stream *st, micro_err err, void *arg)
{
    lack *k = arg;

    (void)ctx;
    (void)st;
    k->ended++;
    k->err = err;
}

static void lack_run(lack *k)
{
    micro_stream *st = NULL;
    chat_msg m = { 0, micro_s("first") };

    memset(k, 0, sizeof *k);
    k->err = MICRO_ENOMEM;
    k->reg = micro_registry_memory_new();
    k->svc = micro_service_new(.name = "chat", .address = "127.0.0.1:0", .registry = k->reg,
                               .loops = MICRO_OFF, .drain_ms = 100);
    chat_back_handle(k->svc, chat_on_back, NULL);
    micro_err err = micro_service_start(k->svc);
    k->ctx = k->svc ? micro_ctx_new(k->svc) : NULL;
    if (err == MICRO_OK)
        err = chat_back_with(k->ctx, "chat", &st, MICRO_OPTS(micro_call_opts, .attempts = 1));
    if (err == MICRO_OK) {
        err = chat_back_send_req(st, &m);
        if (err == MICRO_OK)
            chat_back_on_rsp(st, lack_message, lack_end, k);
        else
            micro_stream_close(st, err);
        micro_ctx_set_timeout(k->ctx, 5000);
        CHECK(micro_ctx_wait(k->ctx) != MICRO_ETIMEDOUT);
        CHECK_EQ_INT(k->ended, err == MICRO_OK);
    }
    micro_ctx_free(k->ctx);
    micro_service_free(k->svc);
    micro_registry_free(k->reg);
}

TEST(stream_survives_each_allocation_that_fails)
{
    bool over = false;
    int good = 0;

    for (size_t at = 1; !over && at < 2000; at++) {
        lack k;

        NOTE("allocation %zu", at);
        failing_begin(at);
        failing.once = true;
        lack_run(&k);
        good += k.err == MICRO_EOS && k.messages == 4;
        over = failing_end();
    }
    CHECK(over);
    CHECK(good > 0); /* the last at least */
}

/* ---- middleware ----------------------------------------------------------------------------- */

typedef struct lack_trace {
    atomic_int client, call, handler;
    atomic_int runs, refuse;
} lack_trace;

static micro_err lack_wrap(micro_ctx *ctx, const micro_info *info, const void *req, void *rsp,
                           micro_next *next, void *arg)
{
    lack_trace *t = arg;
    micro_err err = MICRO_OK;

    CHECK(req == NULL && rsp == NULL);
    CHECK_EQ_TEXT(info->endpoint, "Chat.Back");
    atomic_fetch_add(&t->client, info->stage == MICRO_WRAP_CLIENT);
    atomic_fetch_add(&t->call, info->stage == MICRO_WRAP_CALL);
    atomic_fetch_add(&t->handler, info->stage == MICRO_WRAP_HANDLER);
    micro_err refuse = atomic_load(&t->refuse);
    if (refuse)
        return micro_fail(ctx, refuse, "not now");
    for (int i = atomic_load(&t->runs); i > 0; i--)
        err = micro_next_run(next, ctx);
    return err;
}

TEST(stream_goes_through_middleware)
{
    micro_registry *reg = micro_registry_memory_new();
    micro_service *server = micro_service_new(.name = "chat", .address = "127.0.0.1:0",
                                              .registry = reg, .drain_ms = 1000);
    micro_service *client = micro_service_new(.name = "caller", .registry = reg);
    lack_trace mine = { .runs = 1 }, theirs = { .runs = 1 };
    lack k = { .ended = 0 };
    chat_msg m = { 0, { "", 0 } };
    micro_stream *st;

    chat_back_handle(server, chat_on_back, NULL);
    micro_service_wrap(server, MICRO_WRAP_HANDLER, lack_wrap, &theirs);
    micro_service_wrap(client, MICRO_WRAP_CLIENT | MICRO_WRAP_CALL, lack_wrap, &mine);
    REQUIRE(CHECK_EQ_INT(micro_service_start(server), MICRO_OK));
    micro_ctx *ctx = micro_ctx_new(client);
    for (int i = 0; i < 3; i++) {
        /* the rest twice: the first connection is given up */
        atomic_store(&mine.runs, i == 1 ? 2 : 1);
        atomic_store(&theirs.refuse, i == 2 ? 429 : 0);
        REQUIRE(CHECK_EQ_INT(chat_back(ctx, "chat", &st), MICRO_OK));
        CHECK_EQ_INT(chat_back_send_req(st, &m), MICRO_OK);
        k.messages = 2;
        chat_back_on_rsp(st, lack_message, lack_end, &k);
        CHECK_EQ_INT(micro_ctx_wait(ctx), MICRO_OK);
        CHECK_EQ_INT(k.err, i == 2 ? 429 : MICRO_EOS);
    }
    CHECK_EQ_INT(atomic_load(&mine.client), 3);
    CHECK_EQ_INT(atomic_load(&mine.call), 4);
    CHECK(atomic_load(&theirs.handler) >= 3);
    atomic_store(&mine.refuse, 401);
    CHECK_EQ_INT(chat_back(ctx, "chat", &st), 401);
    atomic_store(&mine.refuse, 0);
    atomic_store(&mine.runs, 0);
    CHECK_EQ_INT(chat_back(ctx, "chat", &st), MICRO_EINVAL); /* it cannot be answered for us */
    micro_ctx_free(ctx);
    micro_service_free(client);
    micro_service_free(server);
    micro_registry_free(reg);
}
