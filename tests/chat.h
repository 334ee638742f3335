/* SPDX-License-Identifier: MIT */
/* A service with streams, shared by their tests. Everything is static: each test file has its own.
 */
#ifndef CHAT_H
#define CHAT_H

#include "hello.h"
#include "raw.h"

typedef struct chat_msg {
    int64_t count;
    micro_str text;
} chat_msg;

__attribute__((unused)) static const micro_field chat_msg_rows[] = {
    MICRO_FIELD(int64, chat_msg, count, 1), MICRO_FIELD(string, chat_msg, text, 2)
};
__attribute__((unused)) static const micro_type chat_msg_type = {
    sizeof(micro_type), sizeof(micro_field), 2, "Message", sizeof(chat_msg), chat_msg_rows, 0
};

MICRO_STREAM(chat_echo, "Chat.Echo", chat_msg, chat_msg);   /* straight line */
MICRO_STREAM(chat_count, "Chat.Count", chat_msg, chat_msg); /* straight line */
MICRO_STREAM(chat_sum, "Chat.Sum", chat_msg, chat_msg);     /* straight line */
MICRO_STREAM(chat_back, "Chat.Back", chat_msg, chat_msg);   /* callbacks: as Echo */

/* What the last stream saw. */
static struct chat_seen {
    atomic_int opened, ended;
    MICRO__ATOMIC(int) err;
    MICRO__ATOMIC(bool) canceled;
} chat_seen;

/* Sends back every message; a negative count ends it well, "fail" and "plain" with an error. */
__attribute__((unused)) static micro_err chat_on_echo(micro_ctx *ctx, micro_stream *st)
{
    chat_msg m;
    micro_err err;

    atomic_fetch_add(&chat_seen.opened, 1);
    while ((err = chat_echo_recv_req(st, &m)) == MICRO_OK) {
        if (m.count < 0)
            break;
        if (m.text.len == 4 && !strcmp(m.text.ptr, "fail"))
            err = micro_fail(ctx, 403, "no more");
        else if (m.text.len == 5 && !strcmp(m.text.ptr, "plain"))
            err = micro_fail(ctx, 0, "plain failure");
        else
            err = chat_echo_send_rsp(st, &m);
        if (err != MICRO_OK)
            break;
    }
    chat_seen.err = err;
    chat_seen.canceled = micro_ctx_canceled(ctx);
    atomic_fetch_add(&chat_seen.ended, 1);
    return err;
}

/* Answers count with 0 .. count - 1, and ends. */
__attribute__((unused)) static micro_err chat_on_count(micro_ctx *ctx, micro_stream *st)
{
    chat_msg m;
    micro_err err = chat_count_recv_req(st, &m);

    (void)ctx;
    atomic_fetch_add(&chat_seen.opened, 1);
    for (chat_msg out = { 0, m.text }; err == MICRO_OK && out.count < m.count; out.count++)
        err = chat_count_send_rsp(st, &out);
    chat_seen.err = err;
    atomic_fetch_add(&chat_seen.ended, 1);
    return err;
}

/* Adds up until its caller has ended, then says the sum. */
__attribute__((unused)) static micro_err chat_on_sum(micro_ctx *ctx, micro_stream *st)
{
    chat_msg m, sum = { 0, { "", 0 } };
    micro_err err;

    while ((err = chat_sum_recv_req(st, &m)) == MICRO_OK) {
        sum.count += m.count;
        micro_ctx_reset(ctx);
    }
    return err == MICRO_EOS ? chat_sum_send_rsp(st, &sum) : err;
}

static void chat_back_message(micro_ctx *ctx, micro_stream *st, const chat_msg *m, void *arg)
{
    (void)arg;
    if (m->count < 0)
        micro_stream_close(st, MICRO_OK);
    else if (!strcmp(m->text.ptr, "fail"))
        micro_stream_close(st, micro_fail(ctx, 403, "no more"));
    else if (!strcmp(m->text.ptr, "plain"))
        micro_stream_close(st, micro_fail(ctx, 0, "plain failure"));
    else if (chat_back_send_rsp(st, m) != MICRO_OK) /* one answer is taken, if anybody is there */
        micro_stream_close(st, MICRO_EIO);
}

static void chat_back_end(micro_ctx *ctx, micro_stream *st, micro_err err, void *arg)
{
    (void)st;
    (void)arg;
    chat_seen.err = err;
    chat_seen.canceled = micro_ctx_canceled(ctx);
    atomic_fetch_add(&chat_seen.ended, 1);
}

__attribute__((unused)) static micro_err chat_on_back(micro_ctx *ctx, micro_stream *st)
{
    (void)ctx;
    atomic_fetch_add(&chat_seen.opened, 1);
    chat_back_on_req(st, chat_back_message, chat_back_end, NULL);
    return MICRO_OK;
}

typedef struct chat_fixture {
    micro_registry *reg;
    micro_service *server, *client;
    micro_ctx *ctx;
} chat_fixture;

static bool chat_begin_with(chat_fixture *f, micro_service_opts o)
{
    memset(f, 0, sizeof *f);
    memset(&chat_seen, 0, sizeof chat_seen);
    f->reg = micro_registry_memory_new();
    o.size_ = sizeof o;
    o.abi_ = MICRO_ABI;
    o.name = "chat";
    o.address = "127.0.0.1:0";
    o.registry = f->reg;
    if (!o.drain_ms)
        o.drain_ms = 3000;
    f->server = micro_service_create(&o);
    hello_say_handle(f->server, hello_on_say, NULL);
    chat_echo_handle(f->server, chat_on_echo, NULL);
    chat_count_handle(f->server, chat_on_count, NULL);
    chat_sum_handle(f->server, chat_on_sum, NULL);
    chat_back_handle(f->server, chat_on_back, NULL);
    f->client = micro_service_new(.name = "caller", .registry = f->reg);
    f->ctx = micro_ctx_new(f->client);
    return CHECK_EQ_INT(micro_service_start(f->server), MICRO_OK) && CHECK(f->ctx != NULL);
}

__attribute__((unused)) static bool chat_begin(chat_fixture *f)
{
    return chat_begin_with(f, (micro_service_opts){ 0 });
}

__attribute__((unused)) static void chat_finish(chat_fixture *f)
{
    micro_ctx_free(f->ctx);
    micro_service_free(f->client);
    micro_service_free(f->server);
    micro_registry_free(f->reg);
}

#endif
