/* SPDX-License-Identifier: MIT */
/* Streams in both forms. Streamer.ServerStream answers {count: n} with the numbers 0 to n - 1, in a
 * straight line: it may wait, and holds a thread. Streamer.Stream sends every number back, by
 * callbacks: ten thousand open streams hold none. A negative number ends it.
 *
 *     stream            serves
 *     stream 5          calls ServerStream, and prints five numbers
 *     stream 3 1 2      calls Stream with each, and prints the answers */
#include "micro.h"

#include <stdio.h>
#include <stdlib.h>

typedef struct {
    int64_t count;
} number;

MICRO_TYPE(number, "Number", MICRO_FIELD(int64, number, count, 1));
MICRO_STREAM(server_stream, "Streamer.ServerStream", number, number);
MICRO_STREAM(echo_stream, "Streamer.Stream", number, number);

/* ---- serving ------------------------------------------------------------------------------- */

static micro_err on_server_stream(micro_ctx *ctx, micro_stream *st)
{
    number req;
    micro_err err = server_stream_recv_req(st, &req);

    if (err == MICRO_OK && req.count < 0)
        return micro_fail(ctx, 400, "count is negative");
    for (number n = { 0 }; n.count < req.count && err == MICRO_OK; n.count++)
        err = server_stream_send_rsp(st, &n); /* waits while the caller is slow */
    return err;
}

static void on_number(micro_ctx *ctx, micro_stream *st, const number *n, void *arg)
{
    (void)ctx;
    (void)arg;
    micro_err err = n->count < 0 ? MICRO_OK : echo_stream_send_rsp(st, n); /* never waits */
    if (n->count < 0 || err != MICRO_OK)
        micro_stream_close(st, err);
}

/* Here, what arg points to would be freed. */
static void on_end(micro_ctx *ctx, micro_stream *st, micro_err err, void *arg)
{
    (void)ctx;
    (void)st;
    (void)arg;
    if (err != MICRO_EOS)
        MICRO_LOG(MICRO_LOG_INFO, "a caller has gone: %s", micro_strerror(err));
}

static micro_err on_echo_stream(micro_ctx *ctx, micro_stream *st)
{
    (void)ctx;
    echo_stream_on_req(st, on_number, on_end, NULL);
    return MICRO_OK; /* the stream goes on without this thread */
}

/* ---- calling ------------------------------------------------------------------------------- */

static micro_err receive(micro_stream *st)
{
    number n;
    micro_err err = micro_stream_recv(st, &n);

    if (err == MICRO_OK)
        printf("%lld\n", (long long)n.count);
    return err;
}

static micro_err call_server_stream(micro_ctx *ctx, int64_t count)
{
    micro_stream *st;
    micro_err err = server_stream(ctx, "go.micro.srv.stream", &st);
    number req = { count };

    if (err == MICRO_OK)
        err = server_stream_send_req(st, &req);
    while (err == MICRO_OK)
        err = receive(st);
    return err;
}

static micro_err call_echo_stream(micro_ctx *ctx, const char *const *numbers, size_t n)
{
    micro_stream *st;
    micro_err err = echo_stream(ctx, "go.micro.srv.stream", &st);

    for (size_t i = 0; i < n && err == MICRO_OK; i++) {
        number req = { strtoll(numbers[i], NULL, 10) };
        err = echo_stream_send_req(st, &req);
        if (err == MICRO_OK)
            err = receive(st);
    }
    return err;
}

static micro_err call(micro_service *svc, const char *const *args, size_t n)
{
    micro_ctx *ctx = micro_ctx_new(svc);
    micro_err err = n == 1 ? call_server_stream(ctx, strtoll(args[0], NULL, 10))
                           : call_echo_stream(ctx, args, n);

    if (err == MICRO_EOS)
        err = MICRO_OK; /* that is how streams end */
    if (err != MICRO_OK)
        fprintf(stderr, "stream: %s\n", micro_ctx_strerror(ctx));
    micro_ctx_free(ctx); /* closes the stream */
    return err;
}

int main(int argc, char **argv)
{
    micro_service *svc =
        micro_service_new(.name = "go.micro.srv.stream", .argc = argc, .argv = argv);
    const char *const *args;
    size_t n = micro_service_args(svc, &args);
    micro_err err;

    server_stream_handle(svc, on_server_stream, NULL);
    echo_stream_handle(svc, on_echo_stream, NULL);
    if (n && micro_service_error(svc) == MICRO_OK)
        err = call(svc, args, n);
    else
        err = micro_service_run(svc);
    int status = micro_service_exit_code(svc, err);
    micro_service_free(svc);
    return status;
}
