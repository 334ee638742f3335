/* SPDX-License-Identifier: MIT */
/* The greeter's messages and a service with a few handlers, shared by tests of calls. Everything is
 * static: each test file has its own. */
#ifndef HELLO_H
#define HELLO_H

#include "harness.h"

#include <unistd.h>

typedef struct hello_msg {
    micro_str name;
} hello_msg;

typedef struct hello_answer {
    micro_str msg;
} hello_answer;

__attribute__((unused)) static const micro_field hello_msg_rows[] = { MICRO_FIELD(string, hello_msg,
                                                                                  name, 1) };
__attribute__((unused)) static const micro_field hello_answer_rows[] = { MICRO_FIELD(
    string, hello_answer, msg, 1) };
__attribute__((unused)) static const micro_type hello_msg_type = {
    sizeof(micro_type), sizeof(micro_field), 1, "Request", sizeof(hello_msg), hello_msg_rows, 0
};
__attribute__((unused)) static const micro_type hello_answer_type = {
    sizeof(micro_type),   sizeof(micro_field), 1, "Response",
    sizeof(hello_answer), hello_answer_rows,   0
};

MICRO_METHOD(hello_say, "Say.Hello", hello_msg, hello_answer);
MICRO_METHOD(hello_fail, "Test.Fail", hello_msg, hello_answer);
MICRO_METHOD(hello_plain, "Test.Plain", hello_msg, hello_answer);
MICRO_METHOD(hello_slow, "Test.Slow", hello_msg, hello_answer);
MICRO_METHOD(hello_meta, "Test.Meta", hello_msg, hello_answer);
MICRO_METHOD(hello_big, "Test.Big", hello_msg, hello_answer);

__attribute__((unused)) static micro_err hello_on_say(micro_ctx *ctx, const hello_msg *req,
                                                      hello_answer *rsp)
{
    rsp->msg = micro_concat(ctx, micro_s("Hello "), req->name);
    return MICRO_OK;
}

__attribute__((unused)) static micro_err hello_on_fail(micro_ctx *ctx, const hello_msg *req,
                                                       hello_answer *rsp)
{
    (void)rsp;
    return micro_fail(ctx, 400, "bad name %s", req->name.ptr);
}

__attribute__((unused)) static micro_err hello_on_plain(micro_ctx *ctx, const hello_msg *req,
                                                        hello_answer *rsp)
{
    (void)req;
    (void)rsp;
    return micro_fail(ctx, 0, "plain failure");
}

/* Sleeps name ms, and says that it does. */
__attribute__((unused)) static micro_err hello_on_slow(micro_ctx *ctx, const hello_msg *req,
                                                       hello_answer *rsp)
{
    micro_block_begin();
    usleep((useconds_t)atoi(req->name.ptr) * 1000u);
    micro_block_end();
    rsp->msg = micro_s(micro_ctx_canceled(ctx) ? "canceled" : "slept");
    return MICRO_OK;
}

/* The metadata whose key is name. */
__attribute__((unused)) static micro_err hello_on_meta(micro_ctx *ctx, const hello_msg *req,
                                                       hello_answer *rsp)
{
    rsp->msg = micro_copy(ctx, micro_metadata_get(ctx, req->name.ptr));
    return MICRO_OK;
}

/* name bytes of y. */
__attribute__((unused)) static micro_err hello_on_big(micro_ctx *ctx, const hello_msg *req,
                                                      hello_answer *rsp)
{
    size_t n = (size_t)atoi(req->name.ptr);
    char *text = micro_alloc(ctx, n + 1);

    if (text) {
        memset(text, 'y', n);
        rsp->msg = (micro_str){ text, n };
    }
    return MICRO_OK;
}

/* Of a call that was started: its result to arg, a micro_err. */
__attribute__((unused)) static void hello_done(micro_ctx *ctx, micro_err err,
                                               const hello_answer *rsp, void *arg)
{
    (void)ctx;
    (void)rsp;
    *(micro_err *)arg = err;
}

/* For a thread: runs the service arg, and returns the result. */
__attribute__((unused)) static void *hello_run(void *arg)
{
    return (void *)(intptr_t)micro_service_run(arg);
}

/* A service on a free port of the loopback address, in the memory registry. */
__attribute__((unused)) static micro_service *hello_start(const micro_service_opts *more)
{
    micro_service_opts o = { .size_ = sizeof o, .abi_ = MICRO_ABI };

    if (more)
        o = *more;
    if (!o.name)
        o.name = "go.micro.srv.greeter";
    if (!o.address)
        o.address = "127.0.0.1:0";
    micro_service *svc = micro_service_create(&o);
    hello_say_handle(svc, hello_on_say, NULL);
    hello_fail_handle(svc, hello_on_fail, NULL);
    hello_plain_handle(svc, hello_on_plain, NULL);
    hello_slow_handle(svc, hello_on_slow, NULL);
    hello_meta_handle(svc, hello_on_meta, NULL);
    hello_big_handle(svc, hello_on_big, NULL);
    if (!CHECK_EQ_INT(micro_service_start(svc), MICRO_OK)) {
        micro_service_free(svc);
        return NULL;
    }
    return svc;
}

#endif
