/* SPDX-License-Identifier: MIT */
/* Streams to a service, by callbacks at both ends: WINDOW messages on each, and as soon as all are
 * answered the next. With --hold one message on each, then all are held until stdin ends. */
#include "messages.h"
#include "bench.h"
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>

enum { STREAMS_MAX = 20000 };

static const char service[] = "go.micro.srv.bench";
static const char *node = "", *pids = "";
static int nstreams = 8, window = 16, seconds_ms = 1000, warm_up_ms = 0;
static bool hold;

static const micro_flag flags[] = {
    { .name = "node", .help = "Address of the server", .text = &node },
    { .name = "server_pid", .help = "Whose CPU counts, separated by commas", .text = &pids },
    { .name = "streams", .help = "Streams open at any time", .number = &nstreams },
    { .name = "window", .help = "Messages under way on each", .number = &window },
    { .name = "time", .help = "Time that counts", .ms = &seconds_ms },
    { .name = "warm_up", .help = "Time before that", .ms = &warm_up_ms },
    { .name = "hold", .help = "Only open them, and hold them", .on = &hold },
};

typedef struct talker {
    micro_ctx *ctx;
    micro_stream *st;
    pthread_mutex_t sending; /* the first time by main, then on the loop */
    int awaited;
    uint64_t since;
} talker;

static talker talkers[STREAMS_MAX];
static sem_t done; /* once for each stream */
static atomic_bool closing;
/* the loop's */
static uint64_t begin_at, end_at, messages, errors;
static bool begun, ended;

static void streams_error(const char *what, micro_err err)
{
    if (errors++ == 0)
        fprintf(stderr, "streams: %s: %s\n", what, micro_strerror(err));
}

static void streams_send(talker *t, uint64_t now)
{
    static const hello_req request = { { "John", 4 } };
    micro_err err = MICRO_OK;

    pthread_mutex_lock(&t->sending);
    t->awaited = window;
    t->since = now;
    for (int i = 0; i < window && err == MICRO_OK; i++)
        err = bench_talk_send_req(t->st, &request);
    pthread_mutex_unlock(&t->sending);
    if (err != MICRO_OK)
        streams_error("send", err);
}

static bool streams_go_on(uint64_t now)
{
    if (!begun && now >= begin_at) {
        begun = true;
        messages = 0;
        bench_begin();
    }
    if (!ended && now >= end_at) {
        ended = true;
        bench_end();
    }
    return !ended && !hold;
}

static void streams_message(micro_ctx *ctx, micro_stream *st, const hello_rsp *rsp, void *arg)
{
    talker *t = arg;

    (void)ctx;
    (void)st;
    if (!micro_str_eq(rsp->msg, micro_s("Hello John")))
        streams_error("message", MICRO_EFORMAT);
    messages += !ended;
    if (--t->awaited)
        return;
    uint64_t now = bench_now();
    if (!ended)
        bench_add(now - t->since);
    if (streams_go_on(now))
        streams_send(t, now);
    else
        sem_post(&done);
}

static void streams_end(micro_ctx *ctx, micro_stream *st, micro_err err, void *arg)
{
    (void)ctx;
    (void)st;
    (void)arg;
    if (closing)
        return;
    streams_error("end", err);
    sem_post(&done);
}

/* One after the other where they are only held. */
static micro_err streams_open(micro_service *svc, talker *t)
{
    t->ctx = micro_ctx_new(svc);
    micro_err err = bench_talk(t->ctx, service, &t->st);

    if (err != MICRO_OK) {
        fprintf(stderr, "streams: %s\n", micro_ctx_strerror(t->ctx));
        return err;
    }
    pthread_mutex_init(&t->sending, NULL);
    bench_talk_on_rsp(t->st, streams_message, streams_end, t);
    if (hold) {
        streams_send(t, bench_now());
        sem_wait(&done);
    }
    return MICRO_OK;
}

static void streams_run(void)
{
    begin_at = bench_now() + (uint64_t)warm_up_ms * 1000000u;
    end_at = begin_at + (uint64_t)seconds_ms * 1000000u;
    for (int i = 0; i < nstreams; i++)
        streams_send(&talkers[i], bench_now());
    for (int i = 0; i < nstreams; i++)
        sem_wait(&done);
    bench_print(messages, errors);
}

static void streams_hold(void)
{
    printf("{\"calls\": %llu}\n", (unsigned long long)messages);
    fflush(stdout);
    while (getchar() != EOF) {
    }
}

int main(int argc, char **argv)
{
    micro_service *svc = micro_service_new(.name = "bench-streams", .argc = argc, .argv = argv,
                                           .flags = flags, .nflags = MICRO_COUNTOF(flags));
    micro_err err = micro_service_error(svc);

    sem_init(&done, 0, 0);
    if (err == MICRO_OK && (nstreams < 1 || nstreams > STREAMS_MAX || window < 1))
        err = MICRO_EUSAGE;
    if (err == MICRO_OK)
        err = bench_register(svc, service, node);
    if (hold) {
        window = 1;
        begin_at = end_at = UINT64_MAX;
    }
    bench_servers(pids);
    for (int i = 0; i < nstreams && err == MICRO_OK; i++)
        err = streams_open(svc, &talkers[i]);
    if (err == MICRO_OK && hold)
        streams_hold();
    else if (err == MICRO_OK)
        streams_run();
    closing = true;
    for (int i = 0; i < nstreams; i++)
        micro_ctx_free(talkers[i].ctx);
    int status = micro_service_exit_code(svc, err);
    micro_service_free(svc);
    return status;
}
