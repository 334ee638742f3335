/* SPDX-License-Identifier: MIT */
/* The service that is measured: an ordinary one, with the service flags of every program. */
#include "messages.h"
#include <time.h>

static micro_err hello(micro_ctx *ctx, const hello_req *req, hello_rsp *rsp)
{
    rsp->msg = micro_concat(ctx, micro_s("Hello "), req->name);
    return MICRO_OK;
}

static void sleep_ms(int32_t ms)
{
    struct timespec t = { .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L };

    if (ms > 0)
        (void)nanosleep(&t, NULL);
}

/* Says nothing: the library has to find out that it waits. */
static micro_err undeclared(micro_ctx *ctx, const sleep_req *req, micro_empty *rsp)
{
    (void)ctx;
    (void)rsp;
    sleep_ms(req->ms);
    return MICRO_OK;
}

static micro_err declared(micro_ctx *ctx, const sleep_req *req, micro_empty *rsp)
{
    (void)ctx;
    (void)rsp;
    micro_block_begin();
    sleep_ms(req->ms);
    micro_block_end();
    return MICRO_OK;
}

static int64_t thread_us(void)
{
    struct timespec t;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static micro_err spin(micro_ctx *ctx, const spin_req *req, micro_empty *rsp)
{
    int64_t until = thread_us() + req->us;

    (void)ctx;
    (void)rsp;
    while (thread_us() < until) {
    }
    return MICRO_OK;
}

static micro_err nested(micro_ctx *ctx, const nested_req *req, micro_empty *rsp)
{
    nested_req next = { req->service, req->depth - 1 };

    if (req->depth <= 0)
        return MICRO_OK;
    return bench_nested(ctx, req->service.ptr, &next, rsp);
}

static micro_err echo(micro_ctx *ctx, const echo_msg *req, echo_msg *rsp)
{
    (void)ctx;
    *rsp = *req;
    return MICRO_OK;
}

static void talk_message(micro_ctx *ctx, micro_stream *st, const hello_req *req, void *arg)
{
    hello_rsp rsp = { micro_concat(ctx, micro_s("Hello "), req->name) };

    (void)arg;
    if (bench_talk_send_rsp(st, &rsp) != MICRO_OK)
        micro_stream_close(st, MICRO_EIO);
}

static void talk_end(micro_ctx *ctx, micro_stream *st, micro_err err, void *arg)
{
    (void)ctx;
    (void)st;
    (void)err;
    (void)arg;
}

/* By callbacks: open streams hold no thread. */
static micro_err talk(micro_ctx *ctx, micro_stream *st)
{
    (void)ctx;
    bench_talk_on_req(st, talk_message, talk_end, NULL);
    return MICRO_OK;
}

int main(int argc, char **argv)
{
    micro_service *svc =
        micro_service_new(.name = "go.micro.srv.bench", .argc = argc, .argv = argv);

    bench_hello_handle(svc, hello, NULL);
    bench_sleep_handle(svc, undeclared, NULL);
    bench_pause_handle(svc, declared, NULL);
    bench_spin_handle(svc, spin, NULL);
    bench_nested_handle(svc, nested, NULL);
    bench_echo_handle(svc, echo, NULL);
    bench_talk_handle(svc, talk, NULL);
    int status = micro_service_exit_code(svc, micro_service_run(svc));
    micro_service_free(svc);
    return status;
}
