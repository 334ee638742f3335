/* SPDX-License-Identifier: MIT */
/* The http broker as its peers see it: what it registers, what it answers, what it sends. */
#include "http_broker.h"

#include "os/sys.h"

#define HTTPB_UUID "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx"

/* text has the form of pattern, where x is any hexadecimal digit. */
static bool httpb_like(micro_str text, const char *pattern)
{
    if (text.len != strlen(pattern))
        return false;
    for (size_t i = 0; i < text.len; i++)
        if (pattern[i] == 'x' ? !strchr("0123456789abcdef", text.ptr[i])
                              : pattern[i] != text.ptr[i])
            return false;
    return true;
}

TEST(http_broker_registers_under_the_names_of_three_generations)
{
    const char *queues[] = { NULL, "queue.pubsub" };

    for (size_t i = 0; i < 2; i++) {
        const char *version = queues[i] ? queues[i] : "ff.http.broadcast";
        httpb_fixture f;
        micro_node old, mid, late;
        micro_entries list = { NULL, 0, 0 };
        char metadata[128];
        REQUIRE(httpb_setup(&f, queues[i]));
        REQUIRE(httpb_node(&f, "topic:example.topic.pubsub.1", version, &old, metadata));
        CHECK(httpb_like(old.id, "broker-" HTTPB_UUID "." HTTPB_UUID));
        CHECK_EQ_TEXT(metadata, "secure=false;");
        REQUIRE(httpb_node(&f, "go.micro.http.broker", version, &mid, metadata));
        CHECK_EQ_TEXT(metadata, "broker=http;secure=false;topic=example.topic.pubsub.1;");
        REQUIRE(httpb_node(&f, "micro.http.broker", version, &late, metadata));
        CHECK_EQ_TEXT(metadata, "broker=http;secure=false;topic=example.topic.pubsub.1;");
        CHECK_EQ_STR(late.id, mid.id.ptr);
        CHECK(micro_str_eq(old.address, late.address) && strchr(late.address.ptr, ':'));
        CHECK_EQ_TEXT(late.id.ptr + late.id.len - 36, old.id.ptr + old.id.len - 36);
        CHECK(!strncmp(late.id.ptr, "example.topic.pubsub.1-", 23));
        micro_service_stop(f.sub);
        CHECK_EQ_INT(micro_registry_get(f.reg, f.ctx, "topic:example.topic.pubsub.1", &list),
                     MICRO_ENOTFOUND);
        CHECK_EQ_INT(micro_registry_get(f.reg, f.ctx, "micro.http.broker", &list), MICRO_ENOTFOUND);
        CHECK_EQ_INT(micro_registry_get(f.reg, f.ctx, "go.micro.http.broker", &list),
                     MICRO_ENOTFOUND);
        httpb_teardown(&f);
    }
}

/* ---- what it answers ----------------------------------------------------------------------- */

#define HTTPB_OBJECT(code, detail, status) \
    "{\"id\":\"go.micro.broker\",\"code\":" #code ",\"detail\":\"" detail \
    "\",\"status\":\"" status "\"}"

/* %s in the target is the id. status 0: nothing but 200 and an empty body. */
static const struct {
    const char *method, *target, *body;
    int status;
    const char *type, *answer; /* of answer: how it begins */
    bool delivered;
} httpb_posts[] = {
    { "POST", "/_sub?id=%s",
      "{\"Header\":{\":topic\":\"example.topic.pubsub.1\",\"Content-Type\":\"application/json\"},"
      "\"Body\":\"eyJpZCI6InJhdyJ9\"}",
      0, "", "", true },
    { "POST", "/?x=1&id=%s&y",
      "{\"header\":{\"Micro-Topic\":\"example.topic.pubsub.1\",\"content-type\":"
      "\"application/json\"},\"body\":\"eyJpZCI6InJhdyJ9\"}",
      0, "", "", true },
    { "PUT", "/?id=%s", "{}", 405, "text/plain; charset=utf-8",
      HTTPB_OBJECT(400, "Method not allowed", "Bad Request") "\n", false },
    { "GET", "/_sub?id=%s", "", 405, "text/plain; charset=utf-8",
      HTTPB_OBJECT(400, "Method not allowed", "Bad Request") "\n", false },
    { "POST", "/other?id=%s", "{}", 404, "text/plain; charset=utf-8", "404 page not found\n",
      false },
    { "POST", "/_sub/x?id=%s", "{}", 404, "text/plain; charset=utf-8", "404 page not found\n",
      false },
    { "POST", "/_sub", "{\"Header\":{\":topic\":\"example.topic.pubsub.1\"}}", 0, "", "", false },
    { "POST", "/_sub?id=nope", "{\"Header\":{\":topic\":\"example.topic.pubsub.1\"}}", 0, "", "",
      false },
    { "POST", "/_sub?id=%%zz", "{\"Header\":{\":topic\":\"example.topic.pubsub.1\"}}", 0, "", "",
      false },
    { "POST", "/_sub?id=%%4", "{\"Header\":{\":topic\":\"example.topic.pubsub.1\"}}", 0, "", "",
      false },
    { "POST", "/_sub?id=%s", "{\"Header\":{\":topic\":\"another\"}}", 0, "", "", false },
    { "POST", "/_sub?id=%s",
      "{\"Header\":{\":topic\":\"example.topic.pubsub.1\",\"Content-Type\":\"text/x\"},\"Body\":"
      "\"eyJpZCI6InJhdyJ9\"}",
      0, "", "", false },
    { "POST", "/_sub?id=%s",
      "{\"Header\":{\":topic\":\"example.topic.pubsub.1\",\"Content-Type\":\"application/json\"},"
      "\"Body\":\"eyJpZCI6\"}",
      0, "", "", false },
    { "POST", "/_sub?id=%s", "hello", 500, "text/plain; charset=utf-8",
      "{\"id\":\"go.micro.broker\",\"code\":500,\"detail\":\"Error parsing request body: ", false },
    { "POST", "/_sub?id=%s", "", 500, "text/plain; charset=utf-8",
      "{\"id\":\"go.micro.broker\",\"code\":500,\"detail\":\"Error parsing request body: ", false },
    { "POST", "/_sub?id=%s", "{\"Header\":{\":topic\":\"x\"},\"Body\":\"%%%%\"}", 500,
      "text/plain; charset=utf-8",
      "{\"id\":\"go.micro.broker\",\"code\":500,\"detail\":\"Error parsing request body: ", false },
    { "POST", "/_sub?id=%s", "{\"Header\":[],\"Body\":\"\"}", 500, "text/plain; charset=utf-8",
      "{\"id\":\"go.micro.broker\",\"code\":500,\"detail\":\"Error parsing request body: ", false },
    { "POST", "/_sub?id=%s", "{\"Header\":{\"a\":1},\"Body\":\"\"}", 500,
      "text/plain; charset=utf-8",
      "{\"id\":\"go.micro.broker\",\"code\":500,\"detail\":\"Error parsing request body: ", false },
    { "POST", "/_sub?id=%s", "{\"Header\":{\"a\":\"b\"},\"Body\":\"eyJp\"}", 500,
      "text/plain; charset=utf-8", HTTPB_OBJECT(500, "Topic not found", "Internal Server Error"),
      false },
    { "POST", "/_sub?id=%s", "null", 500, "text/plain; charset=utf-8",
      HTTPB_OBJECT(500, "Topic not found", "Internal Server Error"), false },
};

static void httpb_post(httpb_fixture *f, size_t row, const char *id, int fd)
{
    char request[1024], target[256], reply[2048], status[32], type[64];
    int had = events_count(&f->seen);

    NOTE("row %zu, %s", row, id);
    snprintf(target, sizeof target, httpb_posts[row].target, id);
    snprintf(request, sizeof request, "%s %s HTTP/1.1\r\nHost: x\r\nContent-Length: %zu\r\n\r\n%s",
             httpb_posts[row].method, target, strlen(httpb_posts[row].body), httpb_posts[row].body);
    raw_send(fd, request);
    raw_reply(fd, reply, sizeof reply, 30000);
    snprintf(status, sizeof status, "HTTP/1.1 %d ",
             httpb_posts[row].status ? httpb_posts[row].status : 200);
    CHECK(!strncmp(reply, status, strlen(status)));
    snprintf(type, sizeof type, "Content-Type: %s\r\n", httpb_posts[row].type);
    CHECK(strstr(reply, type) || !*httpb_posts[row].type);
    char *body = strstr(reply, "\r\n\r\n");
    if (CHECK(body != NULL))
        CHECK(!strncmp(body + 4, httpb_posts[row].answer, strlen(httpb_posts[row].answer)));
    if (httpb_posts[row].delivered)
        CHECK_EQ_INT(events_wait(&f->seen, had + 1), had + 1);
    else
        CHECK_EQ_INT(events_count(&f->seen), had);
}

/* ---- the end ------------------------------------------------------------------------------- */

#define HTTPB_LOOKS 1000

static struct timespec httpb_at;
static atomic_bool httpb_stopped;
static atomic_int httpb_looks; /* at the stopped clock; from HTTPB_LOOKS on it goes, fast */

static int httpb_clock(clockid_t id, struct timespec *at)
{
    if (!atomic_load(&httpb_stopped))
        return clock_gettime(id, at);
    int n = atomic_fetch_add(&httpb_looks, 1);
    *at = httpb_at;
    at->tv_sec += n > HTTPB_LOOKS ? n - HTTPB_LOOKS : 0;
    return 0;
}

/* Who has published to a subscriber keeps the connection; the subscriber's end does not wait for
 * time to pass because of that. */
TEST(http_broker_ends_while_publishers_are_connected)
{
    httpb_fixture f;
    bool closed;
    char more[8];

    micro__sys.clock_gettime = httpb_clock;
    REQUIRE(httpb_setup(&f, NULL));
    int fd = raw_connect(f.address);
    httpb_post(&f, 0, f.id, fd);
    clock_gettime(CLOCK_MONOTONIC, &httpb_at);
    atomic_store(&httpb_stopped, true);
    micro_service_stop(f.sub);
    atomic_store(&httpb_stopped, false);
    CHECK(atomic_load(&httpb_looks) < HTTPB_LOOKS);
    raw_read(fd, more, 1, 30000, &closed);
    CHECK(closed);
    close(fd);
    httpb_teardown(&f);
}

/* All on one connection, which stays good. */
TEST(http_broker_answers_as_the_original)
{
    httpb_fixture f;

    REQUIRE(httpb_setup(&f, NULL));
    int fd = raw_connect(f.address);
    for (int warm = 0; warm < 2; warm++) {
        for (size_t i = 0; i < MICRO_COUNTOF(httpb_posts); i++) {
            httpb_post(&f, i, f.id, fd);
            httpb_post(&f, i, f.old_id, fd);
        }
        httpb_warm(&f, fd);
    }
    CHECK_EQ_TEXT(f.seen.ids[0], "raw");
    close(fd);
    httpb_teardown(&f);
}

/* Whoever publishes waits at its end for answers, but not longer than its stop may take. */
TEST(http_broker_stops_without_an_answer)
{
    micro_registry *reg = micro_registry_memory_new();
    micro_service *svc = micro_service_new(.name = "publisher", .address = "127.0.0.1:0",
                                           .registry = reg, .drain_ms = 50);
    micro_ctx *ctx = micro_ctx_new(svc);
    char address[32];
    int listener = raw_listen(address);
    micro_node node = { .id = micro_s("mute"), .address = micro_s(address) };
    micro_entry e = { .name = micro_s("topic:example.topic.pubsub.1"),
                      .version = micro_s("ff.http.broadcast"),
                      .nodes = { &node, 1, 1 } };
    events_msg m = { .id = micro_s("1") };

    REQUIRE(CHECK_EQ_INT(micro_service_start(svc), MICRO_OK));
    REQUIRE(CHECK_EQ_INT(micro_registry_put(reg, ctx, &e, 0), MICRO_OK));
    CHECK_EQ_INT(events_one_publish(ctx, &m), MICRO_OK);
    micro_ctx_free(ctx);
    long long began = raw_ms();
    micro_service_stop(svc);
    CHECK(raw_ms() - began < 4000); /* where nothing limits it, 5 s */
    micro_service_free(svc);
    micro_registry_free(reg);
    close(listener);
}

/* A broker that services share goes on when the one that connected first has gone: what it uses is
 * theirs in common. A registry that a service made for itself would go with it. */
TEST(http_broker_outlives_the_first_of_its_services)
{
    char name[] = "test", flag[] = "--registry=memory";
    char *argv[] = { name, flag, NULL };
    micro_registry *reg = micro_registry_memory_new();
    micro_broker *broker = micro_broker_http_new("127.0.0.1:0");
    micro_service *svc[2];
    events_seen seen = EVENTS_SEEN;
    events_msg m = { .id = micro_s("1") };

    for (int i = 0; i < 2; i++) {
        svc[i] = micro_service_new(.name = i ? "second" : "first", .address = "127.0.0.1:0",
                                   .broker = broker, .registry = reg, .drain_ms = 1000);
        if (i)
            events_one_subscribe(svc[i], events_on, &seen);
        REQUIRE(CHECK_EQ_INT(micro_service_start(svc[i]), MICRO_OK));
    }
    micro_service *other = micro_service_new(.name = "other", .address = "127.0.0.1:0",
                                             .broker = broker, .argc = 2, .argv = argv);
    CHECK_EQ_INT(micro_service_start(other), MICRO_EINVAL);
    micro_service_free(other);
    micro_ctx *ctx = micro_ctx_new(svc[1]);
    CHECK_EQ_INT(events_one_publish(ctx, &m), MICRO_OK);
    micro_service_free(svc[0]);
    CHECK_EQ_INT(events_one_publish(ctx, &m), MICRO_OK);
    for (int i = 0; i < 10000 && events_count(&seen) < 2; i++)
        raw_sleep(1);
    CHECK_EQ_INT(events_count(&seen), 2);
    micro_ctx_free(ctx);
    micro_service_free(svc[1]);
    micro_broker_free(broker);
    micro_registry_free(reg);
}

/* Whatever comes, the next event is taken. */
TEST(http_broker_outlives_garbage)
{
    const char *garbage[] = { "\x16\x03\x01",
                              "POST /_sub?id=",
                              "\r\n\r\n\r\n",
                              "POST / HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n",
                              "POST / HTTP/1.1\r\nContent-Length: 100\r\n\r\n{\"Header\":{",
                              "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n" };
    httpb_fixture f;

    REQUIRE(httpb_setup(&f, NULL));
    for (size_t i = 0; i < MICRO_COUNTOF(garbage); i++) {
        int fd = raw_connect(f.address);
        raw_send(fd, garbage[i]);
        raw_sleep(5);
        close(fd);
        fd = raw_connect(f.address);
        httpb_post(&f, 0, f.id, fd);
        close(fd);
    }
    httpb_teardown(&f);
}

/* ---- while nobody subscribes --------------------------------------------------------------- */

/* The memory registry, whose look-ups can be made to wait, and whose news to be lost. */
typedef struct httpb_gate {
    micro_registry base;
    micro_registry *real;
    atomic_bool shut, mute;
    atomic_int asked;
} httpb_gate;

typedef struct httpb_watcher {
    httpb_gate *gate;
    micro_watch *real;
    micro_watch_fn *fn;
    void *arg;
} httpb_watcher;

static micro_err httpb_gate_get(micro_registry *reg, micro_ctx *ctx, const char *name,
                                micro_entries *out)
{
    httpb_gate *g = (httpb_gate *)reg;

    atomic_fetch_add(&g->asked, 1);
    while (atomic_load(&g->shut) && !micro_ctx_canceled(ctx))
        raw_sleep(1);
    return micro_ctx_canceled(ctx) ? MICRO_ETIMEDOUT : micro_registry_get(g->real, ctx, name, out);
}

static void httpb_gate_news(void *arg, enum micro_change what, const micro_entry *entry)
{
    const httpb_watcher *w = arg;

    if (!atomic_load(&w->gate->mute))
        w->fn(w->arg, what, entry);
}

static micro_err httpb_gate_watch(micro_registry *reg, const char *name, micro_watch_fn *fn,
                                  void *arg, micro_watch **out)
{
    httpb_gate *g = (httpb_gate *)reg;
    httpb_watcher *w = calloc(1, sizeof *w);

    w->gate = g;
    w->fn = fn;
    w->arg = arg;
    *out = (micro_watch *)(void *)w;
    return micro_registry_watch(g->real, name, httpb_gate_news, w, &w->real);
}

static void httpb_gate_unwatch(micro_registry *reg, micro_watch *watch)
{
    httpb_watcher *w = (httpb_watcher *)(void *)watch;

    micro_registry_unwatch(((httpb_gate *)reg)->real, w->real);
    free(w);
}

static const micro_registry_ops httpb_gate_ops = {
    .size_ = sizeof(micro_registry_ops),
    .name = "gate",
    .get = httpb_gate_get,
    .watch = httpb_gate_watch,
    .unwatch = httpb_gate_unwatch,
};

static atomic_int httpb_skew; /* seconds */

static int httpb_skewed(clockid_t id, struct timespec *at)
{
    int rc = clock_gettime(id, at);

    at->tv_sec += atomic_load(&httpb_skew);
    return rc;
}

static micro_err httpb_send(micro_ctx *ctx)
{
    const events_msg m = { .id = micro_s("1") };

    micro_ctx_reset(ctx);
    micro_ctx_set_timeout(ctx, 20000); /* whoever waits at a shut gate */
    return events_one_publish(ctx, &m);
}

/* That nobody subscribes is remembered, until the registry tells of somebody; and it is looked at
 * again behind the publisher's back, in case that was lost. */
TEST_OF_THREADS(overlap, http_broker_does_not_wait_for_nobody)
{
    httpb_gate g = { .base = { &httpb_gate_ops }, .real = micro_registry_memory_new() };
    micro_err err = MICRO_ENOTFOUND;
    httpb_fixture f;

    micro__sys.clock_gettime = httpb_skewed;
    micro_service *svc = micro_service_new(.name = "publisher", .registry = &g.base);
    micro_ctx *ctx = micro_ctx_new(svc);
    CHECK_EQ_INT(httpb_send(ctx), MICRO_ENOTFOUND);
    for (int i = 0; i < 3; i++) {
        int asked = atomic_load(&g.asked);
        atomic_store(&g.shut, true);
        atomic_fetch_add(&httpb_skew, 5);
        CHECK_EQ_INT(httpb_send(ctx), MICRO_ENOTFOUND);
        CHECK(raw_until(&g.asked, asked + 1) > asked);
        atomic_store(&g.shut, false);
    }
    REQUIRE(httpb_setup(&f, NULL));
    CHECK_EQ_INT(httpb_send(ctx), MICRO_OK);
    CHECK_EQ_INT(events_wait(&f.seen, 1), 1);
    httpb_teardown(&f);
    atomic_fetch_add(&httpb_skew, 5);
    CHECK_EQ_INT(httpb_send(ctx), MICRO_ENOTFOUND);
    atomic_store(&g.mute, true);
    REQUIRE(httpb_setup(&f, NULL));
    for (int i = 0; i < 1000 && err == MICRO_ENOTFOUND; i++) {
        atomic_fetch_add(&httpb_skew, 2);
        err = httpb_send(ctx);
        raw_sleep(5);
    }
    CHECK_EQ_INT(err, MICRO_OK);
    CHECK_EQ_INT(events_wait(&f.seen, 1), 1);
    atomic_store(&g.mute, false);
    httpb_teardown(&f);
    micro_ctx_free(ctx);
    micro_service_free(svc);
    micro_registry_free(g.real);
}

/* ---- what does not fit --------------------------------------------------------------------- */

/* A handler that does not get on: events wait, so many and no more; the rest is told no. */
TEST_OF_THREADS(overlap, http_broker_bounds_what_waits)
{
    enum { MANY = 4500 };
    static const char body[] =
        "{\"Header\":{\"Micro-Topic\":\"example.topic.pubsub.1\"},\"Body\":\"\"}";
    httpb_fixture f;
    char reply[2048];
    int fd, ok = 0, busy = 0;

    REQUIRE(httpb_setup(&f, NULL));
    atomic_store(&f.seen.sleep_ms, 60000);
    fd = raw_connect(f.address);
    for (int i = 0; i < MANY; i++) {
        char request[512];
        httpb_request(request, sizeof request, f.id, body);
        raw_send(fd, request);
        raw_reply(fd, reply, sizeof reply, 30000);
        ok += !strncmp(reply, "HTTP/1.1 200", 12);
        busy += !strncmp(reply, "HTTP/1.1 503", 12);
    }
    CHECK_EQ_INT(ok + busy, MANY);
    CHECK(ok >= 4096 && busy > 0);
    CHECK(strstr(reply, HTTPB_OBJECT(503, "too many events wait", "Service Unavailable")));
    close(fd);
    atomic_store(&f.seen.sleep_ms, 0); /* for those that wait */
    httpb_teardown(&f);
}
