/* SPDX-License-Identifier: MIT */
/* The service of the recorded test servers, written on the public header alone: what the replays
 * feed with captured bytes and what the Go twins call. Prints "ready ADDRESS" when it serves. */
#define _POSIX_C_SOURCE 200809L /* nanosleep */
#include "messages.h"
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

MICRO_METHOD(say_hello, "Say.Hello", hello_req, hello_rsp);
MICRO_METHOD(test_fail, "Test.Fail", hello_req, hello_rsp);
MICRO_METHOD(test_plain, "Test.Plain", hello_req, hello_rsp);
MICRO_METHOD(test_empty, "Test.Empty", hello_req, hello_rsp);
MICRO_METHOD(test_slow, "Test.Slow", hello_req, hello_rsp);
MICRO_METHOD(test_types, "Test.Types", micro_value, hello_rsp);
MICRO_METHOD(test_by_val, "Test.ByVal", hello_req, hello_rsp);
MICRO_METHOD(test_big, "Test.Big", hello_req, hello_rsp);
MICRO_TOPIC(later, "later.topic", hello_req);
MICRO_METHOD(test_rich, "Test.Rich", rich, rich);

MICRO_STREAM(test_bidi, "Test.Bidi", hello_req, hello_rsp);
MICRO_STREAM(test_count, "Test.Count", hello_req, hello_rsp);
MICRO_STREAM(streamer_stream, "Streamer.Stream", counted, counted);
MICRO_STREAM(streamer_server_stream, "Streamer.ServerStream", counted, counted);

/* Endpoint metadata has no macro: this method is written out. */
static const char *const meta_metadata[] = { "auth=none", "foo=bar", NULL };
static const micro_method test_meta = { .size_ = sizeof(micro_method),
                                        .name = "Test.Meta",
                                        .req = &hello_req_type,
                                        .rsp = &hello_rsp_type,
                                        .metadata = meta_metadata };

static micro_err hello(micro_ctx *ctx, const hello_req *req, hello_rsp *rsp)
{
    rsp->msg = micro_concat(ctx, micro_s("Hello "), req->name);
    return MICRO_OK;
}

static micro_err fail(micro_ctx *ctx, const hello_req *req, hello_rsp *rsp)
{
    (void)rsp;
    return micro_fail(ctx, 400, "bad name %s", req->name.ptr);
}

static micro_err plain(micro_ctx *ctx, const hello_req *req, hello_rsp *rsp)
{
    (void)req;
    (void)rsp;
    return micro_fail(ctx, 0, "plain failure");
}

static micro_err empty(micro_ctx *ctx, const hello_req *req, hello_rsp *rsp)
{
    (void)ctx;
    (void)req;
    (void)rsp;
    return MICRO_OK;
}

/* Sleeps `name` milliseconds, then tells what is left of the deadline. */
static micro_err slow(micro_ctx *ctx, const hello_req *req, hello_rsp *rsp)
{
    long ms = strtol(req->name.ptr, NULL, 10);
    struct timespec pause = { .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000 };

    micro_block_begin();
    (void)nanosleep(&pause, NULL);
    micro_block_end();
    int left = micro_ctx_time_left(ctx);
    rsp->msg = left == MICRO_OFF ? micro_s("no deadline")
                                 : micro_format(ctx, "deadline set, %d ms left", left);
    return MICRO_OK;
}

static micro_err types(micro_ctx *ctx, const micro_value *req, hello_rsp *rsp)
{
    (void)ctx;
    (void)req;
    rsp->msg = micro_s("ok");
    return MICRO_OK;
}

static micro_err by_val(micro_ctx *ctx, const hello_req *req, hello_rsp *rsp)
{
    rsp->msg = micro_concat(ctx, micro_s("val "), req->name);
    return MICRO_OK;
}

static micro_err big(micro_ctx *ctx, const hello_req *req, hello_rsp *rsp)
{
    size_t n = req->name.len;
    char *ys = micro_alloc(ctx, n + 1);

    if (!ys)
        return MICRO_ENOMEM;
    memset(ys, 'y', n);
    micro_str head = micro_format(ctx, "got %zu ", n);
    rsp->msg = micro_concat(ctx, head, (micro_str){ ys, n });
    return MICRO_OK;
}

static micro_err rich_back(micro_ctx *ctx, const rich *req, rich *rsp)
{
    (void)ctx;
    *rsp = *req;
    return MICRO_OK;
}

static int by_key(const void *a, const void *b)
{
    return strcmp((*(const micro_pair *const *)a)->key.ptr,
                  (*(const micro_pair *const *)b)->key.ptr);
}

/* The metadata as JSON text, keys in byte order. */
static micro_err meta(micro_ctx *ctx, const hello_req *req, hello_rsp *rsp)
{
    const micro_pairs *all = micro_metadata_all(ctx);
    const micro_pair **sorted = micro_alloc(ctx, (all->len + 1) * sizeof *sorted);
    micro_value object = { .kind = MICRO_VALUE_OBJECT };

    (void)req;
    if (!sorted)
        return MICRO_ENOMEM;
    for (size_t i = 0; i < all->len; i++)
        sorted[i] = &all->ptr[i];
    qsort(sorted, all->len, sizeof *sorted, by_key);
    for (size_t i = 0; i < all->len; i++) {
        micro_value *member = micro_value_add(ctx, &object, sorted[i]->key.ptr);
        if (!member)
            return MICRO_ENOMEM;
        member->kind = MICRO_VALUE_TEXT;
        member->as.text = sorted[i]->value;
    }
    return micro_json_write(ctx, &micro_type_value, &object, 0, &rsp->msg);
}

static micro_err meta_invoke(micro_ctx *ctx, micro_fn *fn, const void *req, void *rsp)
{
    (void)fn;
    return meta(ctx, req, rsp);
}

/* ---- streams ------------------------------------------------------------------------------- */

static micro_err bidi_after(micro_stream *st, micro_err err)
{
    hello_req req;
    hello_rsp rsp = { micro_s("after end") };

    while (err == MICRO_OK)
        err = test_bidi_recv_req(st, &req);
    return err == MICRO_EOS ? test_bidi_send_rsp(st, &rsp) : err;
}

static micro_err bidi(micro_ctx *ctx, micro_stream *st)
{
    hello_req req;
    micro_err err;

    while ((err = test_bidi_recv_req(st, &req)) == MICRO_OK) {
        if (!strcmp(req.name.ptr, "end"))
            return MICRO_OK;
        if (!strcmp(req.name.ptr, "fail"))
            return micro_fail(ctx, 403, "no more");
        if (!strcmp(req.name.ptr, "plain"))
            return micro_fail(ctx, 0, "plain stream failure");
        if (!strcmp(req.name.ptr, "after"))
            return bidi_after(st, err);
        hello_rsp rsp = { micro_concat(ctx, micro_s("echo "), req.name) };
        err = test_bidi_send_rsp(st, &rsp);
        micro_ctx_reset(ctx);
        if (err != MICRO_OK)
            return err;
    }
    return err == MICRO_EOS ? MICRO_OK : err;
}

static micro_err count(micro_ctx *ctx, micro_stream *st)
{
    hello_req req;
    micro_err err = test_count_recv_req(st, &req);
    long n = err == MICRO_OK ? strtol(req.name.ptr, NULL, 10) : 0;

    for (long i = 0; i < n && err == MICRO_OK; i++) {
        hello_rsp rsp = { micro_format(ctx, "%ld", i) };
        err = test_count_send_rsp(st, &rsp);
    }
    return err == MICRO_OK && n == 3 ? micro_fail(ctx, 403, "three is forbidden") : err;
}

static micro_err stream(micro_ctx *ctx, micro_stream *st)
{
    counted c;
    micro_err err;

    (void)ctx;
    while ((err = streamer_stream_recv_req(st, &c)) == MICRO_OK && c.count >= 0)
        if ((err = streamer_stream_send_rsp(st, &c)) != MICRO_OK)
            break;
    return err;
}

static micro_err server_stream(micro_ctx *ctx, micro_stream *st)
{
    counted c;
    micro_err err = streamer_server_stream_recv_req(st, &c);
    int64_t n = c.count;

    for (c.count = 0; c.count < n && err == MICRO_OK; c.count++)
        err = streamer_server_stream_send_rsp(st, &c);
    if (err == MICRO_OK && n == 3)
        return micro_fail_id(ctx, "go.micro.srv.stream", 403, "three is forbidden");
    return err;
}

/* ---- events -------------------------------------------------------------------------------- */

static micro_err on_later(micro_ctx *ctx, const hello_req *msg)
{
    micro_str foo = micro_metadata_get(ctx, "Foo");

    (void)msg;
    if (foo.len) {
        printf("event Foo=%s\n", foo.ptr);
        fflush(stdout);
    }
    return MICRO_OK;
}

static micro_err ready(micro_service *svc, void *arg)
{
    (void)arg;
    printf("ready %s\n", micro_service_address(svc));
    fflush(stdout);
    return MICRO_OK;
}

int main(int argc, char **argv)
{
    micro_service *svc = micro_service_new(.name = "go.micro.srv.greeter", .version = "1.0.0",
                                           .argc = argc, .argv = argv);

    say_hello_handle(svc, hello, NULL);
    test_fail_handle(svc, fail, NULL);
    test_plain_handle(svc, plain, NULL);
    test_empty_handle(svc, empty, NULL);
    test_slow_handle(svc, slow, NULL);
    test_types_handle(svc, types, NULL);
    test_by_val_handle(svc, by_val, NULL);
    test_big_handle(svc, big, NULL);
    test_rich_handle(svc, rich_back, NULL);
    micro_service_handle(svc, &test_meta, meta_invoke, (micro_fn *)meta, NULL);
    test_bidi_handle(svc, bidi, NULL);
    test_count_handle(svc, count, NULL);
    streamer_stream_handle(svc, stream, NULL);
    streamer_server_stream_handle(svc, server_stream, NULL);
    later_subscribe(svc, on_later, NULL);
    micro_service_on(svc, MICRO_AFTER_START, ready, NULL);
    int status = micro_service_exit_code(svc, micro_service_run(svc));
    micro_service_free(svc);
    return status;
}
