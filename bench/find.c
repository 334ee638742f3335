/* SPDX-License-Identifier: MIT */
/* How long a name that is not known yet takes to become callable: find SERVICE [OTHER].
 * Microseconds from the call until the library has chosen a node. OTHER is looked up before, and
 * does not count. */
#include "messages.h"
#include "bench.h"

static uint64_t chosen;

static bool find_chosen(void *arg, const micro_node *node)
{
    (void)arg;
    (void)node;
    if (!chosen)
        chosen = bench_now();
    return true;
}

/* 0: failed. */
static uint64_t find_one(micro_service *svc, const char *service)
{
    micro_ctx *ctx = micro_ctx_new(svc);
    micro_call_opts opts = { .size_ = sizeof opts, .filter = find_chosen };
    hello_req req = { micro_s("John") };
    hello_rsp rsp;

    chosen = 0;
    uint64_t begin = bench_now();
    if (bench_hello_with(ctx, service, &req, &rsp, &opts) != MICRO_OK) {
        fprintf(stderr, "find: %s\n", micro_ctx_strerror(ctx));
        chosen = begin;
    }
    micro_ctx_free(ctx);
    return chosen - begin;
}

int main(int argc, char **argv)
{
    micro_service *svc = micro_service_new(.name = "bench-find", .argc = argc, .argv = argv);
    const char *const *args;
    size_t n = micro_service_args(svc, &args);
    uint64_t ns = 0;

    for (size_t i = n; i-- > 0;) /* OTHER first */
        if ((ns = find_one(svc, args[i])) == 0)
            break;
    if (ns)
        printf("%.1f\n", (double)ns / 1e3);
    int status = micro_service_exit_code(svc, ns ? MICRO_OK : MICRO_EIO);
    micro_service_free(svc);
    return status;
}
