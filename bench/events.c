/* SPDX-License-Identifier: MIT */
/* Publishing with our own library, the counterpart of fanout: the same event again and again to
 * SUBSCRIBERS services of another process, each with a broker and so an address of its own. EVENTS
 * are published, then all acknowledgements are awaited.
 *   events [-p] [-c SUBSCRIBERS] [-w EVENTS] [-u SECONDS] [-d SECONDS]
 * -p: the publisher drives its loop itself (micro_poll), where else a thread of the library does.
 * micro_publish does not tell of acknowledgements. What a publisher's process receives is nothing
 * else, all of one length, so that calls of recv are counted (--wrap). In the end the subscribers
 * say how many events they handled. */
#include "messages.h"
#include "bench.h"
#include <semaphore.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { EVENTS_SUBSCRIBERS = 1000, EVENTS_REGISTRY = 1 << 20, EVENTS_PATIENCE = 10 };

static bool polled; /* the publisher drives its loop itself */
static bench_options told = { .conns = 10, .window = 1, .seconds = 1 };

/* ---- subscribers --------------------------------------------------------------------------- */

static atomic_ullong handled;

static micro_err on_event(micro_ctx *ctx, const hello_req *event)
{
    (void)ctx;
    if (micro_str_eq(event->name, micro_s("John")))
        atomic_fetch_add_explicit(&handled, 1, memory_order_relaxed);
    return MICRO_OK;
}

/* All that is registered, a line of JSON each, then an empty one. */
static micro_err events_registry_write(micro_registry *reg, FILE *out)
{
    micro_ctx *ctx = micro_ctx_new(NULL);
    micro_entries names, entries;
    micro_str text;
    micro_err err = micro_registry_list(reg, ctx, &names);

    for (size_t i = 0; err == MICRO_OK && i < names.len; i++) {
        err = micro_registry_get(reg, ctx, names.ptr[i].name.ptr, &entries);
        for (size_t k = 0; err == MICRO_OK && k < entries.len; k++) {
            err = micro_json_write(ctx, &micro_type_entry, &entries.ptr[k], 0, &text);
            if (err == MICRO_OK)
                fprintf(out, "%.*s\n", (int)text.len, text.ptr);
        }
    }
    fprintf(out, "\n");
    fflush(out);
    micro_ctx_free(ctx);
    return err;
}

/* Until the publisher is done; then the number of events. */
static int events_subscribers(FILE *publisher)
{
    static micro_service *services[EVENTS_SUBSCRIBERS];
    static micro_broker *brokers[EVENTS_SUBSCRIBERS];
    micro_registry *reg = micro_registry_memory_new();
    micro_err err = MICRO_OK;

    for (int i = 0; i < told.conns && err == MICRO_OK; i++) {
        brokers[i] = micro_broker_http_new("127.0.0.1:0");
        services[i] = micro_service_new(.name = "go.micro.srv.bench", .registry = reg,
                                        .broker = brokers[i], .address = "127.0.0.1:0", .loops = 1);
        bench_event_subscribe(services[i], on_event, NULL);
        err = micro_service_start(services[i]);
    }
    if (err == MICRO_OK)
        err = events_registry_write(reg, publisher);
    if (err == MICRO_OK)
        (void)fgetc(publisher);
    for (int i = 0; i < told.conns; i++)
        micro_service_free(services[i]);
    for (int i = 0; i < told.conns; i++)
        micro_broker_free(brokers[i]);
    micro_registry_free(reg);
    fprintf(publisher, "%llu\n", (unsigned long long)atomic_load(&handled));
    fflush(publisher);
    return err != MICRO_OK;
}

/* ---- acknowledgements ---------------------------------------------------------------------- */

ssize_t __real_recv(int fd, void *data, size_t size, int flags);
ssize_t __wrap_recv(int fd, void *data, size_t size, int flags);

static sem_t acknowledged;
static bool publishing;       /* as opposed to the subscribers' process */
static uint64_t wanted;       /* acknowledgements; set before the event is published */
static uint64_t got, last_at; /* the loop's: bytes; when the last wanted one came */
static size_t reply_len;      /* of each; known from the first */

ssize_t __wrap_recv(int fd, void *data, size_t size, int flags)
{
    ssize_t n = __real_recv(fd, data, size, flags);

    if (n <= 0 || !publishing)
        return n;
    if (!reply_len && n > 12 && memcmp(data, "HTTP/1.1 200", 12) == 0)
        reply_len = (size_t)n;
    got += (uint64_t)n;
    if (got == wanted * reply_len) {
        last_at = bench_now();
        sem_post(&acknowledged);
    }
    return n;
}

/* ---- publisher ----------------------------------------------------------------------------- */

static uint64_t published;

/* False: not within ten seconds; or, polled, nothing has happened for so long. */
static bool events_acknowledged(micro_service *svc)
{
    micro_err err = MICRO_OK;
    struct timespec limit;

    while (polled && err == MICRO_OK && sem_trywait(&acknowledged))
        err = micro_poll(svc, EVENTS_PATIENCE * 1000);
    if (polled)
        return err == MICRO_OK;
    clock_gettime(CLOCK_REALTIME, &limit);
    limit.tv_sec += EVENTS_PATIENCE;
    return sem_timedwait(&acknowledged, &limit) == 0;
}

/* So many events together: the time until the last of their acknowledgements. */
static uint64_t events_publish(micro_ctx *ctx, int events)
{
    const hello_req event = { { "John", 4 } };
    uint64_t since = bench_now();

    published += (uint64_t)events;
    wanted = published * (uint64_t)told.conns;
    for (int i = 0; i < events; i++) {
        if (bench_event_publish(ctx, &event) != MICRO_OK) {
            fprintf(stderr, "events: %s\n", micro_ctx_strerror(ctx));
            exit(1);
        }
        micro_ctx_reset(ctx);
    }
    if (!events_acknowledged(micro_ctx_service(ctx))) {
        fprintf(stderr, "events: %llu of %llu bytes of acknowledgements within %d s\n",
                (unsigned long long)got, (unsigned long long)(wanted * reply_len), EVENTS_PATIENCE);
        exit(1);
    }
    return last_at - since;
}

static void events_publish_for(micro_ctx *ctx, double secs)
{
    uint64_t end = bench_now() + (uint64_t)(secs * 1e9);

    while (bench_now() < end)
        bench_add(events_publish(ctx, told.window));
}

static micro_err events_registry_read(micro_registry *reg, FILE *in)
{
    static char line[EVENTS_REGISTRY];
    micro_ctx *ctx = micro_ctx_new(NULL);
    micro_err err = MICRO_OK;

    while (err == MICRO_OK && fgets(line, sizeof line, in) && *line != '\n') {
        micro_entry entry;
        err = micro_json_read(ctx, &micro_type_entry, micro_s(line), 0, &entry);
        if (err == MICRO_OK)
            err = micro_registry_put(reg, ctx, &entry, 3600000);
    }
    if (err != MICRO_OK)
        fprintf(stderr, "events: %s\n", micro_ctx_strerror(ctx));
    micro_ctx_free(ctx);
    return err;
}

static int events_publisher(FILE *other, pid_t pid)
{
    char text[32], pids[32];
    micro_registry *reg = micro_registry_memory_new();
    micro_service *svc = micro_service_new(.name = "go.micro.cli.bench", .registry = reg,
                                           .loops = polled ? MICRO_OFF : 1);
    micro_ctx *ctx = micro_ctx_new(svc);
    unsigned long long seen = 0;

    sem_init(&acknowledged, 0, 0);
    publishing = true;
    snprintf(pids, sizeof pids, "%d", (int)pid);
    bench_servers(pids);
    if (events_registry_read(reg, other) != MICRO_OK)
        return 1;
    events_publish(ctx, 1);
    events_publish_for(ctx, told.warm_up);
    uint64_t before = published;
    bench_begin();
    events_publish_for(ctx, told.seconds);
    bench_end();
    shutdown(fileno(other), SHUT_WR);
    if (fgets(text, sizeof text, other))
        seen = strtoull(text, NULL, 10);
    bench_print((published - before) * (uint64_t)told.conns,
                seen == published * (uint64_t)told.conns ? 0 : 1);
    micro_ctx_free(ctx);
    micro_service_free(svc);
    micro_registry_free(reg);
    return 0;
}

static void events_options(int argc, char **argv)
{
    for (int o; (o = getopt(argc, argv, "pc:w:u:d:")) > 0;)
        if (o == 'p')
            polled = true;
        else if (!bench_option(&told, o, optarg))
            exit(2);
    if (told.conns < 1 || told.conns > EVENTS_SUBSCRIBERS || told.window < 1) {
        fprintf(stderr, "usage: events [-p] [-c SUBSCRIBERS] [-w EVENTS] ...\n");
        exit(2);
    }
}

int main(int argc, char **argv)
{
    int pair[2], status = 0;

    events_options(argc, argv);
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair)) {
        perror("events");
        return 1;
    }
    pid_t pid = fork();
    if (pid < 0) {
        perror("events");
        return 1;
    }
    close(pair[pid == 0 ? 0 : 1]);
    FILE *other = fdopen(pair[pid == 0 ? 1 : 0], "r+");
    if (!other)
        return 1;
    if (pid == 0)
        return events_subscribers(other);
    int failed = events_publisher(other, pid);
    fclose(other);
    return waitpid(pid, &status, 0) != pid || status || failed;
}
