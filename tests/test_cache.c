/* SPDX-License-Identifier: MIT */
/* The cache selector: when it asks the registry, and what it makes of answers and events. */
#include "fake_registry.h"

TEST(cache_asks_once)
{
    const micro_registry_ops *const ops[] = { &seltest_watched_ops, &seltest_plain_ops };
    for (size_t k = 0; k < MICRO_COUNTOF(ops); k++) {
        seltest_world w;
        NOTE("ops %zu", k);
        REQUIRE(seltest_begin(&w, ops[k], 0));
        seltest_add(&w.reg, "s", "1", "n1", "h:1");
        seltest_add(&w.reg, "s", "2", "n2", "h:2");
        for (int i = 0; i < 100; i++)
            CHECK_EQ_TEXT(seltest_select(w.sel, w.ctx, "s"), "n1@h:1 n2@h:2");
        CHECK_EQ_INT(w.reg.gets, 1);
        CHECK_EQ_INT(w.reg.firsts, 0);
        CHECK_EQ_INT(w.reg.watches, k == 0);
        seltest_end(&w);
    }
}

TEST(cache_many_names)
{
    enum { N = 300 };
    static char names[N][16];
    seltest_world w;
    REQUIRE(seltest_begin(&w, &seltest_watched_ops, 0));
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < N; i++) {
            snprintf(names[i], sizeof names[i], "svc%d", i);
            w.reg.nodes[0] = (seltest_node){ names[i], "1", names[i], "h:1", NULL, NULL };
            w.reg.len = 1;
            CHECK_EQ_TEXT(seltest_select(w.sel, w.ctx, names[i]),
                          micro_format(w.ctx, "%s@h:1", names[i]).ptr);
        }
    }
    CHECK_EQ_INT(w.reg.gets, N);
    seltest_end(&w);
}

typedef struct seltest_caller {
    pthread_t thread;
    seltest_world *world;
    micro_ctx *ctx;
    const char *service;
    atomic_int err; /* 1: not yet */
} seltest_caller;

static void *seltest_call(void *arg)
{
    seltest_caller *c = arg;
    const micro_nodes *nodes;
    micro_err err = micro__selector_select(c->world->sel, c->ctx, c->service, &nodes);
    micro__selector_release(c->world->sel, nodes);
    atomic_store(&c->err, err);
    return NULL;
}

static void seltest_start(seltest_caller *c, seltest_world *w, const char *service)
{
    c->world = w;
    c->service = service;
    c->ctx = micro_ctx_new(NULL);
    atomic_store(&c->err, 1);
    CHECK(c->ctx && !pthread_create(&c->thread, NULL, seltest_call, c));
}

static micro_err seltest_finish(seltest_caller *c)
{
    pthread_join(c->thread, NULL);
    micro_ctx_free(c->ctx);
    return atomic_load(&c->err);
}

/* How many wait for somebody else's question. */
static size_t seltest_waiting(seltest_world *w)
{
    micro__cache *c = (micro__cache *)w->sel;
    size_t n = 0;
    micro__lock(&c->lock);
    for (const micro__cache_query *q = c->queries; q; q = q->next)
        n += q->waiting;
    micro__unlock(&c->lock);
    return n;
}

static bool seltest_wait_for(seltest_world *w, size_t n)
{
    for (int i = 0; i < 5000 && seltest_waiting(w) < n; i++)
        usleep(1000);
    return seltest_waiting(w) == n;
}

TEST_OF_THREADS(own, cache_one_question_in_flight)
{
    enum { N = 8 };
    static const micro_err fails[] = { MICRO_OK, MICRO_EIO, MICRO_ENOTFOUND };
    for (size_t k = 0; k < MICRO_COUNTOF(fails); k++) {
        seltest_world w;
        seltest_caller callers[N], other;
        NOTE("the registry answers %s", micro_strerror(fails[k]));
        REQUIRE(seltest_begin(&w, &seltest_watched_ops, 0));
        seltest_add(&w.reg, "s", "1", "n1", "h:1");
        seltest_add(&w.reg, "t", "1", "n1", "h:1");
        seltest_set_closed(&w.reg, true);
        for (int i = 0; i < N; i++)
            seltest_start(&callers[i], &w, "s");
        CHECK(seltest_wait_for(&w, N - 1));
        seltest_start(&other, &w, "t"); /* another name does not wait for this one */
        CHECK(seltest_until(&w.reg, &w.reg.inside, 2));
        CHECK_EQ_INT(w.reg.gets, 2);
        seltest_set_fail(&w.reg, fails[k]);
        seltest_set_closed(&w.reg, false);
        for (int i = 0; i < N; i++)
            CHECK_EQ_INT(seltest_finish(&callers[i]), fails[k]);
        CHECK_EQ_INT(seltest_finish(&other), fails[k]);
        CHECK_EQ_INT(w.reg.gets, 2);
        seltest_end(&w);
    }
}

TEST_OF_THREADS(own, cache_others_take_over)
{
    seltest_world w;
    seltest_caller first, second;
    REQUIRE(seltest_begin(&w, &seltest_watched_ops, 0));
    seltest_add(&w.reg, "s", "1", "n1", "h:1");
    seltest_set_closed(&w.reg, true);
    seltest_start(&first, &w, "s");
    CHECK(seltest_until(&w.reg, &w.reg.gets, 1));
    seltest_start(&second, &w, "s");
    CHECK(seltest_wait_for(&w, 1));
    micro_ctx_cancel(first.ctx); /* whoever asked gives up: the other one asks */
    CHECK_EQ_INT(seltest_finish(&first), MICRO_ECANCELED);
    CHECK(seltest_until(&w.reg, &w.reg.gets, 2));
    seltest_set_closed(&w.reg, false);
    CHECK_EQ_INT(seltest_finish(&second), MICRO_OK);
    CHECK_EQ_INT(w.reg.gets, 2);
    CHECK_EQ_INT(w.reg.most, 1);
    seltest_end(&w);
}

TEST_OF_THREADS(own, cache_waiting_ends)
{
    seltest_world w;
    seltest_caller asker, canceled, late;
    REQUIRE(seltest_begin(&w, &seltest_watched_ops, 0));
    seltest_set_closed(&w.reg, true);
    seltest_start(&asker, &w, "s");
    CHECK(seltest_until(&w.reg, &w.reg.gets, 1));
    seltest_start(&canceled, &w, "s");
    CHECK(seltest_wait_for(&w, 1));
    micro_ctx_cancel(canceled.ctx);
    CHECK_EQ_INT(seltest_finish(&canceled), MICRO_ECANCELED);
    late.world = &w;
    late.service = "s";
    late.ctx = micro_ctx_new(NULL);
    micro_ctx_set_timeout(late.ctx, 30);
    seltest_call(&late);
    CHECK_EQ_INT(atomic_load(&late.err), MICRO_ETIMEDOUT);
    CHECK_EQ_STR(micro_ctx_error(late.ctx)->detail, "timed out");
    micro_ctx_free(late.ctx);
    micro_ctx_set_timeout(w.ctx, 0); /* over before it begins: nothing is asked */
    CHECK_EQ_TEXT(seltest_select(w.sel, w.ctx, "t"), "ETIMEDOUT");
    CHECK_EQ_INT(w.reg.gets, 1);
    seltest_set_closed(&w.reg, false);
    CHECK_EQ_INT(seltest_finish(&asker), MICRO_ENOTFOUND);
    seltest_end(&w);
}

TEST(cache_unknown_names)
{
    seltest_world w;
    REQUIRE(seltest_begin(&w, &seltest_watched_ops, 0));
    for (int i = 0; i < 5; i++)
        CHECK_EQ_TEXT(seltest_select(w.sel, w.ctx, "s"), "ENOTFOUND");
    CHECK_EQ_STR(micro_ctx_error(w.ctx)->detail, "not found");
    CHECK_EQ_INT(w.reg.gets, 1);
    seltest_pass(1);
    seltest_pass(1);
    CHECK_EQ_TEXT(seltest_select(w.sel, w.ctx, "s"), "ENOTFOUND"); /* remembered for a second */
    CHECK_EQ_INT(w.reg.gets, 2);
    seltest_tell(&w.reg, MICRO_CREATED, &(seltest_node){ "t", "1", "n1", "h:1", NULL, NULL });
    CHECK_EQ_TEXT(seltest_select(w.sel, w.ctx, "s"), "ENOTFOUND"); /* or until it is announced */
    CHECK_EQ_INT(w.reg.gets, 2);
    seltest_add(&w.reg, "s", "1", "n1", "h:1");
    seltest_event(&w.reg, MICRO_CREATED, "n1", "h:1");
    CHECK_EQ_TEXT(seltest_select(w.sel, w.ctx, "s"), "n1@h:1");
    CHECK_EQ_INT(w.reg.gets, 3);
    seltest_end(&w);
}

TEST(cache_unknown_names_are_bounded)
{
    seltest_world w;
    REQUIRE(seltest_begin(&w, &seltest_watched_ops, 0));
    for (int i = 0; i < 2000; i++) {
        CHECK_EQ_TEXT(seltest_select(w.sel, w.ctx, micro_format(w.ctx, "no%d", i).ptr),
                      "ENOTFOUND");
        micro_ctx_reset(w.ctx);
    }
    micro__cache *c = (micro__cache *)w.sel;
    size_t n = 0;
    for (const micro__cache_query *q = c->queries; q; q = q->next)
        n++;
    CHECK(n > 100 && n <= 257);
    CHECK_EQ_UINT(c->names, 0);
    CHECK_EQ_INT(w.reg.gets, 2000);
    CHECK_EQ_TEXT(seltest_select(w.sel, w.ctx, "no1999"), "ENOTFOUND"); /* the young ones stay */
    CHECK_EQ_INT(w.reg.gets, 2000);
    seltest_end(&w);
}

TEST(cache_failure_and_text)
{
    seltest_world w;
    REQUIRE(seltest_begin(&w, &seltest_watched_ops, 0));
    seltest_set_fail(&w.reg, MICRO_EIO);
    CHECK_EQ_TEXT(seltest_select(w.sel, w.ctx, "s"), "EIO");
    CHECK_EQ_STR(micro_ctx_error(w.ctx)->detail, "the store is on fire");
    CHECK_EQ_TEXT(seltest_select(w.sel, w.ctx, "s"), "EIO"); /* a failure is not remembered */
    CHECK_EQ_INT(w.reg.gets, 2);
    CHECK_EQ_INT(w.reg.watches, 1); /* it is not tried again at once */
    seltest_set_fail(&w.reg, MICRO_OK);
    seltest_add(&w.reg, "s", "1", "n1", "h:1");
    seltest_pass(2);
    CHECK_EQ_TEXT(seltest_select(w.sel, w.ctx, "s"), "n1@h:1");
    CHECK_EQ_INT(w.reg.watches, 2);
    CHECK(w.reg.fn);
    seltest_end(&w);
}

TEST(cache_service_without_nodes)
{
    seltest_world w;
    REQUIRE(seltest_begin(&w, &seltest_watched_ops, 0));
    seltest_add(&w.reg, "s", "1", "n1", "");
    CHECK_EQ_TEXT(seltest_select(w.sel, w.ctx, "s"), "ENONODE");
    CHECK_EQ_STR(micro_ctx_error(w.ctx)->detail, "none available");
    CHECK_EQ_TEXT(seltest_select(w.sel, w.ctx, "s"), "ENONODE");
    CHECK_EQ_INT(w.reg.gets, 1);
    seltest_end(&w);
}

TEST(cache_follows_events)
{
    static const struct {
        enum micro_change what;
        const char *version, *id, *address, *want;
    } rows[] = {
        { MICRO_CREATED, "1", "n2", "h:2", "n1@h:1 n2@h:2" },
        { MICRO_CREATED, "1", "n2", "h:2", "n1@h:1 n2@h:2" },
        { MICRO_UPDATED, "1", "n1", "h:9", "n1@h:9 n2@h:2" },
        { MICRO_CREATED, "2", "n3", "h:3", "n1@h:9 n2@h:2 n3@h:3" },
        { MICRO_UPDATED, "2", "n1", "h:9", "n2@h:2 n3@h:3 n1@h:9" }, /* has a new version now */
        { MICRO_DELETED, "1", "n2", "", "n3@h:3 n1@h:9" },
        { MICRO_DELETED, "1", "nobody", "", "n3@h:3 n1@h:9" },
        { MICRO_DELETED, "", "n3", "", "n1@h:9" },
    };
    seltest_world w;
    REQUIRE(seltest_begin(&w, &seltest_watched_ops, 0));
    seltest_add(&w.reg, "s", "1", "n1", "h:1");
    CHECK_EQ_TEXT(seltest_select(w.sel, w.ctx, "s"), "n1@h:1");
    for (size_t i = 0; i < MICRO_COUNTOF(rows); i++) {
        NOTE("row %zu", i);
        const seltest_node n = { "s", rows[i].version, rows[i].id, rows[i].address, NULL, NULL };
        seltest_tell(&w.reg, rows[i].what, &n);
        CHECK_EQ_TEXT(seltest_select(w.sel, w.ctx, "s"), rows[i].want);
    }
    CHECK_EQ_INT(w.reg.gets, 1);
    w.reg.len = 0;
    seltest_event(&w.reg, MICRO_DELETED, "n1", "");
    CHECK_EQ_TEXT(seltest_select(w.sel, w.ctx, "s"),
                  "ENOTFOUND"); /* asked: it may have been late */
    CHECK_EQ_INT(w.reg.gets, 2);
    seltest_event(&w.reg, MICRO_CREATED, "n4", "h:4"); /* known by name: the event is enough */
    CHECK_EQ_TEXT(seltest_select(w.sel, w.ctx, "s"), "n4@h:4");
    CHECK_EQ_INT(w.reg.gets, 2);
    seltest_event(&w.reg, MICRO_CREATED, "n5", "h:5");
    seltest_event(&w.reg, MICRO_DELETED, NULL, NULL); /* the service as a whole */
    CHECK_EQ_TEXT(seltest_select(w.sel, w.ctx, "s"), "ENOTFOUND");
    seltest_end(&w);
}

TEST(cache_odd_events)
{
    seltest_world w;
    REQUIRE(seltest_begin(&w, &seltest_watched_ops, 0));
    seltest_add(&w.reg, "s", "1", "n1", "h:1");
    CHECK_EQ_TEXT(seltest_select(w.sel, w.ctx, "s"), "n1@h:1");
    const micro_entry nameless = { .name = { NULL, 0 } };
    const micro_entry nul = { .name = { "s\0t", 3 } };
    w.reg.fn(w.reg.arg, MICRO_DELETED, &nameless);
    w.reg.fn(w.reg.arg, MICRO_DELETED, &nul);
    CHECK_EQ_TEXT(seltest_select(w.sel, w.ctx, "s"), "n1@h:1");
    char name[2] = { 's', '!' }; /* not terminated */
    micro_node n2 = { .id = { "n2", 2 }, .address = { "h:2", 3 } };
    const micro_entry open = { .name = { name, 1 }, .version = { "1", 1 }, .nodes = { &n2, 1, 0 } };
    w.reg.fn(w.reg.arg, MICRO_CREATED, &open);
    CHECK_EQ_TEXT(seltest_select(w.sel, w.ctx, "s"), "n1@h:1 n2@h:2");
    seltest_end(&w);
}

/* first leaves out what events tell, also while the answer is on its way. */
TEST_OF_THREADS(own, cache_first_answer_and_the_rest)
{
    seltest_world w;
    seltest_caller caller;
    REQUIRE(seltest_begin(&w, &seltest_first_ops, 0));
    seltest_add(&w.reg, "s", "1", "n1", "h:1");
    seltest_add(&w.reg, "s", "1", "n2", "h:2");
    seltest_set_closed(&w.reg, true);
    seltest_start(&caller, &w, "s");
    CHECK(seltest_until(&w.reg, &w.reg.firsts, 1));
    seltest_event(&w.reg, MICRO_CREATED, "n3", "h:3");
    seltest_set_closed(&w.reg, false);
    CHECK_EQ_INT(seltest_finish(&caller), MICRO_OK);
    CHECK_EQ_TEXT(seltest_select(w.sel, w.ctx, "s"), "n3@h:3 n1@h:1");
    seltest_event(&w.reg, MICRO_CREATED, "n2", "h:2");
    CHECK_EQ_TEXT(seltest_select(w.sel, w.ctx, "s"), "n3@h:3 n1@h:1 n2@h:2");
    CHECK_EQ_INT(w.reg.firsts, 1);
    CHECK_EQ_INT(w.reg.gets, 0);
    seltest_end(&w);
}

/* A whole answer is older than the event that overtakes it. */
TEST_OF_THREADS(own, cache_event_overtakes_an_answer)
{
    seltest_world w;
    seltest_caller caller;
    REQUIRE(seltest_begin(&w, &seltest_watched_ops, 10000));
    seltest_add(&w.reg, "s", "1", "n1", "h:1");
    seltest_set_closed(&w.reg, true);
    seltest_start(&caller, &w, "s");
    CHECK(seltest_until(&w.reg, &w.reg.gets, 1));
    seltest_event(&w.reg, MICRO_CREATED, "n2", "h:2");
    seltest_set_closed(&w.reg, false);
    CHECK_EQ_INT(seltest_finish(&caller), MICRO_OK);
    CHECK_EQ_TEXT(seltest_select(w.sel, w.ctx, "s"), "n2@h:2 n1@h:1");
    seltest_pass(11); /* without an event the answer counts: n2 is not in it */
    CHECK(seltest_becomes(w.sel, w.ctx, "n1@h:1"));
    CHECK_EQ_INT(w.reg.gets, 2);
    seltest_end(&w);
}

/* What events tell while the whole is asked for is not handed out as the whole. */
TEST_OF_THREADS(own, cache_whole_answer_is_waited_for)
{
    seltest_world w;
    seltest_caller caller;
    REQUIRE(seltest_begin(&w, &seltest_first_ops, 0));
    micro_selector_free(w.sel);
    w.sel = micro__selector_cache_whole(&w.reg.base);
    seltest_add(&w.reg, "s", "1", "n1", "h:1");
    seltest_add(&w.reg, "s", "1", "n2", "h:2");
    seltest_set_closed(&w.reg, true);
    seltest_start(&caller, &w, "s");
    CHECK(seltest_until(&w.reg, &w.reg.gets, 1));
    seltest_event(&w.reg, MICRO_CREATED, "n3", "h:3");
    micro_ctx_set_timeout(w.ctx, 30);
    CHECK_EQ_TEXT(seltest_select(w.sel, w.ctx, "s"), "ETIMEDOUT");
    seltest_set_closed(&w.reg, false);
    CHECK_EQ_INT(seltest_finish(&caller), MICRO_OK);
    CHECK_EQ_TEXT(seltest_select(w.sel, w.ctx, "s"), "n3@h:3 n1@h:1 n2@h:2");
    CHECK_EQ_INT(w.reg.firsts, 0);
    seltest_end(&w);
}

TEST(cache_lost_event_is_made_good)
{
    static const seltest_node n2 = { "s", "1", "n2", "h:2", NULL, NULL };
    seltest_world w;
    micro_pair pair = { micro_s("a"), micro_s("b") };
    micro_node node = { .id = micro_s("n2"),
                        .address = micro_s("h:2"),
                        .metadata = { &pair, 1, 0 } };
    micro_entry e = { .name = micro_s("s"), .version = micro_s("1"), .nodes = { &node, 1, 0 } };
    failing_begin(0);
    REQUIRE(seltest_begin(&w, &seltest_watched_ops, MICRO_OFF));
    seltest_add(&w.reg, "s", "1", "n1", "h:1");
    CHECK_EQ_TEXT(seltest_select(w.sel, w.ctx, "s"), "n1@h:1");
    w.reg.nodes[w.reg.len++] = n2;
    failing.fail_at = failing.calls + 1;
    w.reg.fn(w.reg.arg, MICRO_CREATED, &e);
    failing.fail_at = 0;
    CHECK(seltest_becomes(w.sel, w.ctx, "n1@h:1 n2@h:2"));
    seltest_end(&w);
    micro__ctx_spare_free();
    failing_end();
}

TEST(cache_names_in_one_place)
{
    char name[] = "s";
    seltest_world w;
    REQUIRE(seltest_begin(&w, &seltest_watched_ops, 0));
    seltest_add(&w.reg, "s", "1", "n1", "h:1");
    seltest_add(&w.reg, "t", "1", "n2", "h:2");
    for (int i = 0; i < 50; i++) {
        name[0] = i % 2 ? 't' : 's';
        CHECK_EQ_TEXT(seltest_select(w.sel, w.ctx, name), i % 2 ? "n2@h:2" : "n1@h:1");
    }
    CHECK_EQ_INT(w.reg.gets, 2);
    seltest_end(&w);
}

TEST_OF_THREADS(own, cache_announced_while_not_found)
{
    seltest_world w;
    seltest_caller caller;
    REQUIRE(seltest_begin(&w, &seltest_watched_ops, 0));
    seltest_set_closed(&w.reg, true);
    seltest_start(&caller, &w, "s");
    CHECK(seltest_until(&w.reg, &w.reg.gets, 1));
    seltest_event(&w.reg, MICRO_CREATED, "n1", "h:1");
    seltest_set_closed(&w.reg, false);
    CHECK_EQ_INT(seltest_finish(&caller), MICRO_OK); /* though the registry did not know it */
    CHECK_EQ_TEXT(seltest_select(w.sel, w.ctx, "s"), "n1@h:1");
    CHECK_EQ_INT(w.reg.gets, 1);
    seltest_end(&w);
}

TEST(cache_ttl)
{
    const micro_registry_ops *const ops[] = { &seltest_watched_ops, &seltest_plain_ops };
    for (size_t k = 0; k < MICRO_COUNTOF(ops); k++) {
        seltest_world w;
        NOTE("ops %zu", k);
        REQUIRE(seltest_begin(&w, ops[k], 0));
        seltest_add(&w.reg, "s", "1", "n1", "h:1");
        CHECK_EQ_TEXT(seltest_select(w.sel, w.ctx, "s"), "n1@h:1");
        w.reg.nodes[0].address = "h:2"; /* and no event */
        seltest_pass(55);
        for (int i = 0; i < 100; i++)
            CHECK_EQ_TEXT(seltest_select(w.sel, w.ctx, "s"), "n1@h:1");
        CHECK_EQ_INT(w.reg.gets, 1);
        seltest_pass(10);
        CHECK(seltest_becomes(w.sel, w.ctx, "n1@h:2"));
        CHECK_EQ_INT(w.reg.gets, 2);
        seltest_end(&w);
    }
}

/* Nobody waits: the old set does until the new one is there. */
TEST_OF_THREADS(overlap, cache_ttl_while_others_select)
{
    const micro_registry_ops *const ops[] = { &seltest_watched_ops, &seltest_plain_ops };
    for (size_t k = 0; k < MICRO_COUNTOF(ops); k++) {
        seltest_world w;
        NOTE("ops %zu", k);
        REQUIRE(seltest_begin(&w, ops[k], 0));
        seltest_add(&w.reg, "s", "1", "n1", "h:1");
        CHECK_EQ_TEXT(seltest_select(w.sel, w.ctx, "s"), "n1@h:1");
        w.reg.nodes[0].address = "h:2"; /* and no event */
        seltest_pass(65);
        seltest_set_closed(&w.reg, true);
        for (int i = 0; i < 100; i++)
            CHECK_EQ_TEXT(seltest_select(w.sel, w.ctx, "s"), "n1@h:1");
        CHECK(seltest_until(&w.reg, &w.reg.gets, 2));
        seltest_set_closed(&w.reg, false);
        CHECK(seltest_becomes(w.sel, w.ctx, "n1@h:2"));
        CHECK_EQ_INT(w.reg.gets, 2);
        seltest_end(&w);
    }
}

TEST(cache_ttl_off)
{
    seltest_world w;
    REQUIRE(seltest_begin(&w, &seltest_plain_ops, MICRO_OFF));
    seltest_add(&w.reg, "s", "1", "n1", "h:1");
    CHECK_EQ_TEXT(seltest_select(w.sel, w.ctx, "s"), "n1@h:1");
    seltest_pass(1000000);
    for (int i = 0; i < 20; i++)
        CHECK_EQ_TEXT(seltest_select(w.sel, w.ctx, "s"), "n1@h:1");
    micro_selector_free(w.sel); /* joins whoever is asking */
    CHECK_EQ_INT(w.reg.gets, 1);
    micro_ctx_free(w.ctx);
}

static int seltest_told[2]; /* that the registry fails; that it answers again */

static void seltest_log(void *arg, int level, const char *file, int line, const char *text,
                        size_t len)
{
    (void)arg, (void)file, (void)line, (void)len;
    seltest_told[0] += level == MICRO_LOG_WARN && strstr(text, "nodes of s known last");
    seltest_told[1] += level == MICRO_LOG_INFO && strstr(text, "answers again");
}

static bool seltest_becomes_stale(seltest_world *w, bool stale)
{
    for (int i = 0; i < 5000; i++) {
        const micro_nodes *nodes;
        if (micro__selector_select(w->sel, w->ctx, "s", &nodes))
            return false;
        bool is = nodes->stale;
        micro__selector_release(w->sel, nodes);
        if (is == stale)
            return true;
        usleep(1000);
    }
    return false;
}

TEST(cache_stale_when_the_registry_fails)
{
    seltest_world w;
    micro_log_set(MICRO_LOG_INFO, seltest_log, NULL);
    REQUIRE(seltest_begin(&w, &seltest_plain_ops, 10000));
    seltest_add(&w.reg, "s", "1", "n1", "h:1");
    CHECK_EQ_TEXT(seltest_select(w.sel, w.ctx, "s"), "n1@h:1");
    seltest_set_fail(&w.reg, MICRO_EIO);
    w.reg.nodes[0].address = "h:2";
    for (int i = 2; i < 5; i++) { /* again and again */
        seltest_pass(11);
        CHECK_EQ_TEXT(seltest_select(w.sel, w.ctx, "s"), "n1@h:1");
        CHECK(seltest_until(&w.reg, &w.reg.gets, i));
        CHECK_EQ_TEXT(seltest_select(w.sel, w.ctx, "s"), "n1@h:1");
    }
    CHECK(seltest_becomes_stale(&w, true));
    CHECK_EQ_INT(seltest_told[0], 1); /* said once, not each time */
    CHECK_EQ_INT(seltest_told[1], 0);
    seltest_set_fail(&w.reg, MICRO_OK);
    seltest_pass(11);
    CHECK(seltest_becomes(w.sel, w.ctx, "n1@h:2"));
    CHECK(seltest_becomes_stale(&w, false));
    micro_log_set(MICRO_LOG_ERROR, NULL, NULL);
    seltest_end(&w);
    CHECK_EQ_INT(seltest_told[0], 1);
    CHECK_EQ_INT(seltest_told[1], 1);
}

/* Clients that were started together do not all ask in the same moment. */
TEST(cache_ttl_is_spread)
{
    uint64_t least = UINT64_MAX, most = 0;
    for (int i = 0; i < 60; i++) {
        seltest_world w;
        REQUIRE(seltest_begin(&w, &seltest_plain_ops, 60000));
        seltest_add(&w.reg, "s", "1", "n1", "h:1");
        uint64_t now = micro__now_ms();
        CHECK_EQ_TEXT(seltest_select(w.sel, w.ctx, "s"), "n1@h:1");
        micro__cache_name *n =
            micro__cache_find((micro__cache *)w.sel, micro_s("s"), micro__str_hash(micro_s("s")));
        uint64_t ms = n->expires - now;
        least = ms < least ? ms : least;
        most = ms > most ? ms : most;
        seltest_end(&w);
    }
    CHECK(least >= 56000 && least < 58000);
    CHECK(most > 58500);
}

static bool seltest_refreshed(seltest_world *w)
{
    micro__cache *c = (micro__cache *)w->sel;
    bool there = false;
    for (int i = 0; i < 5000 && !there; i++) {
        micro__lock(&c->lock);
        there = !c->refreshing;
        micro__unlock(&c->lock);
        usleep(1000);
    }
    return there;
}

TEST_OF_THREADS(overlap, cache_slow_failure)
{
    seltest_world w;
    REQUIRE(seltest_begin(&w, &seltest_plain_ops, 10000));
    seltest_add(&w.reg, "s", "1", "n1", "h:1");
    CHECK_EQ_TEXT(seltest_select(w.sel, w.ctx, "s"), "n1@h:1");
    seltest_set_closed(&w.reg, true);
    seltest_pass(11);
    CHECK_EQ_TEXT(seltest_select(w.sel, w.ctx, "s"), "n1@h:1");
    CHECK(seltest_until(&w.reg, &w.reg.inside, 1));
    seltest_pass(3);
    seltest_set_fail(&w.reg, MICRO_EIO);
    seltest_set_closed(&w.reg, false);
    CHECK(seltest_refreshed(&w));
    for (int i = 0; i < 10; i++) /* a second's peace from the end of the question, not its start */
        CHECK_EQ_TEXT(seltest_select(w.sel, w.ctx, "s"), "n1@h:1");
    CHECK(seltest_refreshed(&w));
    CHECK_EQ_INT(w.reg.gets, 2);
    seltest_end(&w);
}

TEST_OF_THREADS(overlap, cache_queued_once)
{
    seltest_world w;
    REQUIRE(seltest_begin(&w, &seltest_plain_ops, 10000));
    seltest_add(&w.reg, "s", "1", "n1", "h:1");
    seltest_add(&w.reg, "t", "1", "n2", "h:2");
    CHECK_EQ_TEXT(seltest_select(w.sel, w.ctx, "s"), "n1@h:1");
    CHECK_EQ_TEXT(seltest_select(w.sel, w.ctx, "t"), "n2@h:2");
    seltest_set_closed(&w.reg, true);
    seltest_pass(11);
    CHECK_EQ_TEXT(seltest_select(w.sel, w.ctx, "t"), "n2@h:2"); /* keeps the refresher busy */
    CHECK(seltest_until(&w.reg, &w.reg.inside, 1));
    for (int i = 0; i < 3; i++) {
        CHECK_EQ_TEXT(seltest_select(w.sel, w.ctx, "s"), "n1@h:1");
        seltest_pass(1);
        seltest_pass(1);
    }
    seltest_set_closed(&w.reg, false);
    CHECK(seltest_refreshed(&w));
    CHECK_EQ_INT(w.reg.gets, 4);
    seltest_end(&w);
}

TEST(cache_gone_at_the_next_question)
{
    seltest_world w;
    REQUIRE(seltest_begin(&w, &seltest_plain_ops, 10000));
    seltest_add(&w.reg, "s", "1", "n1", "h:1");
    CHECK_EQ_TEXT(seltest_select(w.sel, w.ctx, "s"), "n1@h:1");
    pthread_mutex_lock(&w.reg.lock);
    w.reg.len = 0;
    pthread_mutex_unlock(&w.reg.lock);
    seltest_pass(11);
    CHECK(seltest_becomes(w.sel, w.ctx, "ENOTFOUND"));
    seltest_end(&w);
}

/* Freed in the middle of a refresh, the selector does not wait for the registry. */
TEST_OF_THREADS(overlap, cache_freed_while_asking)
{
    seltest_world w;
    REQUIRE(seltest_begin(&w, &seltest_plain_ops, 10000));
    seltest_add(&w.reg, "s", "1", "n1", "h:1");
    CHECK_EQ_TEXT(seltest_select(w.sel, w.ctx, "s"), "n1@h:1");
    seltest_set_closed(&w.reg, true);
    seltest_pass(11);
    CHECK_EQ_TEXT(seltest_select(w.sel, w.ctx, "s"), "n1@h:1");
    CHECK(seltest_until(&w.reg, &w.reg.inside, 1));
    seltest_end(&w); /* the gate is still closed */
    CHECK_EQ_INT(w.reg.last, MICRO_ECANCELED);
}

TEST(cache_reset)
{
    seltest_world w;
    REQUIRE(seltest_begin(&w, &seltest_watched_ops, 0));
    seltest_add(&w.reg, "s", "1", "n1", "h:1");
    seltest_add(&w.reg, "t", "1", "n1", "h:1");
    for (int i = 0; i < 2; i++) {
        CHECK_EQ_TEXT(seltest_select(w.sel, w.ctx, "s"), "n1@h:1");
        CHECK_EQ_TEXT(seltest_select(w.sel, w.ctx, "t"), "n1@h:1");
        CHECK_EQ_TEXT(seltest_select(w.sel, w.ctx, "none"), "ENOTFOUND");
    }
    CHECK_EQ_INT(w.reg.gets, 3);
    seltest_reset(w.sel, "s");
    CHECK_EQ_TEXT(seltest_select(w.sel, w.ctx, "t"), "n1@h:1");
    CHECK_EQ_INT(w.reg.gets, 3);
    CHECK_EQ_TEXT(seltest_select(w.sel, w.ctx, "s"), "n1@h:1");
    CHECK_EQ_INT(w.reg.gets, 4);
    seltest_reset(w.sel, NULL);
    CHECK_EQ_TEXT(seltest_select(w.sel, w.ctx, "s"), "n1@h:1");
    CHECK_EQ_TEXT(seltest_select(w.sel, w.ctx, "t"), "n1@h:1");
    CHECK_EQ_TEXT(seltest_select(w.sel, w.ctx, "none"), "ENOTFOUND");
    CHECK_EQ_INT(w.reg.gets, 7);
    seltest_reset(w.sel, "never heard of");
    seltest_end(&w);
}
