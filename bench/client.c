/* SPDX-License-Identifier: MIT */
/* Load with our own client: the same call again and again, PARALLEL of them under way at any time,
 * by as many threads that block, or started without a thread each (--async). The service has one
 * node, which is in the registry of this process: picked from the cache as any other. */
#include "messages.h"
#include "bench.h"
#include <pthread.h>

static const char service[] = "go.micro.srv.bench";
static const char *node = "", *pids = "", *type = "application/json";
static int parallel = 1, seconds_ms = 1000, warm_up_ms = 0, limit = 0;
static bool async;

static const micro_flag flags[] = {
    { .name = "node", .help = "Address of the server", .text = &node },
    { .name = "type", .help = "Content type", .text = &type },
    { .name = "server_pid", .help = "Whose CPU counts, separated by commas", .text = &pids },
    { .name = "parallel", .help = "Calls under way at any time", .number = &parallel },
    { .name = "calls", .help = "Calls in all, instead of a time", .number = &limit },
    { .name = "time", .help = "Time that counts", .ms = &seconds_ms },
    { .name = "warm_up", .help = "Time before that", .ms = &warm_up_ms },
    { .name = "async", .help = "No thread waits for an answer", .on = &async },
};

enum { CLIENT_PARALLEL = 4096 };

/* One of those that call again and again. */
typedef struct caller {
    micro_ctx *ctx;
    uint64_t since;
} caller;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* of all below, in blocking callers */
static uint64_t begin_at, end_at, started, calls, errors;
static bool begun, ended;

/* Whether another call is to be started. */
static bool client_goes_on(uint64_t now)
{
    if (!begun && now >= begin_at) {
        begun = true;
        calls = errors = 0;
        bench_begin();
    }
    if (!limit && now >= end_at && !ended) {
        ended = true;
        bench_end();
    }
    if (ended || (limit && started == (uint64_t)limit))
        return false;
    started++;
    return true;
}

static void client_count(micro_ctx *ctx, micro_err err, const hello_rsp *rsp, uint64_t took)
{
    if (ended)
        return;
    bench_add(took);
    calls++;
    if (err == MICRO_OK && micro_str_eq(rsp->msg, micro_s("Hello John")))
        return;
    if (errors++ == 0)
        fprintf(stderr, "client: %s\n", micro_ctx_strerror(ctx));
}

static const hello_req request = { { "John", 4 } };

static void *client_blocking(void *arg)
{
    caller *c = arg;
    micro_call_opts opts = { .size_ = sizeof opts, .content_type = type };
    hello_rsp rsp;

    for (;;) {
        uint64_t now = bench_now();
        pthread_mutex_lock(&lock);
        bool on = client_goes_on(now);
        pthread_mutex_unlock(&lock);
        if (!on)
            return NULL;
        micro_err err = bench_hello_with(c->ctx, service, &request, &rsp, &opts);
        uint64_t took = bench_now() - now;
        pthread_mutex_lock(&lock);
        client_count(c->ctx, err, &rsp, took);
        pthread_mutex_unlock(&lock);
        micro_ctx_reset(c->ctx);
    }
}

static int client_threads(caller *callers)
{
    static pthread_t ids[CLIENT_PARALLEL];

    for (int i = 0; i < parallel; i++)
        if (pthread_create(&ids[i], NULL, client_blocking, &callers[i]))
            return 1;
    for (int i = 0; i < parallel; i++)
        pthread_join(ids[i], NULL);
    return 0;
}

static void client_next(caller *c, uint64_t now);

static void client_done(micro_ctx *ctx, micro_err err, const hello_rsp *rsp, void *arg)
{
    caller *c = arg;
    uint64_t now = bench_now();

    client_count(ctx, err, rsp, now - c->since);
    client_next(c, now);
}

static void client_next(caller *c, uint64_t now)
{
    micro_call_opts opts = { .size_ = sizeof opts, .content_type = type };

    if (!client_goes_on(now))
        return;
    c->since = now;
    bench_hello_start_with(c->ctx, service, &request, &opts, client_done, c);
}

/* The first calls are started by a completion too: those of one ctx run one at a time, this thread
 * would run beside them. */
static void client_all(micro_ctx *ctx, micro_err err, const hello_rsp *rsp, void *arg)
{
    caller *callers = arg;

    (void)ctx;
    (void)rsp;
    if (err != MICRO_OK)
        errors++;
    for (int i = 0; i < parallel; i++)
        client_next(&callers[i], bench_now());
}

static int client_async(caller *callers)
{
    micro_ctx *ctx = callers[0].ctx;

    bench_hello_start(ctx, service, &request, client_all, callers);
    return micro_ctx_wait(ctx) != MICRO_OK;
}

int main(int argc, char **argv)
{
    static caller callers[CLIENT_PARALLEL];
    micro_service *svc =
        micro_service_new(.name = "bench-client", .argc = argc, .argv = argv, .flags = flags,
                          .nflags = MICRO_COUNTOF(flags), .pool_size = CLIENT_PARALLEL);
    micro_err err = micro_service_error(svc);

    if (err == MICRO_OK && (parallel < 1 || parallel > CLIENT_PARALLEL))
        err = MICRO_EUSAGE;
    if (err == MICRO_OK)
        err = bench_register(svc, service, node);
    for (int i = 0; i < parallel && err == MICRO_OK; i++) {
        callers[i].ctx = async && i ? callers[0].ctx : micro_ctx_new(svc);
        micro_ctx_set_timeout(callers[i].ctx, MICRO_OFF);
    }
    if (err == MICRO_OK) {
        bench_servers(pids);
        begin_at = bench_now() + (uint64_t)warm_up_ms * 1000000u;
        end_at = begin_at + (uint64_t)seconds_ms * 1000000u;
        if (async ? client_async(callers) : client_threads(callers))
            err = MICRO_EIO;
        if (!ended)
            bench_end();
        bench_print(calls, errors);
    }
    for (int i = 0; i < (async ? 1 : parallel); i++)
        micro_ctx_free(callers[i].ctx);
    int status = micro_service_exit_code(svc, err);
    micro_service_free(svc);
    return status;
}
