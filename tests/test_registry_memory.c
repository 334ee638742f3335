/* SPDX-License-Identifier: MIT */
/* Watchers of a registry, and the memory registry. */
#include "registry_help.h"

/* ---- watchers ---------------------------------------------------------------------------------*/

typedef struct regtest_log {
    micro_registry *reg;
    micro_ctx *ctx;
    micro_watch *watch, *other;
    char text[400];
    int unwatch_at; /* in the callback of that number */
    int events;
    const char *put; /* from the first callback */
} regtest_log;

/* "+name/id " created, "~" updated, "-" deleted */
static void regtest_note_event(void *arg, enum micro_change what, const micro_entry *entry)
{
    regtest_log *log = arg;
    size_t at = strlen(log->text);
    snprintf(log->text + at, sizeof log->text - at, "%c%s/%s ", "+~-"[what], entry -> name.ptr,
             entry->nodes.len ? entry->nodes.ptr[0].id.ptr : "");
    log->events++;
    if (log->put) {
        const char *id = log->put;
        log->put = NULL;
        CHECK_EQ_INT(regtest_put(log->reg, log->ctx, "s", "1", id, "h:9", 0), MICRO_OK);
        at = strlen(log->text);
        snprintf(log->text + at, sizeof log->text - at, "| ");
    }
    if (log->events == log->unwatch_at)
        micro_registry_unwatch(log->reg, log->watch);
    if (log->other)
        micro_registry_unwatch(log->reg, log->other);
    log->other = NULL;
}

TEST(registry_memory_watch)
{
    micro_registry *reg = micro_registry_memory_new();
    micro_ctx *ctx = micro_ctx_new(NULL);
    regtest_log all = { .reg = reg, .ctx = ctx }, one = all;
    REQUIRE(reg && ctx);
    CHECK_EQ_INT(regtest_put(reg, ctx, "s", "1", "old", "h:1", 0), MICRO_OK);
    REQUIRE(!micro_registry_watch(reg, NULL, regtest_note_event, &all, &all.watch));
    REQUIRE(!micro_registry_watch(reg, "t", regtest_note_event, &one, &one.watch));
    CHECK_EQ_INT(regtest_put(reg, ctx, "s", "1", "n1", "h:1", 0), MICRO_OK);
    CHECK_EQ_INT(regtest_put(reg, ctx, "s", "1", "n1", "h:1", 0), MICRO_OK); /* a refresh */
    CHECK_EQ_INT(regtest_put(reg, ctx, "s", "1", "n1", "h:2", 0), MICRO_OK);
    CHECK_EQ_INT(regtest_put(reg, ctx, "t", "1", "n1", "h:3", 0), MICRO_OK);
    CHECK_EQ_INT(regtest_del(reg, ctx, "s", "n1"), MICRO_OK);
    CHECK_EQ_INT(regtest_del(reg, ctx, "s", "n1"), MICRO_OK);
    CHECK_EQ_TEXT(all.text, "+s/n1 ~s/n1 +t/n1 -s/n1 ");
    CHECK_EQ_TEXT(one.text, "+t/n1 ");
    micro_registry_unwatch(reg, all.watch);
    CHECK_EQ_INT(regtest_del(reg, ctx, "t", "n1"), MICRO_OK);
    CHECK_EQ_TEXT(all.text, "+s/n1 ~s/n1 +t/n1 -s/n1 ");
    CHECK_EQ_TEXT(one.text, "+t/n1 -t/n1 ");
    micro_registry_unwatch(reg, one.watch);
    micro_ctx_free(ctx);
    micro_registry_free(reg);
}

TEST(registry_callback_puts)
{
    micro_registry *reg = micro_registry_memory_new();
    micro_ctx *ctx = micro_ctx_new(NULL);
    regtest_log log = { .reg = reg, .ctx = ctx, .put = "inner" };
    REQUIRE(reg && ctx);
    REQUIRE(!micro_registry_watch(reg, "s", regtest_note_event, &log, &log.watch));
    CHECK_EQ_INT(regtest_put(reg, ctx, "s", "1", "outer", "h:1", 0), MICRO_OK);
    CHECK_EQ_TEXT(log.text, "+s/outer | +s/inner "); /* one after the other, not one in the other */
    micro_registry_unwatch(reg, log.watch);
    micro_ctx_free(ctx);
    micro_registry_free(reg);
}

TEST(registry_callback_unwatches)
{
    micro_registry *reg = micro_registry_memory_new();
    micro_ctx *ctx = micro_ctx_new(NULL);
    regtest_log self = { .reg = reg, .ctx = ctx, .unwatch_at = 1 };
    regtest_log one = { .reg = reg }, two = { .reg = reg };
    REQUIRE(reg && ctx);
    REQUIRE(!micro_registry_watch(reg, "s", regtest_note_event, &self, &self.watch));
    CHECK_EQ_INT(regtest_put(reg, ctx, "s", "1", "n1", "h:1", 0), MICRO_OK);
    CHECK_EQ_INT(regtest_put(reg, ctx, "s", "1", "n2", "h:1", 0), MICRO_OK);
    CHECK_EQ_TEXT(self.text, "+s/n1 ");
    /* whoever is called first ends the other, in both orders of registration */
    REQUIRE(!micro_registry_watch(reg, "s", regtest_note_event, &one, &one.watch));
    REQUIRE(!micro_registry_watch(reg, "s", regtest_note_event, &two, &two.watch));
    one.other = two.watch;
    two.other = one.watch;
    CHECK_EQ_INT(regtest_put(reg, ctx, "s", "1", "n3", "h:1", 0), MICRO_OK);
    CHECK_EQ_INT(one.events + two.events, 1);
    micro_registry_unwatch(reg, one.events ? one.watch : two.watch);
    micro_ctx_free(ctx);
    micro_registry_free(reg);
}

static void regtest_watch_more(void *arg, enum micro_change what, const micro_entry *entry)
{
    regtest_log *log = arg;
    (void)what, (void)entry;
    if (log->watch)
        return;
    /* an event that waits for its turn is older than the watch, too */
    CHECK_EQ_INT(regtest_put(log->reg, log->ctx, "s", "1", "n9", "h:9", 0), MICRO_OK);
    CHECK_EQ_INT(micro_registry_watch(log->reg, "s", regtest_note_event, log, &log->watch),
                 MICRO_OK);
}

TEST(registry_callback_watches)
{
    micro_registry *reg = micro_registry_memory_new();
    micro_ctx *ctx = micro_ctx_new(NULL);
    regtest_log log = { .reg = reg, .ctx = ctx };
    micro_watch *first;
    REQUIRE(reg && ctx && !micro_registry_watch(reg, "s", regtest_watch_more, &log, &first));
    CHECK_EQ_INT(regtest_put(reg, ctx, "s", "1", "n1", "h:1", 0), MICRO_OK);
    CHECK_EQ_TEXT(log.text, ""); /* that was before */
    CHECK_EQ_INT(regtest_put(reg, ctx, "s", "1", "n2", "h:1", 0), MICRO_OK);
    CHECK_EQ_TEXT(log.text, "+s/n2 ");
    micro_registry_unwatch(reg, first);
    micro_registry_unwatch(reg, log.watch);
    micro_ctx_free(ctx);
    micro_registry_free(reg);
}

typedef struct regtest_gate {
    pthread_mutex_t lock;
    pthread_cond_t cond;
    bool inside, open;
    atomic_bool left, ended;
    micro_registry *reg;
    micro_watch *watch;
} regtest_gate;

static void regtest_linger(void *arg, enum micro_change what, const micro_entry *entry)
{
    regtest_gate *g = arg;
    (void)what, (void)entry;
    pthread_mutex_lock(&g->lock);
    g->inside = true;
    pthread_cond_broadcast(&g->cond);
    while (!g->open)
        pthread_cond_wait(&g->cond, &g->lock);
    pthread_mutex_unlock(&g->lock);
    atomic_store(&g->left, true);
}

static void *regtest_put_thread(void *arg)
{
    micro_ctx *ctx = micro_ctx_new(NULL);
    CHECK_EQ_INT(regtest_put(arg, ctx, "s", "1", "n1", "h:1", 0), MICRO_OK);
    micro_ctx_free(ctx);
    return NULL;
}

static void *regtest_unwatch_thread(void *arg)
{
    regtest_gate *g = arg;
    micro_registry_unwatch(g->reg, g->watch);
    CHECK(atomic_load(&g->left)); /* it has waited for the callback */
    atomic_store(&g->ended, true);
    return NULL;
}

TEST_OF_THREADS(own, registry_unwatch_waits)
{
    regtest_gate g = { .lock = PTHREAD_MUTEX_INITIALIZER, .cond = PTHREAD_COND_INITIALIZER };
    pthread_t put, unwatch;
    micro_ctx *ctx = micro_ctx_new(NULL);
    g.reg = micro_registry_memory_new();
    REQUIRE(ctx && g.reg && !micro_registry_watch(g.reg, "s", regtest_linger, &g, &g.watch));
    REQUIRE(!pthread_create(&put, NULL, regtest_put_thread, g.reg));
    pthread_mutex_lock(&g.lock);
    while (!g.inside)
        pthread_cond_wait(&g.cond, &g.lock);
    pthread_mutex_unlock(&g.lock);
    REQUIRE(!pthread_create(&unwatch, NULL, regtest_unwatch_thread, &g));
    /* the registry goes on meanwhile; the event stays in the queue and finds no watcher */
    CHECK_EQ_INT(regtest_put(g.reg, ctx, "s", "1", "n2", "h:1", 0), MICRO_OK);
    usleep(20000);
    CHECK(!atomic_load(&g.ended));
    pthread_mutex_lock(&g.lock);
    g.open = true;
    pthread_cond_broadcast(&g.cond);
    pthread_mutex_unlock(&g.lock);
    pthread_join(put, NULL);
    pthread_join(unwatch, NULL);
    micro_ctx_free(ctx);
    micro_registry_free(g.reg);
}

TEST(registry_notify_wanted)
{
    micro__notifier *n = micro__notifier_new();
    micro_watch *w, *all;
    REQUIRE(n);
    CHECK(!micro__notify_wanted(n, micro_s("s")));
    CHECK(!micro__notify_wanted(NULL, micro_s("s")));
    REQUIRE(!micro__notify_add(n, "s", regtest_no_event, NULL, &w));
    CHECK(micro__notify_wanted(n, micro_s("s")));
    CHECK(!micro__notify_wanted(n, micro_s("t")));
    REQUIRE(!micro__notify_add(n, NULL, regtest_no_event, NULL, &all));
    CHECK(micro__notify_wanted(n, micro_s("t")));
    micro__notify_remove(n, w);
    micro__notify_remove(n, all);
    micro_entry e = regtest_entry("s", "1", NULL);
    CHECK(micro__notify_post(NULL, MICRO_CREATED, &e)); /* nobody wants it */
    micro__notify_run(NULL);
    micro__notifier_free(n);
    micro__notifier_free(NULL);
}

/* ---- the memory registry ----------------------------------------------------------------------*/

TEST(registry_memory_shared_map)
{
    micro_registry *a = micro_registry_memory_new(), *b = micro_registry_memory_new();
    micro_ctx *ctx = micro_ctx_new(NULL);
    micro_entries out;
    REQUIRE(a && b && ctx);
    CHECK_EQ_TEXT(a->ops->name, "memory");
    CHECK_EQ_INT(micro_registry_get(a, ctx, "s", &out), MICRO_ENOTFOUND);
    CHECK_EQ_INT(micro_registry_list(a, ctx, &out), MICRO_OK);
    CHECK_EQ_INT(out.len, 0);
    CHECK_EQ_INT(regtest_put(a, ctx, "s", "2", "n2", "h:2", 0), MICRO_OK);
    CHECK_EQ_INT(regtest_put(b, ctx, "s", "1", "n1", "h:1", 0), MICRO_OK);
    CHECK_EQ_INT(regtest_put(b, ctx, "s", "1", "n3", "h:3", 0), MICRO_OK);
    CHECK_EQ_INT(regtest_put(b, ctx, "r", "1", "n1", "h:1", 0), MICRO_OK);
    CHECK_EQ_INT(micro_registry_get(a, ctx, "s", &out), MICRO_OK);
    CHECK_EQ_TEXT(regtest_show(ctx, &out), "s/1: n1@h:1 n3@h:3; s/2: n2@h:2");
    CHECK_EQ_INT(micro_registry_list(b, ctx, &out), MICRO_OK);
    CHECK_EQ_TEXT(regtest_show(ctx, &out), "r/:; s/:");
    micro_registry_free(b);
    CHECK_EQ_INT(micro_registry_get(a, ctx, "r", &out), MICRO_OK);
    CHECK_EQ_INT(regtest_del(a, ctx, "s", "n1"), MICRO_OK); /* whatever its version */
    CHECK_EQ_INT(regtest_del(a, ctx, "s", "n2"), MICRO_OK);
    CHECK_EQ_INT(regtest_del(a, ctx, "nobody", "n2"), MICRO_OK);
    CHECK_EQ_INT(micro_registry_get(a, ctx, "s", &out), MICRO_OK);
    CHECK_EQ_TEXT(regtest_show(ctx, &out), "s/1: n3@h:3");
    micro_registry_free(a); /* the last one takes everything along */
    a = micro_registry_memory_new();
    CHECK_EQ_INT(micro_registry_list(a, ctx, &out), MICRO_OK);
    CHECK_EQ_INT(out.len, 0);
    micro_ctx_free(ctx);
    micro_registry_free(a);
}

static const micro_pair regtest_zone_eu[] = { { { "zone", 4 }, { "eu", 2 } } };
static const micro_pair regtest_zone_us[] = { { { "zone", 4 }, { "us", 2 } } };

TEST(registry_memory_facts)
{
    micro_registry *reg = micro_registry_memory_new();
    micro_ctx *ctx = micro_ctx_new(NULL);
    micro_node one = regtest_node("n1", "h:1"), two = regtest_node("n2", "h:2");
    micro_entry e = regtest_entry("s", "1", &one);
    regtest_log log = { .reg = reg };
    micro_entries out;
    REQUIRE(reg && ctx);
    e.metadata = (micro_pairs){ (micro_pair *)(uintptr_t)regtest_zone_eu, 1, 0 };
    CHECK_EQ_INT(micro_registry_put(reg, ctx, &e, 0), MICRO_OK);
    e.nodes.ptr = &two; /* beside another node it has no say */
    e.metadata.ptr = (micro_pair *)(uintptr_t)regtest_zone_us;
    CHECK_EQ_INT(micro_registry_put(reg, ctx, &e, 0), MICRO_OK);
    CHECK_EQ_INT(micro_registry_get(reg, ctx, "s", &out), MICRO_OK);
    CHECK_EQ_STR(out.ptr[0].metadata.ptr[0].value, "eu");
    REQUIRE(!micro_registry_watch(reg, "s", regtest_note_event, &log, &log.watch));
    CHECK_EQ_INT(micro_registry_put(reg, ctx, &e, 0), MICRO_OK); /* and changes nothing */
    CHECK_EQ_TEXT(log.text, "");
    micro_registry_unwatch(reg, log.watch);
    CHECK_EQ_INT(regtest_del(reg, ctx, "s", "n1"), MICRO_OK);
    CHECK_EQ_INT(micro_registry_put(reg, ctx, &e, 0), MICRO_OK);
    CHECK_EQ_INT(micro_registry_get(reg, ctx, "s", &out), MICRO_OK);
    CHECK_EQ_STR(out.ptr[0].metadata.ptr[0].value, "us");
    micro_ctx_free(ctx);
    micro_registry_free(reg);
}

TEST(registry_memory_ttl)
{
    micro_registry *reg = micro_registry_memory_new();
    micro_ctx *ctx = micro_ctx_new(NULL);
    regtest_log log = { .reg = reg };
    micro_entries out;
    REQUIRE(reg && ctx);
    micro__sys.clock_gettime = regtest_clock;
    REQUIRE(!micro_registry_watch(reg, NULL, regtest_note_event, &log, &log.watch));
    CHECK_EQ_INT(regtest_put(reg, ctx, "s", "1", "short", "h:1", 5000), MICRO_OK);
    CHECK_EQ_INT(regtest_put(reg, ctx, "s", "1", "long", "h:2", 60000), MICRO_OK);
    CHECK_EQ_INT(regtest_put(reg, ctx, "s", "1", "ever", "h:3", 0), MICRO_OK);
    CHECK_EQ_INT(regtest_put(reg, ctx, "t", "1", "off", "h:4", MICRO_OFF), MICRO_OK);
    atomic_fetch_add(&regtest_skew_ms, 4000);
    CHECK_EQ_INT(regtest_put(reg, ctx, "s", "1", "short", "h:1", 5000), MICRO_OK); /* refreshed */
    atomic_fetch_add(&regtest_skew_ms, 4000);
    CHECK_EQ_INT(micro_registry_get(reg, ctx, "s", &out), MICRO_OK);
    CHECK_EQ_TEXT(regtest_show(ctx, &out), "s/1: short@h:1 long@h:2 ever@h:3");
    atomic_fetch_add(&regtest_skew_ms, 2000);
    CHECK_EQ_INT(micro_registry_get(reg, ctx, "s", &out), MICRO_OK);
    CHECK_EQ_TEXT(regtest_show(ctx, &out), "s/1: long@h:2 ever@h:3");
    CHECK_EQ_TEXT(log.text, "+s/short +s/long +s/ever +t/off -s/short ");
    atomic_fetch_add(&regtest_skew_ms, 60000);
    CHECK_EQ_INT(micro_registry_list(reg, ctx, &out), MICRO_OK); /* any operation will do */
    CHECK_EQ_TEXT(log.text, "+s/short +s/long +s/ever +t/off -s/short -s/long ");
    CHECK_EQ_TEXT(regtest_show(ctx, &out), "s/:; t/:");
    micro_registry_unwatch(reg, log.watch);
    micro_ctx_free(ctx);
    micro_registry_free(reg);
}

/* ---- without memory ---------------------------------------------------------------------------*/

static void regtest_scenario(void)
{
    micro_ctx *ctx = micro_ctx_new(NULL);
    micro_registry *reg = micro_registry_memory_new();
    regtest_log log = { .reg = reg };
    micro_entries out;
    if (ctx && reg) {
        micro_err err = micro_registry_watch(reg, NULL, regtest_note_event, &log, &log.watch);
        CHECK(!err || err == MICRO_ENOMEM);
        micro_err put = regtest_put(reg, ctx, "s", "1", "n1", "h:1", 0);
        micro_err more = regtest_put(reg, ctx, "s", "1", "n2", "h:2", 0);
        CHECK((!put || put == MICRO_ENOMEM) && (!more || more == MICRO_ENOMEM));
        err = micro_registry_get(reg, ctx, "s", &out);
        if (!err) /* all or nothing */
            CHECK_EQ_INT(out.len, 1);
        if (!err)
            CHECK_EQ_INT(out.ptr[0].nodes.len, !put + !more);
        CHECK(!err || err == MICRO_ENOMEM || (err == MICRO_ENOTFOUND && put && more));
        if (log.watch)
            CHECK_EQ_INT(log.events, !put + !more); /* what was put was told */
        err = regtest_del(reg, ctx, "s", "n1");
        CHECK(!err || err == MICRO_ENOMEM);
    }
    if (reg && log.watch)
        micro_registry_unwatch(reg, log.watch);
    micro_registry_free(reg);
    micro_ctx_free(ctx);
    micro__ctx_spare_free();
}

TEST(registry_out_of_memory)
{
    bool whole = false;
    for (size_t n = 1; n < 500 && !whole; n++) {
        NOTE("request %zu fails, and all after", n);
        failing_begin(n);
        regtest_scenario();
        whole = failing_end();
        NOTE("request %zu fails alone", n);
        failing_begin(n);
        failing.once = true;
        regtest_scenario();
        failing_end();
    }
    CHECK(whole);
}

/* ---- many threads -----------------------------------------------------------------------------*/

/* ---- whoever delivers is relieved --------------------------------------------------------------
 */

typedef struct regtest_flood {
    micro_registry *reg;
    atomic_bool stop;
    atomic_int puts;
} regtest_flood;

static void *regtest_flood_run(void *arg)
{
    regtest_flood *f = arg;
    micro_ctx *ctx = micro_ctx_new(NULL);
    micro_node node = { .id = micro_s("flood"), .address = micro_s("127.0.0.1:1") };
    micro_entry e = { .name = micro_s("flood"), .nodes = { &node, 1, 1 } };

    for (int i = 0; i < 20000 && !atomic_load(&f->stop); i++) {
        micro_ignore(micro_registry_put(f->reg, ctx, &e, 0));
        micro_ignore(micro_registry_del(f->reg, ctx, &e));
        atomic_fetch_add(&f->puts, 1);
        micro_ctx_reset(ctx);
    }
    micro_ctx_free(ctx);
    return NULL;
}

static void regtest_flood_seen(void *arg, enum micro_change what, const micro_entry *e)
{
    (void)arg, (void)what, (void)e;
    usleep(200); /* it is slower than those who change things */
}

/* Others that change the registry without a pause do not keep a thread from returning. */
TEST_OF_THREADS(own, registry_change_returns_while_others_go_on)
{
    regtest_flood f = { .reg = micro_registry_memory_new() };
    micro_ctx *ctx = micro_ctx_new(NULL);
    micro_node node = { .id = micro_s("n"), .address = micro_s("127.0.0.1:2") };
    micro_entry e = { .name = micro_s("calm"), .nodes = { &node, 1, 1 } };
    micro_watch *watch;
    pthread_t thread[2];

    REQUIRE(CHECK_EQ_INT(micro_registry_watch(f.reg, NULL, regtest_flood_seen, NULL, &watch),
                         MICRO_OK));
    for (int i = 0; i < 2; i++)
        pthread_create(&thread[i], NULL, regtest_flood_run, &f);
    for (int i = 0; i < 30; i++) {
        CHECK_EQ_INT(micro_registry_put(f.reg, ctx, &e, 0), MICRO_OK);
        CHECK_EQ_INT(micro_registry_del(f.reg, ctx, &e), MICRO_OK);
    }
    CHECK(atomic_load(&f.puts) < 2 * 20000); /* they have not come to their end */
    atomic_store(&f.stop, true);
    for (int i = 0; i < 2; i++)
        pthread_join(thread[i], NULL);
    micro_registry_unwatch(f.reg, watch);
    micro_ctx_free(ctx);
    micro_registry_free(f.reg);
}

enum { REGTEST_THREADS = 4, REGTEST_ROUNDS = 200 };

typedef struct regtest_worker {
    pthread_t thread;
    micro_registry *reg;
    int number;
} regtest_worker;

/* Order of events as the watcher sees it: a node is created, then deleted, then created ... */
typedef struct regtest_order {
    atomic_int inside;
    int there[REGTEST_THREADS];
} regtest_order;

static void regtest_check_order(void *arg, enum micro_change what, const micro_entry *entry)
{
    regtest_order *o = arg;
    CHECK_EQ_INT(atomic_fetch_add(&o->inside, 1), 0); /* one at a time */
    int number = entry->nodes.ptr[0].id.ptr[0] - '0';
    o->there[number] += what == MICRO_CREATED ? 1 : -1;
    CHECK_EQ_INT(o->there[number], what == MICRO_CREATED);
    atomic_fetch_sub(&o->inside, 1);
}

static void *regtest_work(void *arg)
{
    regtest_worker *w = arg;
    micro_ctx *ctx = micro_ctx_new(NULL);
    char id[2] = { (char)('0' + w->number), 0 };
    for (int i = 0; i < REGTEST_ROUNDS; i++) {
        micro_entries out;
        micro_watch *watch;
        CHECK_EQ_INT(regtest_put(w->reg, ctx, "s", "1", id, "h:1", 0), MICRO_OK);
        CHECK_EQ_INT(micro_registry_get(w->reg, ctx, "s", &out), MICRO_OK);
        CHECK_EQ_INT(micro_registry_watch(w->reg, "s", regtest_no_event, NULL, &watch), MICRO_OK);
        CHECK_EQ_INT(regtest_del(w->reg, ctx, "s", id), MICRO_OK);
        micro_registry_unwatch(w->reg, watch);
        micro_ctx_reset(ctx);
    }
    micro_ctx_free(ctx);
    return NULL;
}

TEST_OF_THREADS(own, registry_threads)
{
    regtest_worker workers[REGTEST_THREADS];
    regtest_order order = { .inside = 0 };
    micro_watch *watch;
    micro_registry *reg = micro_registry_memory_new();
    REQUIRE(reg && !micro_registry_watch(reg, "s", regtest_check_order, &order, &watch));
    for (int i = 0; i < REGTEST_THREADS; i++) {
        workers[i].reg = reg;
        workers[i].number = i;
        REQUIRE(!pthread_create(&workers[i].thread, NULL, regtest_work, &workers[i]));
    }
    for (int i = 0; i < REGTEST_THREADS; i++)
        pthread_join(workers[i].thread, NULL);
    for (int i = 0; i < REGTEST_THREADS; i++)
        CHECK_EQ_INT(order.there[i], 0);
    micro_registry_unwatch(reg, watch);
    micro_registry_free(reg);
}
