/* SPDX-License-Identifier: MIT */
/* NATS request and reply through its server, with the bytes of our request and reply, no encoding:
 *   nats responder PORT
 *   nats client PORT CALLERS SECONDS PIDS */
#include "../bench.h"
#include <nats/nats.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

enum { NATS_CALLERS = 4096 };

static const char request[] =
    "{\"id\":1,\"method\":\"Bench.Hello\",\"params\":[{\"name\":\"John\"}]}";
static const char reply[] = "{\"id\":1,\"result\":{\"msg\":\"Hello John\"},\"error\":null}\n";

static natsConnection *conn;
static char inbox[NATS_CALLERS][24];
static uint64_t since[NATS_CALLERS], begin_at, end_at, calls;
static bool begun;

static void nats_must(natsStatus s)
{
    if (s == NATS_OK)
        return;
    fprintf(stderr, "nats: %s\n", natsStatus_GetText(s));
    exit(1);
}

static void nats_dial(const char *port)
{
    natsOptions *o;
    char url[64];

    snprintf(url, sizeof url, "nats://127.0.0.1:%s", port);
    nats_must(natsOptions_Create(&o));
    nats_must(natsOptions_SetURL(o, url));
    nats_must(natsOptions_SetSendAsap(o, true));
    nats_must(natsConnection_Connect(&conn, o));
}

static void nats_respond(natsConnection *c, natsSubscription *s, natsMsg *m, void *arg)
{
    (void)s;
    (void)arg;
    natsConnection_Publish(c, natsMsg_GetReply(m), reply, sizeof reply - 1);
    natsMsg_Destroy(m);
}

static void nats_call(int i)
{
    since[i] = bench_now();
    natsConnection_PublishRequest(conn, "greeter", inbox[i], request, sizeof request - 1);
}

static void nats_answered(natsConnection *c, natsSubscription *s, natsMsg *m, void *arg)
{
    int i = atoi(strrchr(natsMsg_GetSubject(m), '.') + 1);
    uint64_t now = bench_now();

    (void)c;
    (void)s;
    (void)arg;
    natsMsg_Destroy(m);
    if (now > end_at)
        return;
    if (!begun && now > begin_at) {
        begun = true;
        calls = 0;
        bench_begin();
    }
    bench_add(now - since[i]);
    calls++;
    nats_call(i);
}

int main(int argc, char **argv)
{
    natsSubscription *sub;

    if (argc < 3)
        return 2;
    nats_dial(argv[2]);
    if (strcmp(argv[1], "responder") == 0) {
        nats_must(natsConnection_QueueSubscribe(&sub, conn, "greeter", "q", nats_respond, NULL));
        for (;;)
            pause();
    }
    int n = argc > 5 ? atoi(argv[3]) : 0;
    if (n < 1 || n > NATS_CALLERS)
        return 2;
    bench_servers(argv[5]);
    nats_must(natsConnection_Subscribe(&sub, conn, "_I.*", nats_answered, NULL));
    nats_must(natsConnection_Flush(conn));
    begin_at = bench_now() + 100000000u;
    end_at = begin_at + (uint64_t)(atof(argv[4]) * 1e9);
    for (int i = 0; i < n; i++) {
        snprintf(inbox[i], sizeof inbox[i], "_I.%d", i);
        nats_call(i);
    }
    while (bench_now() < end_at)
        usleep(1000);
    bench_end();
    bench_print(calls, 0);
    fflush(stdout);
    _exit(calls ? 0 : 1);
}
