/* SPDX-License-Identifier: MIT */
/* Load for the fault tests: --calls calls at --rate a second by --callers threads. Every 50 calls
 * and at the end it prints a line of JSON: how many there were and how they ended, and the attempts
 * at each address, as middleware sees them. */
#define _POSIX_C_SOURCE 200809L
#include "messages.h"
#include <pthread.h>
#include <stdio.h>
#include <time.h>

#define MAX_CALLERS 16
#define MAX_NODES 64

MICRO_METHOD_EX(fault_work, "Fault.Work", hello_req, hello_rsp, "fault", MICRO_IDEMPOTENT);
MICRO_METHOD_EX(fault_once, "Fault.Work", hello_req, hello_rsp, "fault", 0);

typedef struct node_count {
    char address[64];
    int attempts, refused;
} node_count;

static struct {
    pthread_mutex_t lock;
    int calls, ok, failed, nnodes;
    char why[256]; /* of the last failure */
    node_count nodes[MAX_NODES];
} count = { .lock = PTHREAD_MUTEX_INITIALIZER };

static int calls = 1000, rate = 200, callers = 1, timeout_ms;
static bool once, keep;
static micro_service *svc;
static struct timespec began;

static node_count *node_of(const char *address)
{
    for (int i = 0; i < count.nnodes; i++)
        if (!strcmp(count.nodes[i].address, address))
            return &count.nodes[i];
    if (count.nnodes == MAX_NODES)
        return &count.nodes[MAX_NODES - 1];
    node_count *n = &count.nodes[count.nnodes++];
    snprintf(n->address, sizeof n->address, "%s", address);
    return n;
}

static micro_err note_attempt(micro_ctx *ctx, const micro_info *info, const void *req, void *rsp,
                              micro_next *next, void *arg)
{
    (void)req, (void)rsp, (void)arg;
    pthread_mutex_lock(&count.lock);
    node_of(info->peer)->attempts++;
    pthread_mutex_unlock(&count.lock);
    micro_err err = micro_next_run(next, ctx);
    if (err == MICRO_ECONNECT) {
        pthread_mutex_lock(&count.lock);
        node_of(info->peer)->refused++;
        pthread_mutex_unlock(&count.lock);
    }
    return err;
}

static void tell(void) /* with the lock */
{
    printf("{\"calls\":%d,\"ok\":%d,\"failed\":%d,\"why\":\"%s\",\"attempts\":{", count.calls,
           count.ok, count.failed, count.why);
    for (int i = 0; i < count.nnodes; i++)
        printf("%s\"%s\":%d", i ? "," : "", count.nodes[i].address, count.nodes[i].attempts);
    printf("},\"refused\":{");
    for (int i = 0; i < count.nnodes; i++)
        printf("%s\"%s\":%d", i ? "," : "", count.nodes[i].address, count.nodes[i].refused);
    printf("}}\n");
    fflush(stdout);
}

static void note_call(micro_ctx *ctx, micro_err err)
{
    pthread_mutex_lock(&count.lock);
    count.calls++;
    if (err == MICRO_OK) {
        count.ok++;
    } else {
        count.failed++;
        snprintf(count.why, sizeof count.why, "%d %s", err, micro_ctx_error(ctx)->detail.ptr);
    }
    if (count.calls % 50 == 0 || count.calls == calls)
        tell();
    pthread_mutex_unlock(&count.lock);
}

static void wait_for_turn(int i)
{
    int64_t ns = began.tv_nsec + (int64_t)i * 1000000000 / rate;
    struct timespec at = { .tv_sec = began.tv_sec + (time_t)(ns / 1000000000),
                           .tv_nsec = (long)(ns % 1000000000) };

    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL))
        ;
}

static void *caller(void *arg)
{
    micro_ctx *ctx = micro_ctx_new(svc);
    const micro_call_opts o = { .size_ = sizeof o,
                                .timeout_ms = timeout_ms,
                                .eject_after = keep ? MICRO_OFF : 0 };
    hello_req req = { micro_s("x") };
    hello_rsp rsp;

    for (int i = *(int *)arg; i < calls; i += callers) {
        wait_for_turn(i);
        note_call(ctx, once ? fault_once_with(ctx, NULL, &req, &rsp, &o)
                            : fault_work_with(ctx, NULL, &req, &rsp, &o));
        micro_ctx_reset(ctx);
    }
    micro_ctx_free(ctx);
    return NULL;
}

int main(int argc, char **argv)
{
    const micro_flag flags[] = {
        { .name = "calls", .help = "How many", .number = &calls },
        { .name = "rate", .help = "A second", .number = &rate },
        { .name = "callers", .help = "Threads", .number = &callers },
        { .name = "timeout", .help = "Of a call", .ms = &timeout_ms },
        { .name = "keep", .help = "Failing nodes are not passed over", .on = &keep },
        { .name = "once", .help = "The calls are not idempotent", .on = &once },
    };
    pthread_t threads[MAX_CALLERS];
    int numbers[MAX_CALLERS];

    svc = micro_service_new(.name = "faultcaller", .argc = argc, .argv = argv, .flags = flags,
                            .nflags = MICRO_COUNTOF(flags));
    if (micro_service_error(svc) || callers < 1 || callers > MAX_CALLERS || rate < 1)
        return 2;
    micro_service_wrap(svc, MICRO_WRAP_CALL, note_attempt, NULL);
    clock_gettime(CLOCK_MONOTONIC, &began);
    for (int i = 0; i < callers; i++) {
        numbers[i] = i;
        if (pthread_create(&threads[i], NULL, caller, &numbers[i]))
            return 1;
    }
    for (int i = 0; i < callers; i++)
        pthread_join(threads[i], NULL);
    micro_service_free(svc);
    return 0;
}
