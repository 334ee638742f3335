/* SPDX-License-Identifier: MIT */
/* Publish and subscribe as programs use them, over each of the brokers. */
#include "events.h"
#include "failing.h"

typedef struct events_fixture {
    micro_registry *reg;
    micro_broker *broker; /* NULL: http, each service its own */
    micro_service *sub, *pub;
    micro_ctx *ctx;
} events_fixture;

static const char *const events_brokers[] = { "http", "memory" };

static micro_service *events_service(events_fixture *f, const char *name)
{
    return micro_service_new(.name = name, .registry = f->reg, .broker = f->broker,
                             .address = "127.0.0.1:0", .loops = 2, .drain_ms = 5000);
}

static bool events_setup(events_fixture *f, const char *broker)
{
    memset(f, 0, sizeof *f);
    f->reg = micro_registry_memory_new();
    f->broker = strcmp(broker, "http") ? micro_broker_memory_new() : NULL;
    f->sub = events_service(f, "go.micro.srv.pubsub");
    f->pub = events_service(f, "go.micro.cli.pub");
    f->ctx = micro_ctx_new(f->pub);
    NOTE("%s", broker);
    return CHECK(f->reg && f->sub && f->pub && f->ctx);
}

static void events_teardown(events_fixture *f)
{
    micro_ctx_free(f->ctx);
    micro_service_free(f->pub);
    micro_service_free(f->sub);
    micro_broker_free(f->broker);
    micro_registry_free(f->reg);
}

TEST(events_reach_their_subscriber)
{
    for (size_t i = 0; i < MICRO_COUNTOF(events_brokers); i++) {
        const char *types[] = { NULL, "application/json", "application/protobuf",
                                "application/octet-stream" };
        events_seen one = EVENTS_SEEN, two = EVENTS_SEEN;
        const events_msg msg = { micro_s("id-0"), 1517443200, micro_s("hello") };
        events_fixture f;
        REQUIRE(events_setup(&f, events_brokers[i]));
        events_one_subscribe(f.sub, events_on, &one);
        events_two_subscribe(f.sub, events_on, &two);
        REQUIRE(CHECK_EQ_INT(micro_service_start(f.sub), MICRO_OK));
        micro_metadata_set(f.ctx, "Foo", "bar");
        for (int k = 0; k < 4; k++) {
            CHECK_EQ_INT(events_one_publish_with(
                             f.ctx, &msg, MICRO_OPTS(micro_publish_opts, .content_type = types[k])),
                         MICRO_OK);
            CHECK_EQ_INT(events_wait(&one, k + 1), k + 1);
            CHECK_EQ_TEXT(one.type, types[k] ? types[k] : "application/json");
        }
        CHECK_EQ_TEXT(one.ids[3], "id-0");
        CHECK_EQ_TEXT(one.meta, "bar");
        CHECK_EQ_TEXT(one.topic, "example.topic.pubsub.1");
        CHECK_EQ_INT(events_count(&two), 0);
        CHECK_EQ_TEXT(micro_ctx_info(f.ctx)->topic, "example.topic.pubsub.1");
        events_teardown(&f);
    }
}

/* ---- publishing ---------------------------------------------------------------------------- */

TEST(events_publish_errors)
{
    for (size_t i = 0; i < MICRO_COUNTOF(events_brokers); i++) {
        static char text[MICRO_MAX_BODY];
        const events_msg msg = { micro_s("id"), 1, micro_s("") };
        const micro_bytes big = { (const uint8_t *)text, sizeof text };
        events_seen seen = EVENTS_SEEN;
        events_fixture f;
        REQUIRE(events_setup(&f, events_brokers[i]));
        events_one_subscribe(f.sub, events_on, &seen);
        REQUIRE(CHECK_EQ_INT(micro_service_start(f.sub), MICRO_OK));
        micro_ctx *bare = micro_ctx_new(NULL);
        CHECK_EQ_INT(events_one_publish(NULL, &msg), MICRO_ENOMEM);
        CHECK_EQ_INT(events_one_publish(bare, &msg), MICRO_EINVAL);
        CHECK_EQ_INT(events_one_publish(f.ctx, NULL), MICRO_EINVAL);
        CHECK_EQ_INT(micro_publish(f.ctx, "", &events_msg_type, &msg, NULL), MICRO_EINVAL);
        CHECK_EQ_INT(micro_publish(f.ctx, NULL, &events_msg_type, &msg, NULL), MICRO_EINVAL);
        CHECK_EQ_INT(micro_publish(f.ctx, "t", NULL, &msg, NULL), MICRO_EINVAL);
        CHECK_EQ_INT(events_two_publish(f.ctx, &msg), MICRO_ENOTFOUND);
        CHECK_EQ_INT(events_one_publish_with(
                         f.ctx, &msg, MICRO_OPTS(micro_publish_opts, .content_type = "text/x")),
                     MICRO_ECODEC);
        CHECK(strstr(micro_ctx_strerror(f.ctx), "text/x"));
        const double nan = 0.0 / strtod("0", NULL);
        const micro_value value = { .kind = MICRO_VALUE_DOUBLE, .as = { .d = nan } };
        CHECK_EQ_INT(
            micro_publish(f.ctx, "example.topic.pubsub.1", &micro_type_value, &value, NULL),
            MICRO_EINVAL);
        if (!f.broker) /* in base64, over what an HTTP body may be */
            CHECK_EQ_INT(
                micro_publish(f.ctx, "example.topic.pubsub.1", &micro_type_bytes, &big, NULL),
                MICRO_ETOOBIG);
        micro_metadata_set(f.ctx, "a", "\n");
        CHECK_EQ_INT(events_one_publish(f.ctx, &msg), MICRO_EINVAL); /* it was not set */
        micro_ctx_cancel(f.ctx);
        CHECK_EQ_INT(events_one_publish(f.ctx, &msg), MICRO_ECANCELED);
        micro_ctx_free(f.ctx);
        f.ctx = micro_ctx_new(f.pub);
        micro_ctx_set_timeout(f.ctx, 0);
        CHECK_EQ_INT(events_one_publish(f.ctx, &msg), MICRO_ETIMEDOUT);
        micro_ctx_set_timeout(f.ctx, MICRO_OFF);
        CHECK_EQ_INT(events_one_publish(f.ctx, &msg), MICRO_OK);
        CHECK_EQ_UINT(micro_ctx_error(f.ctx)->detail.len, 0);
        CHECK_EQ_INT(events_wait(&seen, 1), 1);
        micro_ctx_free(bare);
        events_teardown(&f);
    }
}

/* A handler's own publications carry what it was given. */
static micro_err events_on_relay(micro_ctx *ctx, const events_msg *msg)
{
    CHECK(micro_ctx_service(ctx) != NULL);
    return events_two_publish(ctx, msg);
}

TEST(events_are_published_by_handlers)
{
    for (size_t i = 0; i < MICRO_COUNTOF(events_brokers); i++) {
        events_seen seen = EVENTS_SEEN;
        const events_msg msg = { micro_s("x"), 1, micro_s("") };
        events_fixture f;
        REQUIRE(events_setup(&f, events_brokers[i]));
        events_one_subscribe(f.sub, events_on_relay, NULL);
        events_two_subscribe(f.sub, events_on, &seen);
        REQUIRE(CHECK_EQ_INT(micro_service_start(f.sub), MICRO_OK));
        micro_metadata_set(f.ctx, "Foo", "bar");
        CHECK_EQ_INT(events_one_publish(f.ctx, &msg), MICRO_OK);
        CHECK_EQ_INT(events_wait(&seen, 1), 1);
        CHECK_EQ_TEXT(seen.meta, "bar");
        CHECK_EQ_TEXT(seen.topic, "example.topic.pubsub.2");
        events_teardown(&f);
    }
}

/* ---- subscribers --------------------------------------------------------------------------- */

TEST(events_of_any_kind_reach_those_who_can_read_them)
{
    events_seen seen = EVENTS_SEEN;
    events_fixture f;
    const micro_bytes bad[] = { { (const uint8_t *)"{", 1 },
                                { (const uint8_t *)"[]", 2 },
                                { (const uint8_t *)"{\"timestamp\":\"x\"}", 17 },
                                { (const uint8_t *)"\xff\xff", 2 } };
    const micro_bytes none = { (const uint8_t *)"", 0 };
    const events_msg msg = { micro_s("good"), 1, micro_s("") };

    REQUIRE(events_setup(&f, "http"));
    events_one_subscribe(f.sub, events_on, &seen);
    REQUIRE(CHECK_EQ_INT(micro_service_start(f.sub), MICRO_OK));
    for (size_t i = 0; i < MICRO_COUNTOF(bad); i++)
        CHECK_EQ_INT(micro_publish(f.ctx, "example.topic.pubsub.1", &micro_type_bytes, &bad[i],
                                   i == 3 ? MICRO_OPTS(micro_publish_opts,
                                                       .content_type = "application/protobuf")
                                          : NULL),
                     MICRO_OK);
    CHECK_EQ_INT(micro_publish(f.ctx, "example.topic.pubsub.1", &micro_type_bytes, &none, NULL),
                 MICRO_OK); /* a message without members */
    CHECK_EQ_INT(events_one_publish(f.ctx, &msg), MICRO_OK);
    CHECK_EQ_INT(events_wait(&seen, 2), 2);
    micro_service_stop(f.sub);
    CHECK_EQ_INT(seen.n, 2);
    CHECK(!strcmp(seen.ids[0], "good") || !strcmp(seen.ids[1], "good"));
    events_teardown(&f);
}

static const micro_endpoint *events_endpoint(micro_entries *list, size_t i)
{
    return list->len && list->ptr[0].endpoints.len > i ? &list->ptr[0].endpoints.ptr[i] : NULL;
}

TEST(events_subscribers_are_endpoints)
{
    events_seen seen = EVENTS_SEEN;
    events_fixture f;
    micro_entries list = { NULL, 0, 0 };

    REQUIRE(events_setup(&f, "http"));
    events_one_subscribe(f.sub, events_on, &seen);
    events_two_subscribe_with(f.sub, events_on, &seen,
                              MICRO_OPTS(micro_subscribe_opts, .queue = "q1"));
    micro_service_subscribe(f.sub, "hidden", &events_msg_type, events_one_receive_,
                            (micro_fn *)events_on, &seen,
                            MICRO_OPTS(micro_subscribe_opts, .internal = true));
    REQUIRE(CHECK_EQ_INT(micro_service_start(f.sub), MICRO_OK));
    CHECK_EQ_INT(micro_registry_get(f.reg, f.ctx, "go.micro.srv.pubsub", &list), MICRO_OK);
    REQUIRE(CHECK(list.len == 1 && list.ptr[0].endpoints.len == 2));
    const micro_endpoint *two = events_endpoint(&list, 0), *one = events_endpoint(&list, 1);
    CHECK_EQ_STR(two->name, "Func");
    CHECK_EQ_UINT(two->metadata.len, 3);
    CHECK_EQ_STR(two->metadata.ptr[0].key, "queue");
    CHECK_EQ_STR(two->metadata.ptr[0].value, "q1");
    CHECK_EQ_STR(two->metadata.ptr[1].key, "subscriber");
    CHECK_EQ_STR(two->metadata.ptr[1].value, "true");
    CHECK_EQ_STR(two->metadata.ptr[2].value, "example.topic.pubsub.2");
    CHECK_EQ_STR(one->metadata.ptr[1].value, "example.topic.pubsub.1");
    CHECK_EQ_UINT(one->metadata.len, 2);
    CHECK(!one->response && one->request);
    CHECK_EQ_STR(one->request->name, "Event");
    CHECK_EQ_UINT(one->request->values.len, 3);
    events_teardown(&f);
}

TEST(events_bad_subscribers_stick)
{
    static const micro_field twice[] = { MICRO_FIELD(string, events_msg, id, 1),
                                         MICRO_FIELD(string, events_msg, message, 1) };
    static const micro_type bad = {
        sizeof(micro_type), sizeof(micro_field), 2, "Bad", sizeof(events_msg), twice, 0
    };
    const micro_subscribe_opts negative = { .size_ = sizeof negative, .max_running = -7 };

    for (int i = 0; i < 6; i++) {
        events_fixture f;
        REQUIRE(events_setup(&f, "http"));
        NOTE("case %d", i);
        micro_service_subscribe(f.sub,
                                i == 0   ? NULL
                                : i == 1 ? ""
                                         : "t",
                                i == 2   ? NULL
                                : i == 3 ? &bad
                                         : &events_msg_type,
                                events_one_receive_, i == 4 ? NULL : (micro_fn *)events_on, NULL,
                                i == 5 ? &negative : NULL);
        CHECK_EQ_INT(micro_service_error(f.sub), MICRO_EINVAL);
        CHECK_EQ_INT(micro_service_start(f.sub), MICRO_EINVAL);
        events_teardown(&f);
    }
    micro_service_subscribe(NULL, "t", &events_msg_type, events_one_receive_, (micro_fn *)events_on,
                            NULL, NULL);
}

/* Posted to the port of the service, as later servers take them; and a call that only carries such
 * a header along, as those of 2018 handlers do. */
TEST(events_come_as_requests_too)
{
    static const char *const rows[] = {
        "Content-Type: application/json\r\nMicro-Topic: example.topic.pubsub.1\r\nMicro-Id: 9\r\n",
        "Content-Type: text/x\r\nMicro-Topic: example.topic.pubsub.1\r\nMicro-Id: 9\r\n",
    };
    static const char call[] = "{\"method\":\"Debug.Health\",\"params\":[{}],\"id\":1}";
    events_seen seen = EVENTS_SEEN;
    events_fixture f;
    char request[512], reply[1024];

    REQUIRE(events_setup(&f, "http"));
    events_one_subscribe(f.sub, events_on, &seen);
    events_one_subscribe(f.sub, events_on, &seen);
    REQUIRE(CHECK_EQ_INT(micro_service_start(f.sub), MICRO_OK));
    int fd = raw_connect(micro_service_address(f.sub));
    for (size_t i = 0; i < MICRO_COUNTOF(rows); i++) {
        snprintf(request, sizeof request,
                 "POST / HTTP/1.1\r\nHost: x\r\nFoo: bar\r\nContent-Length: 13\r\n%s\r\n"
                 "{\"id\":\"John\"}",
                 rows[i]);
        raw_send(fd, request);
        raw_reply(fd, reply, sizeof reply, 30000);
        CHECK(!strncmp(reply, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n", 36));
        CHECK(strstr(reply, "Micro-Id: 9\r\n"));
    }
    CHECK_EQ_INT(events_wait(&seen, 2), 2); /* both subscribers, and the readable one only */
    CHECK_EQ_TEXT(seen.ids[1], "John");
    CHECK_EQ_TEXT(seen.meta, "bar");
    raw_post(fd, "Micro-Topic: example.topic.pubsub.1\r\n", call);
    raw_reply(fd, reply, sizeof reply, 30000);
    CHECK(strstr(reply, "\"status\":\"ok\"") != NULL);
    raw_post(fd, "Micro-Topic: nobody.listens\r\n", "{}");
    raw_reply(fd, reply, sizeof reply, 30000);
    CHECK(strstr(reply, "HTTP/1.1 200 OK") != NULL);
    CHECK_EQ_INT(events_count(&seen), 2);
    close(fd);
    events_teardown(&f);
}

/* ---- middleware ---------------------------------------------------------------------------- */

typedef struct events_wrapped {
    char text[256];
} events_wrapped;

static micro_err events_wrap(micro_ctx *ctx, const micro_info *info, const void *req, void *rsp,
                             micro_next *next, void *arg)
{
    events_wrapped *w = arg;
    size_t n = strlen(w->text);
    const events_msg *msg = req;

    CHECK(!rsp && !info->endpoint);
    snprintf(w->text + n, sizeof w->text - n, "%s %s %s;",
             info->stage == MICRO_WRAP_CLIENT ? "publish" : "event", info->topic, msg->id.ptr);
    if (!strcmp(msg->id.ptr, "no"))
        return micro_fail(ctx, 403, "not this one");
    if (info->stage == MICRO_WRAP_CLIENT)
        micro_metadata_set(ctx, "Foo", "wrapped");
    return micro_next_run(next, ctx);
}

TEST(events_go_through_middleware)
{
    for (size_t i = 0; i < MICRO_COUNTOF(events_brokers); i++) {
        events_wrapped out = { "" }, in = { "" };
        events_seen seen = EVENTS_SEEN;
        events_msg msg = { micro_s("yes"), 1, micro_s("") };
        events_fixture f;
        REQUIRE(events_setup(&f, events_brokers[i]));
        micro_service_wrap(f.pub, MICRO_WRAP_CLIENT, events_wrap, &out);
        micro_service_wrap(f.sub, MICRO_WRAP_SUBSCRIBER, events_wrap, &in);
        events_one_subscribe(f.sub, events_on, &seen);
        REQUIRE(CHECK_EQ_INT(micro_service_start(f.sub), MICRO_OK));
        CHECK_EQ_INT(events_one_publish(f.ctx, &msg), MICRO_OK);
        CHECK_EQ_INT(events_wait(&seen, 1), 1);
        CHECK_EQ_TEXT(seen.meta, "wrapped");
        msg.id = micro_s("no");
        CHECK_EQ_INT(events_one_publish(f.ctx, &msg), 403);
        micro_service_stop(f.sub);
        CHECK_EQ_TEXT(out.text, "publish example.topic.pubsub.1 yes;"
                                "publish example.topic.pubsub.1 no;");
        CHECK_EQ_TEXT(in.text, "event example.topic.pubsub.1 yes;");
        CHECK_EQ_INT(seen.n, 1);
        events_teardown(&f);
    }
}

/* ---- life ---------------------------------------------------------------------------------- */

/* What was taken is handled before the service has stopped, and what its handlers publish meanwhile
 * is sent. */
static micro_err events_on_slow(micro_ctx *ctx, const events_msg *msg)
{
    micro_block_begin();
    usleep(20000);
    micro_block_end();
    return events_two_publish(ctx, msg);
}

TEST_OF_THREADS(overlap, events_stop_drains)
{
    for (size_t i = 0; i < MICRO_COUNTOF(events_brokers); i++) {
        events_seen seen = EVENTS_SEEN;
        const events_msg msg = { micro_s("x"), 1, micro_s("") };
        events_fixture f;
        REQUIRE(events_setup(&f, events_brokers[i]));
        events_one_subscribe_with(f.sub, events_on_slow, NULL,
                                  MICRO_OPTS(micro_subscribe_opts, .max_running = 2));
        micro_service *other = events_service(&f, "go.micro.srv.other");
        events_two_subscribe(other, events_on, &seen);
        REQUIRE(CHECK_EQ_INT(micro_service_start(other), MICRO_OK));
        REQUIRE(CHECK_EQ_INT(micro_service_start(f.sub), MICRO_OK));
        for (int k = 0; k < 20; k++)
            CHECK_EQ_INT(events_one_publish(f.ctx, &msg), MICRO_OK);
        micro_ctx_free(f.ctx);
        f.ctx = NULL;
        micro_service_free(f.pub); /* waits until all are taken */
        f.pub = NULL;
        micro_service_stop(f.sub);
        CHECK_EQ_INT(events_wait(&seen, 20), 20);
        micro_service_free(other);
        events_teardown(&f);
    }
}

/* A broker that writes down what is asked of it, and when. */
typedef struct events_diary {
    micro_broker base;
    char text[512];
    micro_service *svc;
    micro_err subscribe;
} events_diary;

static void events_write(events_diary *d, const char *what)
{
    size_t n = strlen(d->text);

    snprintf(d->text + n, sizeof d->text - n, "%s;", what);
}

static micro_err events_diary_connect(micro_broker *b, micro_ctx *ctx, micro_service *svc)
{
    events_diary *d = (events_diary *)b;

    CHECK(micro_ctx_service(ctx) == svc);
    CHECK(*micro_service_address(svc)); /* it listens already */
    events_write(d, "connect");
    return MICRO_OK;
}

static void events_diary_disconnect(micro_broker *b, int drain_ms)
{
    events_diary *d = (events_diary *)b;
    int fd = raw_connect(micro_service_address(d->svc));

    CHECK(fd < 0); /* it does not listen any more */
    CHECK(drain_ms >= 0 && drain_ms <= 30000); /* what is left of the service's */
    if (fd >= 0)
        close(fd);
    events_write(d, "disconnect");
}

static micro_err events_diary_subscribe(micro_broker *b, micro_ctx *ctx, const char *topic,
                                        const micro_subscribe_opts *opts, micro_event_fn *event,
                                        void *arg, micro_sub **out)
{
    events_diary *d = (events_diary *)b;

    (void)ctx, (void)topic, (void)event, (void)arg;
    CHECK_EQ_TEXT(opts->queue, "q");
    CHECK_EQ_INT(opts->max_running, 3);
    events_write(d, "subscribe");
    *out = (micro_sub *)(void *)d;
    return d->subscribe;
}

static micro_err events_diary_unsubscribe(micro_broker *b, micro_sub *sub, int drain_ms)
{
    events_diary *d = (events_diary *)b;

    CHECK((void *)sub == (void *)d && drain_ms > 0 && drain_ms <= 5000);
    events_write(d, "unsubscribe");
    return MICRO_OK;
}

static const micro_broker_ops events_diary_ops = { .size_ = sizeof(micro_broker_ops),
                                                   .name = "diary",
                                                   .connect = events_diary_connect,
                                                   .disconnect = events_diary_disconnect,
                                                   .subscribe = events_diary_subscribe,
                                                   .unsubscribe = events_diary_unsubscribe };

static micro_err events_hook(micro_service *svc, void *arg)
{
    events_diary *d = arg;
    micro_ctx *ctx = micro_ctx_new(NULL);
    micro_entries list = { NULL, 0, 0 };
    micro_err err =
        micro_registry_get(micro_service_registry(svc), ctx, "go.micro.srv.pubsub", &list);

    events_write(d, err == MICRO_OK ? "registered" : "not registered");
    if (err == MICRO_OK)
        for (size_t i = 0; i < list.ptr[0].nodes.ptr[0].metadata.len; i++)
            if (micro_str_eq(list.ptr[0].nodes.ptr[0].metadata.ptr[i].key, micro_s("broker")))
                CHECK_EQ_STR(list.ptr[0].nodes.ptr[0].metadata.ptr[i].value, "diary");
    micro_ctx_free(ctx);
    return MICRO_OK;
}

TEST(events_connect_after_listening_and_disconnect_last)
{
    for (int fails = 0; fails < 2; fails++) {
        events_diary d = { .base = { &events_diary_ops },
                           .subscribe = fails ? MICRO_EIO : MICRO_OK };
        events_seen seen = EVENTS_SEEN;
        events_fixture f;
        NOTE("subscribing %s", fails ? "fails" : "works");
        memset(&f, 0, sizeof f);
        f.reg = micro_registry_memory_new();
        f.broker = &d.base;
        f.sub = d.svc = events_service(&f, "go.micro.srv.pubsub");
        for (int when = MICRO_BEFORE_START; when <= MICRO_AFTER_STOP; when++)
            micro_service_on(f.sub, (enum micro_moment)when, events_hook, &d);
        events_one_subscribe_with(f.sub, events_on, &seen,
                                  MICRO_OPTS(micro_subscribe_opts, .queue = "q", .max_running = 3));
        CHECK_EQ_INT(micro_service_start(f.sub), fails ? MICRO_EIO : MICRO_OK);
        micro_service_stop(f.sub);
        CHECK_EQ_TEXT(d.text, fails ? "not registered;connect;subscribe;disconnect;"
                                    : "not registered;connect;subscribe;registered;registered;"
                                      "unsubscribe;disconnect;not registered;");
        micro_service_free(f.sub);
        micro_registry_free(f.reg);
    }
}

#define EVENTS_ARGV(argv) ((char **)(uintptr_t)(argv))

TEST(events_broker_by_flag)
{
    const char *argv[] = { "p", "--broker", "http", "--broker_address", "127.0.0.1:0", NULL };
    const char *memory[] = { "p", "--broker=memory", NULL };
    const char *none[] = { "p", "--broker=nats", NULL };
    const char *nowhere[] = { "p", "--broker_address", "256.1.1.1:x", NULL };
    micro_registry *reg = micro_registry_memory_new();
    micro_broker *mine = micro_broker_memory_new();
    events_seen seen = EVENTS_SEEN;

    micro_service *svc =
        micro_service_new(.name = "s", .registry = reg, .broker = mine, .address = "127.0.0.1:0",
                          .argc = 5, .argv = EVENTS_ARGV(argv));
    micro_broker *b = micro_service_broker(svc);
    CHECK(b && b != mine);
    CHECK_EQ_TEXT(b->ops->name, "http");
    events_one_subscribe(svc, events_on, &seen);
    CHECK_EQ_INT(micro_service_start(svc), MICRO_OK);
    CHECK(!strncmp(b->ops->address(b), "127.0.0.1:", 10));
    micro_service_free(svc);
    svc = micro_service_new(.name = "s", .registry = reg, .argc = 2, .argv = EVENTS_ARGV(memory));
    CHECK_EQ_TEXT(micro_service_broker(svc)->ops->name, "memory");
    micro_service_free(svc);
    svc = micro_service_new(.name = "s", .registry = reg, .argc = 2, .argv = EVENTS_ARGV(none));
    CHECK_EQ_INT(micro_service_error(svc), MICRO_EUSAGE);
    micro_service_free(svc);
    svc = micro_service_new(.name = "s", .registry = reg, .address = "127.0.0.1:0", .argc = 3,
                            .argv = EVENTS_ARGV(nowhere));
    events_one_subscribe(svc, events_on, &seen);
    CHECK_EQ_INT(micro_service_start(svc), MICRO_EINVAL);
    micro_service_free(svc);
    micro_broker_free(mine);
    micro_registry_free(reg);
}

/* ---- without memory ------------------------------------------------------------------------ */

/* Whatever request for memory fails: the event comes, or somebody is told; nothing is leaked. */
TEST(events_without_memory)
{
    for (size_t i = 0; i < MICRO_COUNTOF(events_brokers); i++) {
        bool whole = false;
        size_t at = 0;
        while (!whole && at < 2000) {
            events_seen seen = EVENTS_SEEN;
            const events_msg msg = { micro_s("x"), 1, micro_s("") };
            events_fixture f = { 0 };
            at += at < 60 ? 1 : 7;
            NOTE("%s, request %zu fails", events_brokers[i], at);
            failing_begin(at);
            failing.once = true;
            f.reg = micro_registry_memory_new();
            f.broker = i ? micro_broker_memory_new() : NULL;
            f.sub = events_service(&f, "go.micro.srv.pubsub");
            f.ctx = micro_ctx_new(f.sub);
            events_one_subscribe(f.sub, events_on, &seen);
            micro_err err = micro_service_start(f.sub);
            if (err == MICRO_OK)
                err = events_one_publish(f.ctx, &msg);
            for (long long until = raw_ms() + 30000; err == MICRO_OK && raw_ms() < until &&
                                                     !events_count(&seen) && failing_calls() < at;)
                raw_sleep(1);
            if (err == MICRO_OK && failing_calls() < at)
                CHECK_EQ_INT(events_count(&seen), 1);
            events_teardown(&f);
            micro__ctx_spare_free(); /* where there was no service to do it */
            whole = failing_end();
        }
        CHECK(whole);
    }
}

/* ---- functions ----------------------------------------------------------------------------- */

static void *events_run(void *svc)
{
    CHECK_EQ_INT(micro_service_run(svc), MICRO_OK);
    return NULL;
}

/* A function ends after one event, which counts for both kinds of work. */
TEST_OF_THREADS(own, events_function_ends_after_one)
{
    for (size_t i = 0; i < MICRO_COUNTOF(events_brokers); i++) {
        events_seen seen = EVENTS_SEEN;
        const events_msg msg = { micro_s("x"), 1, micro_s("") };
        events_fixture f;
        pthread_t thread;
        micro_err err = MICRO_ENOTFOUND;
        REQUIRE(events_setup(&f, events_brokers[i]));
        micro_service_free(f.sub);
        f.sub =
            micro_service_new(.name = "go.micro.fnc.once", .registry = f.reg, .broker = f.broker,
                              .address = "127.0.0.1:0", .loops = 2, .function = true);
        events_one_subscribe(f.sub, events_on, &seen);
        pthread_create(&thread, NULL, events_run, f.sub);
        for (long long until = raw_ms() + 30000; err == MICRO_ENOTFOUND && raw_ms() < until;)
            err = events_one_publish(f.ctx, &msg);
        CHECK_EQ_INT(err, MICRO_OK);
        pthread_join(thread, NULL);
        CHECK_EQ_INT(seen.n, 1);
        CHECK_EQ_INT(events_one_publish(f.ctx, &msg), MICRO_ENOTFOUND);
        events_teardown(&f);
    }
}
