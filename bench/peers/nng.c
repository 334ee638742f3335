/* SPDX-License-Identifier: MIT */
/* nng req/rep over TCP with the bytes of our request and reply, no encoding:
 *   nng server PORT CONTEXTS
 *   nng client PORT SOCKETS CALLERS SECONDS PIDS */
#include "../bench.h"
#include <nng/nng.h>
#include <nng/protocol/reqrep0/rep.h>
#include <nng/protocol/reqrep0/req.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

static const char request[] =
    "{\"id\":1,\"method\":\"Bench.Hello\",\"params\":[{\"name\":\"John\"}]}";
static const char reply[] = "{\"id\":1,\"result\":{\"msg\":\"Hello John\"},\"error\":null}\n";

typedef struct worker {
    nng_ctx ctx;
    nng_aio *aio;
    bool second; /* server: sends; client: receives */
    uint64_t since;
} worker;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static uint64_t begin_at, end_at, calls, errors;
static bool begun;
static atomic_int stopped;

static void nng_must(int err)
{
    if (!err)
        return;
    fprintf(stderr, "nng: %s\n", nng_strerror(err));
    exit(1);
}

static void nng_serve(void *arg)
{
    worker *w = arg;

    if (nng_aio_result(w->aio) == 0 && !w->second) {
        nng_msg *m = nng_aio_get_msg(w->aio);
        nng_msg_clear(m);
        nng_msg_append(m, reply, sizeof reply - 1);
        nng_aio_set_msg(w->aio, m);
        w->second = true;
        nng_ctx_send(w->ctx, w->aio);
        return;
    }
    w->second = false;
    nng_ctx_recv(w->ctx, w->aio);
}

static void nng_call(worker *w)
{
    nng_msg *m;

    nng_must(nng_msg_alloc(&m, 0));
    nng_msg_append(m, request, sizeof request - 1);
    w->second = false;
    w->since = bench_now();
    nng_aio_set_msg(w->aio, m);
    nng_ctx_send(w->ctx, w->aio);
}

static void nng_answered(void *arg)
{
    worker *w = arg;

    if (nng_aio_result(w->aio)) {
        errors++;
        stopped++;
        return;
    }
    if (!w->second) {
        w->second = true;
        nng_ctx_recv(w->ctx, w->aio);
        return;
    }
    uint64_t now = bench_now();
    nng_msg_free(nng_aio_get_msg(w->aio));
    if (now > end_at) {
        stopped++;
        return;
    }
    pthread_mutex_lock(&lock);
    if (!begun && now > begin_at) {
        begun = true;
        calls = 0;
        bench_begin();
    }
    bench_add(now - w->since);
    calls++;
    pthread_mutex_unlock(&lock);
    nng_call(w);
}

static void nng_server(const char *url, int n)
{
    nng_socket s = NNG_SOCKET_INITIALIZER;
    worker *w = calloc((size_t)n, sizeof *w);

    nng_must(w ? nng_rep0_open(&s) : NNG_ENOMEM);
    nng_must(nng_listen(s, url, NULL, 0));
    for (int i = 0; i < n; i++) {
        nng_must(nng_ctx_open(&w[i].ctx, s));
        nng_must(nng_aio_alloc(&w[i].aio, nng_serve, &w[i]));
        nng_ctx_recv(w[i].ctx, w[i].aio);
    }
    for (;;)
        pause();
}

static void nng_client(const char *url, int sockets, int n, double seconds)
{
    nng_socket *s = calloc((size_t)sockets, sizeof *s);
    worker *w = calloc((size_t)n, sizeof *w);

    for (int i = 0; i < sockets; i++) {
        nng_must(s && w ? nng_req0_open(&s[i]) : NNG_ENOMEM);
        nng_socket_set_bool(s[i], NNG_OPT_TCP_NODELAY, true);
        nng_must(nng_dial(s[i], url, NULL, 0));
    }
    begin_at = bench_now() + 100000000u;
    end_at = begin_at + (uint64_t)(seconds * 1e9);
    for (int i = 0; i < n; i++) {
        nng_must(nng_ctx_open(&w[i].ctx, s[i % sockets]));
        nng_must(nng_aio_alloc(&w[i].aio, nng_answered, &w[i]));
        nng_call(&w[i]);
    }
    while (bench_now() < end_at)
        usleep(1000);
    bench_end();
    for (int i = 0; i < 200 && stopped < n; i++)
        usleep(5000);
    bench_print(calls, errors);
    fflush(stdout);
    _exit(0);
}

int main(int argc, char **argv)
{
    char url[64];

    if (argc < 4)
        return 2;
    snprintf(url, sizeof url, "tcp://127.0.0.1:%s", argv[2]);
    if (strcmp(argv[1], "server") == 0)
        nng_server(url, atoi(argv[3]));
    if (argc < 7)
        return 2;
    bench_servers(argv[6]);
    nng_client(url, atoi(argv[3]), atoi(argv[4]), atof(argv[5]));
}
