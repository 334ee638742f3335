/* SPDX-License-Identifier: MIT */
/* Brokers: what all of them do alike. */
#include "events.h"

#include "broker/broker.h"

typedef struct broker_fixture {
    micro_registry *reg;
    micro_broker *broker;
    micro_service *svc;
    micro_ctx *ctx;
} broker_fixture;

static const char *const broker_kinds[] = { "http", "memory" };

static bool broker_setup(broker_fixture *f, const char *kind)
{
    memset(f, 0, sizeof *f);
    NOTE("%s", kind);
    f->reg = micro_registry_memory_new();
    f->broker =
        strcmp(kind, "http") ? micro_broker_memory_new() : micro_broker_http_new("127.0.0.1:0");
    f->svc = micro_service_new(.name = "broker-test", .registry = f->reg, .broker = f->broker,
                               .loops = 2);
    f->ctx = micro_ctx_new(f->svc);
    return CHECK(f->reg && f->broker && f->svc && f->ctx) &&
           CHECK(micro_service_broker(f->svc) == f->broker);
}

static void broker_teardown(broker_fixture *f)
{
    micro_ctx_free(f->ctx);
    micro_service_free(f->svc);
    micro_broker_free(f->broker);
    micro_registry_free(f->reg);
}

/* What a raw subscription has got. */
typedef struct broker_heard {
    events_seen seen;
    char body[64];
    size_t len;
    char header[512];
    micro_broker *broker; /* unsubscribes itself here */
    micro_sub *sub;
} broker_heard;

#define BROKER_HEARD \
    { \
        .seen = EVENTS_SEEN \
    }

static micro_err broker_on(void *arg, micro_ctx *ctx, const char *topic, const micro_msg *msg)
{
    broker_heard *h = arg;
    size_t n = 0;

    CHECK_EQ_TEXT(micro_ctx_info(ctx)->topic, topic);
    CHECK_EQ_INT(micro_ctx_info(ctx)->stage, MICRO_WRAP_SUBSCRIBER);
    pthread_mutex_lock(&h->seen.lock);
    h->len = msg->body.len;
    memcpy(h->body, msg->body.ptr, h->len < sizeof h->body ? h->len : sizeof h->body);
    for (size_t i = 0; i < msg->header.len; i++)
        n += (size_t)snprintf(h->header + n, sizeof h->header - n, "%s=%s;",
                              msg->header.ptr[i].key.ptr, msg->header.ptr[i].value.ptr);
    pthread_mutex_unlock(&h->seen.lock);
    if (h->broker)
        micro_broker_unsubscribe(h->broker, h->sub);
    events_note(ctx, &h->seen, micro_s(""));
    return h->seen.result;
}

static micro_sub *broker_listen(broker_fixture *f, const char *topic, const char *queue,
                                int max_running, broker_heard *h)
{
    const micro_subscribe_opts o = { .size_ = sizeof o,
                                     .queue = queue,
                                     .max_running = max_running };
    micro_sub *sub = NULL;

    CHECK_EQ_INT(micro_broker_subscribe(f->broker, f->ctx, topic, &o, broker_on, h, &sub),
                 MICRO_OK);
    return sub;
}

/* Until a handler is at it. */
static void broker_wait_running(broker_heard *h)
{
    long long until = raw_ms() + 30000;
    bool running = false;

    while (!running && raw_ms() < until) {
        pthread_mutex_lock(&h->seen.lock);
        running = h->seen.running > 0;
        pthread_mutex_unlock(&h->seen.lock);
        raw_sleep(1);
    }
    CHECK(running);
}

static micro_err broker_send(broker_fixture *f, const char *topic, const void *body, size_t len)
{
    const micro_bytes msg = { body, len };

    return micro_publish(f->ctx, topic, &micro_type_bytes, &msg, NULL);
}

/* ---- all brokers --------------------------------------------------------------------------- */

TEST(broker_delivers_bytes_as_they_are)
{
    static const char body[] = "\0a\xff\"\n{";

    for (size_t i = 0; i < MICRO_COUNTOF(broker_kinds); i++) {
        broker_heard h = BROKER_HEARD;
        broker_fixture f;
        REQUIRE(broker_setup(&f, broker_kinds[i]));
        micro_sub *sub = broker_listen(&f, "bytes", NULL, 0, &h);
        micro_metadata_set(f.ctx, "Foo", "b\"\xc3\xa4r");
        micro_metadata_set(f.ctx, "lower-case", "x");
        CHECK_EQ_INT(broker_send(&f, "bytes", body, sizeof body), MICRO_OK);
        CHECK_EQ_INT(events_wait(&h.seen, 1), 1);
        CHECK_EQ_MEM(h.body, h.len, body, sizeof body);
        CHECK(strstr(h.header, "Foo=b\"\xc3\xa4r;"));
        CHECK(strstr(h.header, "lower-case=x;"));
        CHECK(strstr(h.header, "Content-Type=application/json;"));
        CHECK(strstr(h.header, "X-Micro-From-Service=broker-test;"));
        CHECK(strstr(h.header, "Micro-Topic=bytes;"));
        CHECK(!strstr(h.header, ":topic"));
        CHECK_EQ_INT(broker_send(&f, "bytes", "", 0), MICRO_OK);
        CHECK_EQ_INT(events_wait(&h.seen, 2), 2);
        CHECK_EQ_UINT(h.len, 0);
        micro_broker_unsubscribe(f.broker, sub);
        broker_teardown(&f);
    }
}

TEST(broker_topics_are_apart_and_nobody_is_not_found)
{
    for (size_t i = 0; i < MICRO_COUNTOF(broker_kinds); i++) {
        broker_heard a = BROKER_HEARD, b = BROKER_HEARD, again = BROKER_HEARD;
        broker_fixture f;
        REQUIRE(broker_setup(&f, broker_kinds[i]));
        CHECK_EQ_INT(broker_send(&f, "one", "x", 1), MICRO_ENOTFOUND);
        CHECK_EQ_STR(micro_ctx_error(f.ctx)->detail, "not found");
        micro_sub *one = broker_listen(&f, "one", NULL, 0, &a);
        micro_sub *two = broker_listen(&f, "one.two", NULL, 0, &b);
        for (int k = 0; k < 5; k++)
            CHECK_EQ_INT(broker_send(&f, "one", "x", 1), MICRO_OK);
        CHECK_EQ_INT(broker_send(&f, "one.two", "x", 1), MICRO_OK);
        CHECK_EQ_INT(broker_send(&f, "One", "x", 1), MICRO_ENOTFOUND);
        CHECK_EQ_INT(events_wait(&a.seen, 5), 5);
        CHECK_EQ_INT(events_wait(&b.seen, 1), 1);
        micro_broker_unsubscribe(f.broker, one);
        CHECK_EQ_INT(broker_send(&f, "one", "x", 1), MICRO_ENOTFOUND);
        one = broker_listen(&f, "one", NULL, 0, &again);
        CHECK_EQ_INT(broker_send(&f, "one", "x", 1), MICRO_OK); /* heard of at once */
        CHECK_EQ_INT(events_wait(&again.seen, 1), 1);
        CHECK_EQ_INT(events_count(&a.seen), 5);
        micro_broker_unsubscribe(f.broker, one);
        micro_broker_unsubscribe(f.broker, two);
        broker_teardown(&f);
    }
}

/* Until the members of a queue have had so many events together. */
static int broker_wait_shared(broker_heard *h, int members, int events)
{
    long long until = raw_ms() + 30000;
    int n;

    do {
        raw_sleep(1);
        n = 0;
        for (int k = 0; k < members; k++)
            n += events_count(&h[k].seen);
    } while (n < events && raw_ms() < until);
    return n;
}

/* All without a queue get all events; of those that share one, one gets each. */
TEST(broker_queues_share_events)
{
    for (size_t i = 0; i < MICRO_COUNTOF(broker_kinds); i++) {
        enum { EVENTS = 60 };
        broker_heard h[6] = { BROKER_HEARD, BROKER_HEARD, BROKER_HEARD,
                              BROKER_HEARD, BROKER_HEARD, BROKER_HEARD };
        const char *queues[] = { NULL, NULL, "q", "q", "q", "other" };
        micro_sub *sub[6];
        broker_fixture f;
        REQUIRE(broker_setup(&f, broker_kinds[i]));
        for (int k = 0; k < 6; k++)
            sub[k] = broker_listen(&f, "shared", queues[k], 0, &h[k]);
        for (int k = 0; k < EVENTS; k++)
            CHECK_EQ_INT(broker_send(&f, "shared", "x", 1), MICRO_OK);
        CHECK_EQ_INT(events_wait(&h[0].seen, EVENTS), EVENTS);
        CHECK_EQ_INT(events_wait(&h[1].seen, EVENTS), EVENTS);
        CHECK_EQ_INT(events_wait(&h[5].seen, EVENTS), EVENTS);
        CHECK_EQ_INT(broker_wait_shared(&h[2], 3, EVENTS), EVENTS);
        for (int k = 0; k < 6; k++)
            micro_broker_unsubscribe(f.broker, sub[k]);
        CHECK_EQ_INT(h[2].seen.n + h[3].seen.n + h[4].seen.n, EVENTS);
        for (int k = 2; k < 5; k++)
            CHECK(h[k].seen.n > 0); /* chance: once in 10^10 */
        broker_teardown(&f);
    }
}

static micro_err broker_on_number(void *arg, micro_ctx *ctx, const char *topic,
                                  const micro_msg *msg)
{
    broker_heard *h = arg;
    int number;

    (void)topic;
    memcpy(&number, msg->body.ptr, sizeof number);
    if (number != h->seen.n)
        h->seen.result = MICRO_EPROTO;
    if (number % 100 == 0)
        raw_sleep(1);
    events_note(ctx, &h->seen, micro_s(""));
    return MICRO_OK;
}

/* 10 000, as fast as they are taken: none is lost, and with max_running 1 all are in order. */
TEST(broker_keeps_the_order)
{
    for (size_t i = 0; i < MICRO_COUNTOF(broker_kinds); i++) {
        enum { EVENTS = 10000 };
        const micro_subscribe_opts o = { .size_ = sizeof o, .max_running = 1 };
        broker_heard h = BROKER_HEARD;
        micro_sub *sub;
        broker_fixture f;
        int failed = 0;
        REQUIRE(broker_setup(&f, broker_kinds[i]));
        CHECK_EQ_INT(
            micro_broker_subscribe(f.broker, f.ctx, "order", &o, broker_on_number, &h, &sub),
            MICRO_OK);
        for (int k = 0; k < EVENTS; k++)
            failed += broker_send(&f, "order", &k, sizeof k) != MICRO_OK;
        CHECK_EQ_INT(failed, 0);
        CHECK_EQ_INT(events_wait(&h.seen, EVENTS), EVENTS);
        CHECK_EQ_INT(h.seen.result, MICRO_OK);
        CHECK_EQ_INT(h.seen.most, 1);
        micro_broker_unsubscribe(f.broker, sub);
        broker_teardown(&f);
    }
}

TEST_OF_THREADS(overlap, broker_runs_so_many_at_once)
{
    for (size_t i = 0; i < MICRO_COUNTOF(broker_kinds); i++) {
        broker_heard h = BROKER_HEARD;
        broker_fixture f;
        REQUIRE(broker_setup(&f, broker_kinds[i]));
        micro_sub *sub = broker_listen(&f, "slow", NULL, 3, &h);
        atomic_store(&h.seen.sleep_ms, 20);
        for (int k = 0; k < 30; k++)
            CHECK_EQ_INT(broker_send(&f, "slow", "x", 1), MICRO_OK);
        CHECK_EQ_INT(events_wait(&h.seen, 30), 30);
        CHECK_EQ_INT(h.seen.most, 3);
        micro_broker_unsubscribe(f.broker, sub);
        broker_teardown(&f);
    }
}

/* unsubscribe waits for what was taken; nothing is called after it. */
TEST_OF_THREADS(overlap, broker_unsubscribe_waits)
{
    for (size_t i = 0; i < MICRO_COUNTOF(broker_kinds); i++) {
        broker_heard h = BROKER_HEARD;
        broker_fixture f;
        REQUIRE(broker_setup(&f, broker_kinds[i]));
        micro_sub *sub = broker_listen(&f, "slow", NULL, 1, &h);
        atomic_store(&h.seen.sleep_ms, 20);
        for (int k = 0; k < 5; k++)
            CHECK_EQ_INT(broker_send(&f, "slow", "x", 1), MICRO_OK);
        broker_wait_running(&h);
        micro_broker_unsubscribe(f.broker, sub);
        int n = events_count(&h.seen);
        CHECK(n >= 1);
        CHECK(!h.seen.canceled && !h.seen.running);
        raw_sleep(50);
        CHECK_EQ_INT(events_count(&h.seen), n);
        broker_teardown(&f);
    }
}

/* At the deadline what runs is canceled. */
TEST_OF_THREADS(overlap, broker_unsubscribe_cancels)
{
    for (size_t i = 0; i < MICRO_COUNTOF(broker_kinds); i++) {
        broker_heard h = BROKER_HEARD;
        broker_fixture f;
        REQUIRE(broker_setup(&f, broker_kinds[i]));
        micro_sub *sub = broker_listen(&f, "slow", NULL, 1, &h);
        atomic_store(&h.seen.sleep_ms, 60000);
        for (int k = 0; k < 5; k++)
            CHECK_EQ_INT(broker_send(&f, "slow", "x", 1), MICRO_OK);
        broker_wait_running(&h);
        micro_err err = micro__broker_unsubscribe(f.broker, sub, 10);
        CHECK(err == MICRO_OK || err == MICRO_ETIMEDOUT); /* on a busy machine */
        CHECK_EQ_INT(events_wait(&h.seen, 1), 1);
        CHECK(h.seen.canceled);
        raw_sleep(20);
        CHECK_EQ_INT(events_count(&h.seen), 1); /* what waited is dropped */
        broker_teardown(&f);
    }
}

TEST(broker_unsubscribes_in_its_own_callback)
{
    for (size_t i = 0; i < MICRO_COUNTOF(broker_kinds); i++) {
        broker_heard h = BROKER_HEARD;
        broker_fixture f;
        REQUIRE(broker_setup(&f, broker_kinds[i]));
        h.sub = broker_listen(&f, "once", NULL, 1, &h);
        h.broker = f.broker;
        CHECK_EQ_INT(broker_send(&f, "once", "x", 1), MICRO_OK);
        CHECK_EQ_INT(events_wait(&h.seen, 1), 1);
        CHECK_EQ_INT(broker_send(&f, "once", "x", 1), MICRO_ENOTFOUND);
        broker_teardown(&f);
    }
}

TEST(broker_refuses_what_makes_no_sense)
{
    for (size_t i = 0; i < MICRO_COUNTOF(broker_kinds); i++) {
        const micro_subscribe_opts negative = { .size_ = sizeof negative, .max_running = -2 };
        micro_broker *other = micro_broker_memory_new();
        broker_heard h = BROKER_HEARD;
        broker_fixture f;
        micro_sub *sub;
        REQUIRE(broker_setup(&f, broker_kinds[i]));
        micro_ctx *bare = micro_ctx_new(NULL);
        CHECK_EQ_INT(micro_broker_subscribe(NULL, f.ctx, "t", NULL, broker_on, &h, &sub),
                     MICRO_ENOMEM);
        CHECK_EQ_INT(micro_broker_subscribe(f.broker, NULL, "t", NULL, broker_on, &h, &sub),
                     MICRO_ENOMEM);
        CHECK_EQ_INT(micro_broker_subscribe(f.broker, bare, "t", NULL, broker_on, &h, &sub),
                     MICRO_EINVAL);
        CHECK_EQ_INT(micro_broker_subscribe(other, f.ctx, "t", NULL, broker_on, &h, &sub),
                     MICRO_EINVAL);
        CHECK_EQ_INT(micro_broker_subscribe(f.broker, f.ctx, "", NULL, broker_on, &h, &sub),
                     MICRO_EINVAL);
        CHECK_EQ_INT(micro_broker_subscribe(f.broker, f.ctx, "t", NULL, NULL, &h, &sub),
                     MICRO_EINVAL);
        CHECK_EQ_INT(micro_broker_subscribe(f.broker, f.ctx, "t", &negative, broker_on, &h, &sub),
                     MICRO_EINVAL);
        CHECK(!sub);
        micro_broker_unsubscribe(f.broker, NULL);
        micro_broker_unsubscribe(NULL, NULL);
        micro_broker_free(NULL);
        micro_ctx_free(bare);
        micro_broker_free(other);
        broker_teardown(&f);
    }
}

/* ---- services of different kinds ------------------------------------------------------------- */

typedef struct broker_place {
    pthread_t thread; /* of the handler */
    atomic_int n;
} broker_place;

static micro_err broker_note_place(micro_ctx *ctx, const events_msg *msg)
{
    broker_place *place = micro_ctx_state(ctx);

    (void)msg;
    place->thread = pthread_self();
    atomic_fetch_add(&place->n, 1);
    return MICRO_OK;
}

static void broker_send_to(micro_service *from, micro_service *polled, broker_place *to, int want)
{
    const events_msg m = { .id = micro_s("1") };
    micro_ctx *ctx = micro_ctx_new(from);

    CHECK_EQ_INT(events_one_publish(ctx, &m), MICRO_OK);
    for (int i = 0; i < 10000 && atomic_load(&to->n) < want; i++) {
        micro_err err = micro_poll(polled, 1);
        if (err != MICRO_OK && err != MICRO_EAGAIN)
            raw_sleep(1); /* threads drive it */
    }
    CHECK_EQ_INT(atomic_load(&to->n), want);
    micro_ctx_free(ctx);
}

/* One that the program drives and one that threads drive have a memory broker in common: handlers
 * run where their own service's do, whoever was there first, and go on when the other has gone. */
TEST_OF_THREADS(own, broker_memory_is_for_services_of_any_kind)
{
    for (int first = 0; first < 2; first++) {
        micro_registry *reg = micro_registry_memory_new();
        micro_broker *broker = micro_broker_memory_new();
        broker_place places[2] = { { .n = 0 }, { .n = 0 } };
        micro_service *svc[2];
        for (int k = 0; k < 2; k++) {
            int i = k ^ first; /* 0: driven by us */
            svc[i] = micro_service_new(.name = i ? "threads" : "polled", .registry = reg,
                                       .broker = broker, .address = "127.0.0.1:0",
                                       .loops = i ? 1 : MICRO_OFF, .drain_ms = 1000);
            events_one_subscribe_with(svc[i], broker_note_place, &places[i],
                                      MICRO_OPTS(micro_subscribe_opts, .queue = NULL));
            REQUIRE(CHECK_EQ_INT(micro_service_start(svc[i]), MICRO_OK));
        }
        for (int from = 0; from < 2; from++) {
            broker_send_to(svc[from], svc[0], &places[0], from + 1);
            CHECK_EQ_INT(raw_until(&places[1].n, from + 1), from + 1);
            CHECK(pthread_equal(places[0].thread, pthread_self()));
            CHECK(!pthread_equal(places[1].thread, pthread_self()));
        }
        micro_service_free(svc[first]);
        broker_send_to(svc[!first], svc[!first], &places[!first], 3);
        CHECK_EQ_INT(atomic_load(&places[first].n), 2);
        micro_service_free(svc[!first]);
        micro_broker_free(broker);
        micro_registry_free(reg);
    }
}

enum { BROKER_FLOOD = 6000 }; /* more than wait for a subscriber */

typedef struct broker_queue {
    micro_service *from;
    pthread_t thread; /* where handlers are to run */
    atomic_int n, elsewhere, sent;
} broker_queue;

static micro_err broker_count_place(micro_ctx *ctx, const events_msg *msg)
{
    broker_queue *q = micro_ctx_state(ctx);

    (void)msg;
    atomic_fetch_add(&q->n, 1);
    atomic_fetch_add(&q->elsewhere, !pthread_equal(q->thread, pthread_self()));
    return MICRO_OK;
}

static void *broker_flood(void *arg)
{
    broker_queue *q = arg;
    const events_msg m = { .id = micro_s("1") };
    micro_ctx *ctx = micro_ctx_new(q->from);

    while (atomic_load(&q->sent) < BROKER_FLOOD) {
        micro_err err = events_one_publish(ctx, &m);
        if (err == MICRO_OK)
            atomic_fetch_add(&q->sent, 1);
        else if (!CHECK_EQ_INT(err, MICRO_EAGAIN)) /* nobody has polled for long */
            break;
        micro_ctx_reset(ctx);
    }
    micro_ctx_free(ctx);
    return NULL;
}

/* Whoever publishes while the queue is full waits, and leaves the loop to the thread that drives
 * it. */
TEST_OF_THREADS(own, broker_memory_full_queue_is_left_to_its_own_thread)
{
    micro_registry *reg = micro_registry_memory_new();
    micro_broker *broker = micro_broker_memory_new();
    broker_queue q = { .thread = pthread_self() };
    micro_service *polled =
        micro_service_new(.name = "polled", .registry = reg, .broker = broker,
                          .address = "127.0.0.1:0", .loops = MICRO_OFF, .drain_ms = 1000);
    pthread_t thread;

    q.from = micro_service_new(.name = "from", .registry = reg, .broker = broker,
                               .address = "127.0.0.1:0", .loops = 1, .drain_ms = 1000);
    events_one_subscribe(polled, broker_count_place, &q);
    REQUIRE(CHECK_EQ_INT(micro_service_start(polled), MICRO_OK));
    REQUIRE(CHECK_EQ_INT(micro_service_start(q.from), MICRO_OK));
    REQUIRE(!pthread_create(&thread, NULL, broker_flood, &q));
    for (int last = -1; last != atomic_load(&q.sent);) { /* until it waits */
        last = atomic_load(&q.sent);
        raw_sleep(100);
    }
    CHECK(atomic_load(&q.sent) < BROKER_FLOOD);
    for (int i = 0; i < 20000 && atomic_load(&q.n) < BROKER_FLOOD; i++)
        micro_ignore(micro_poll(polled, 1));
    pthread_join(thread, NULL);
    CHECK_EQ_INT(atomic_load(&q.n), BROKER_FLOOD);
    CHECK_EQ_INT(atomic_load(&q.elsewhere), 0);
    micro_service_free(q.from);
    micro_service_free(polled);
    micro_broker_free(broker);
    micro_registry_free(reg);
}

/* ---- a broker of the program's own ---------------------------------------------------------- */

static const micro_broker_ops broker_nothing_ops = { .size_ = sizeof(micro_broker_ops),
                                                     .name = "nothing" };

TEST(broker_without_ops_is_not_supported)
{
    micro_broker nothing = { &broker_nothing_ops };
    micro_registry *reg = micro_registry_memory_new();
    micro_service *svc = micro_service_new(.name = "t", .registry = reg, .broker = &nothing,
                                           .address = "127.0.0.1:0");
    micro_ctx *ctx = micro_ctx_new(svc);
    broker_heard h = BROKER_HEARD;
    micro_sub *sub;

    CHECK_EQ_INT(micro_publish(ctx, "t", &micro_type_empty, &h, NULL), MICRO_ENOSYS);
    CHECK_EQ_STR(micro_ctx_error(ctx)->detail, "broker nothing cannot publish");
    CHECK_EQ_INT(micro_broker_subscribe(&nothing, ctx, "t", NULL, broker_on, &h, &sub),
                 MICRO_ENOSYS);
    micro_broker_free(&nothing);
    CHECK_EQ_INT(micro_service_start(svc), MICRO_OK); /* nobody needs it */
    micro_ctx_free(ctx);
    micro_service_free(svc);
    micro_registry_free(reg);
}

TEST(broker_receivers_are_chosen_fairly)
{
    int got[5] = { 0 };

    for (int turn = 0; turn < 3000; turn++) {
        micro__receiver list[] = { { micro_s("q"), true, false, NULL },
                                   { micro_s(""), false, false, NULL },
                                   { micro_s("q"), false, false, NULL },
                                   { micro_s("r"), false, false, NULL },
                                   { micro_s("q"), true, false, NULL } };
        micro__receivers_choose(list, 5);
        for (int i = 0; i < 5; i++)
            got[i] += list[i].chosen;
    }
    CHECK_EQ_INT(got[0] + got[4], 3000); /* one of the two that can be reached */
    CHECK(got[0] > 1000 && got[4] > 1000);
    CHECK_EQ_INT(got[1], 3000);
    CHECK_EQ_INT(got[2], 0);
    CHECK_EQ_INT(got[3], 3000); /* none can: an error, then */
    micro__receivers_choose(NULL, 0);
}
