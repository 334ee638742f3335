/* SPDX-License-Identifier: MIT */
/* What all selectors share, the static and the blacklist selector, and all under stress. */
#include "fake_registry.h"

/* ---- the wrappers -----------------------------------------------------------------------------*/

static micro_err seltest_select_nothing(micro_selector *sel, micro_ctx *ctx, const char *service,
                                        const micro_nodes **out)
{
    (void)sel, (void)ctx, (void)service, (void)out;
    return MICRO_OK;
}

TEST(selector_wrappers)
{
    static const micro_selector_ops none = { .size_ = sizeof none };
    static const micro_selector_ops bad = { .size_ = sizeof bad, .select = seltest_select_nothing };
    micro_selector empty = { &none }, careless = { &bad }, tableless = { NULL };
    micro_ctx *ctx = micro_ctx_new(NULL);
    const micro_nodes *nodes;
    REQUIRE(ctx);
    CHECK_EQ_INT(micro__selector_select(NULL, ctx, "s", &nodes), MICRO_ENOMEM);
    CHECK_EQ_INT(micro__selector_select(&empty, NULL, "s", &nodes), MICRO_ENOMEM);
    CHECK_EQ_INT(micro__selector_select(&empty, ctx, "", &nodes), MICRO_EINVAL);
    CHECK_EQ_INT(micro__selector_select(&empty, ctx, NULL, &nodes), MICRO_EINVAL);
    CHECK_EQ_INT(micro__selector_select(&empty, ctx, "s", &nodes), MICRO_ENOSYS);
    CHECK_EQ_INT(micro__selector_select(&tableless, ctx, "s", &nodes), MICRO_ENOSYS);
    CHECK_EQ_INT(micro__selector_select(&careless, ctx, "s", &nodes), MICRO_ENONODE);
    const micro_node node = { .id = micro_s("n") };
    micro_selector *const all[] = { NULL, &empty, &tableless };
    for (size_t i = 0; i < MICRO_COUNTOF(all); i++) {
        micro__selector_release(all[i], NULL);
        micro__selector_mark(all[i], "s", &node, MICRO_OK);
        micro_selector_free(all[i]);
    }
    CHECK(!micro_selector_cache_new(NULL, 0));
    CHECK(!micro_selector_blacklist_new(NULL));
    micro_ctx_free(ctx);
}

TEST(static_selector)
{
    const char *const addresses[] = { "a:1", "b:2" };
    micro_ctx *ctx = micro_ctx_new(NULL);
    micro_selector *given = micro_selector_static_new(addresses, 2);
    micro_selector *named = micro_selector_static_new(NULL, 0);
    const micro__filter listed = { .endpoint = "Say.Hello" };
    const micro_nodes *nodes;
    REQUIRE(ctx && given && named);
    CHECK_EQ_TEXT(seltest_select(given, ctx, "s"), "a:1@a:1 b:2@b:2");
    CHECK_EQ_TEXT(seltest_select(given, ctx, "t"), "a:1@a:1 b:2@b:2");
    CHECK_EQ_TEXT(seltest_select(named, ctx, "t"), "t@t");
    seltest_mark(given, "a:1", "a:1", MICRO_ECONNECT);
    seltest_reset(given, "s");
    REQUIRE(!micro__selector_select(given, ctx, "s", &nodes));
    CHECK(!nodes->endpoints && nodes->len == 2);
    const micro_node *node;
    size_t last = SIZE_MAX; /* endpoints are not known: that filters nobody out */
    CHECK_EQ_INT(micro__select_pick(nodes, &listed, NULL, "s", NULL, 0, 1, &last, &node), MICRO_OK);
    micro__selector_release(given, nodes);
    micro_selector_free(given);
    micro_selector_free(named);
    micro_ctx_free(ctx);
}

/* What is seen of a name's node is known to its next caller. */
TEST(static_names_are_remembered)
{
    const micro__limits limits = { .eject_after = 2, .break_after = 3, .eject_ms = 1000 };
    micro_ctx *ctx = micro_ctx_new(NULL);
    micro_selector *named = micro_selector_static_new(NULL, 0);
    const micro_nodes *nodes, *other;
    REQUIRE(ctx && named);
    for (int i = 0; i < 3; i++) {
        REQUIRE(!micro__selector_select(named, ctx, "h:1", &nodes));
        CHECK(!micro__select_shut(nodes, &limits));
        micro__health_mark(micro__nodeset_of(nodes), 0, "h:1", MICRO_EIO, &limits);
        micro__selector_release(named, nodes);
    }
    REQUIRE(!micro__selector_select(named, ctx, "h:1", &nodes));
    REQUIRE(!micro__selector_select(named, ctx, "h:2", &other));
    CHECK(micro__select_shut(nodes, &limits) && !micro__select_shut(other, &limits));
    micro__selector_release(named, other);
    micro__selector_release(named, nodes);
    micro_selector_free(named);
    micro_ctx_free(ctx);
}

/* More names than are kept: those that make way last as long as they are held. */
TEST(static_names_make_way)
{
    enum { NAMES = 300 };
    static char names[NAMES][16];
    static const micro_nodes *held[NAMES];
    micro_ctx *ctx = micro_ctx_new(NULL);
    micro_selector *named = micro_selector_static_new(NULL, 0);
    REQUIRE(ctx && named);
    for (int i = 0; i < NAMES; i++) {
        snprintf(names[i], sizeof names[i], "h:%d", i);
        REQUIRE(!micro__selector_select(named, ctx, names[i], &held[i]));
    }
    for (int i = 0; i < NAMES; i++) {
        REQUIRE(held[i]->len == 1);
        CHECK_EQ_STR(held[i]->ptr[0]->address, names[i]);
        micro__selector_release(named, held[i]);
    }
    micro_selector_free(named);
    micro_ctx_free(ctx);
}

/* ---- the blacklist ----------------------------------------------------------------------------*/

TEST(blacklist_rules)
{
    static const struct {
        const char *marks; /* i: EIO, t: ETIMEDOUT, x: ECANCELED, 5: 500, 4: 400, o: OK */
        const char *want;
    } rows[] = {
        { "", "n1@h:1 n2@h:2" },     { "ii", "n1@h:1 n2@h:2" },   { "iii", "n2@h:2" },
        { "it5", "n2@h:2" },         { "iioi", "n1@h:1 n2@h:2" }, { "ii4i", "n1@h:1 n2@h:2" },
        { "iiio", "n1@h:1 n2@h:2" }, { "ixixi", "n2@h:2" },       { "xxxx", "n1@h:1 n2@h:2" },
    };
    for (size_t i = 0; i < MICRO_COUNTOF(rows); i++) {
        seltest_registry reg;
        micro_ctx *ctx = micro_ctx_new(NULL);
        seltest_open(&reg, &seltest_watched_ops);
        seltest_add(&reg, "s", "1", "n1", "h:1");
        seltest_add(&reg, "s", "1", "n2", "h:2");
        micro_selector *sel = micro_selector_blacklist_new(&reg.base);
        REQUIRE(ctx && sel);
        NOTE("marks \"%s\"", rows[i].marks);
        for (const char *m = rows[i].marks; *m; m++)
            seltest_mark(sel, "n1", "h:1",
                         *m == 'i'   ? MICRO_EIO
                         : *m == 't' ? MICRO_ETIMEDOUT
                         : *m == '5' ? 500
                         : *m == '4' ? 400
                         : *m == 'x' ? MICRO_ECANCELED
                                     : MICRO_OK);
        CHECK_EQ_TEXT(seltest_select(sel, ctx, "s"), rows[i].want);
        micro_selector_free(sel);
        micro_ctx_free(ctx);
    }
}

TEST(blacklist_time_and_reset)
{
    seltest_registry reg;
    micro_ctx *ctx = micro_ctx_new(NULL);
    micro__sys.clock_gettime = seltest_clock;
    seltest_open(&reg, &seltest_watched_ops);
    seltest_add(&reg, "s", "1", "n1", "h:1");
    seltest_add(&reg, "s", "1", "n2", "h:2");
    micro_selector *sel = micro_selector_blacklist_new(&reg.base);
    REQUIRE(ctx && sel);
    for (int i = 0; i < 3; i++)
        seltest_mark(sel, "n1", "h:1", MICRO_EIO);
    CHECK_EQ_TEXT(seltest_select(sel, ctx, "s"), "n2@h:2");
    seltest_pass(29);
    CHECK_EQ_TEXT(seltest_select(sel, ctx, "s"), "n2@h:2");
    seltest_pass(2);
    CHECK_EQ_TEXT(seltest_select(sel, ctx, "s"), "n1@h:1 n2@h:2");
    for (int i = 0; i < 6; i++)
        seltest_mark(sel, i % 2 ? "n1" : "n2", i % 2 ? "h:1" : "h:2", MICRO_EIO);
    CHECK_EQ_TEXT(seltest_select(sel, ctx, "s"), "ENONODE");
    CHECK_EQ_STR(micro_ctx_error(ctx)->detail, "none available");
    seltest_reset(sel, "t");
    CHECK_EQ_TEXT(seltest_select(sel, ctx, "s"), "ENONODE");
    seltest_reset(sel, "s");
    CHECK_EQ_TEXT(seltest_select(sel, ctx, "s"), "n1@h:1 n2@h:2");
    for (int i = 0; i < 3; i++)
        seltest_mark(sel, "n1", "h:1", MICRO_EIO);
    const micro_nodes *nodes; /* held beyond a change */
    REQUIRE(!micro__selector_select(sel, ctx, "s", &nodes));
    seltest_reset(sel, NULL);
    CHECK_EQ_STR(nodes->ptr[0]->id, "n2");
    micro__selector_release(sel, nodes);
    micro_selector_free(sel);
    micro_ctx_free(ctx);
}

/* ---- without memory ---------------------------------------------------------------------------*/

static void seltest_scenario(void)
{
    static const micro__filter filter = { .version = "1" };
    seltest_registry reg;
    micro_ctx *ctx = micro_ctx_new(NULL);
    seltest_open(&reg, &seltest_watched_ops);
    seltest_add(&reg, "s", "1", "n1", "h:1");
    seltest_add(&reg, "s", "1", "n2", "h:2");
    micro_selector *sel = micro_selector_blacklist_new(&reg.base);
    for (int i = 0; ctx && sel && i < 6; i++) {
        const micro_nodes *nodes;
        const micro_node *node;
        size_t last = SIZE_MAX;
        micro_err err = micro__selector_select(sel, ctx, "s", &nodes);
        CHECK(!err || err == MICRO_ENOMEM || err == MICRO_ENONODE || err == MICRO_ENOTFOUND);
        if (!err) {
            err = micro__select_pick(nodes, &filter, NULL, "s", NULL, 0, 1, &last, &node);
            CHECK(!err || err == MICRO_ENOMEM);
            CHECK(err || micro__str_is(node->version, "1"));
        }
        micro__selector_release(sel, nodes);
        seltest_mark(sel, "n1", "h:1", i == 2 ? MICRO_ECONNECT : MICRO_EIO);
        seltest_event(&reg, i % 2 ? MICRO_UPDATED : MICRO_DELETED, "n2", i % 3 ? "h:3" : "h:4");
        micro_ctx_reset(ctx);
    }
    micro_selector_free(sel);
    CHECK(!reg.fn);
    const char *const addresses[] = { "a:1" };
    sel = micro_selector_static_new(addresses, 1);
    micro_selector_free(sel);
    sel = micro_selector_static_new(NULL, 0);
    for (int i = 0; ctx && sel && i < 3; i++) {
        const micro_nodes *nodes;
        micro_err err = micro__selector_select(sel, ctx, i == 1 ? "h:2" : "h:1", &nodes);
        CHECK(!err || err == MICRO_ENOMEM);
        micro__selector_release(sel, err ? NULL : nodes);
    }
    micro_selector_free(sel);
    micro_ctx_free(ctx);
    micro__ctx_spare_free();
}

TEST(selector_out_of_memory)
{
    bool whole = false;
    for (size_t n = 1; n < 2000 && !whole; n++) {
        NOTE("request %zu fails, and all after", n);
        failing_begin(n);
        seltest_scenario();
        whole = failing_end();
        NOTE("request %zu fails alone", n);
        failing_begin(n);
        failing.once = true;
        seltest_scenario();
        failing_end();
    }
    CHECK(whole);
}

/* ---- many threads -----------------------------------------------------------------------------*/

enum { SELTEST_THREADS = 3, SELTEST_ROUNDS = 3000 };

typedef struct seltest_storm {
    seltest_world w;
    micro_selector *black;
    atomic_bool over;
    atomic_int got;
} seltest_storm;

/* Whatever set it is of, a node is whole: the address goes with the id. */
static void seltest_check_node(const micro_node *node)
{
    CHECK(node->id.len == 2 && node->address.len == 3);
    CHECK_EQ_INT(node->id.ptr[1], node->address.ptr[2]);
    CHECK(micro__str_is(node->version, "1"));
}

static void seltest_storm_round(seltest_storm *s, micro_ctx *ctx, micro_selector *sel, unsigned i)
{
    static const micro_err results[] = { MICRO_OK, MICRO_ECONNECT, MICRO_EIO, MICRO_OK, 404 };
    static const micro__filter filters[] = { { .version = "1" }, { .label = "zone=eu" } };
    const micro_nodes *nodes;
    const micro_node *node;
    size_t last = SIZE_MAX;
    micro_err err = micro__selector_select(sel, ctx, "s", &nodes);
    if (err) {
        CHECK(err == MICRO_ENOTFOUND || err == MICRO_ENONODE);
        return;
    }
    atomic_fetch_add(&s->got, 1);
    const micro__filter *filter = i % 3 ? &filters[i % 2] : NULL;
    uint64_t turn = micro__select_turn(nodes, &micro_strategy_round_robin);
    err = micro__select_pick(nodes, filter, i % 2 ? NULL : &micro_strategy_round_robin, "s", NULL,
                             turn, 1, &last, &node);
    if (!err)
        seltest_check_node(node);
    if (!err)
        micro__selector_mark(sel, "s", node, results[i % MICRO_COUNTOF(results)]);
    for (size_t k = 0; k < nodes->len; k++)
        seltest_check_node(nodes->ptr[k]);
    micro__selector_release(sel, nodes);
}

static void *seltest_storm_caller(void *arg)
{
    seltest_storm *s = arg;
    micro_ctx *ctx = micro_ctx_new(NULL);
    for (unsigned i = 0; i < SELTEST_ROUNDS; i++) {
        seltest_storm_round(s, ctx, i % 7 == 0 ? s->black : s->w.sel, i);
        micro_ctx_reset(ctx);
    }
    micro_ctx_free(ctx);
    return NULL;
}

static void *seltest_storm_events(void *arg)
{
    seltest_storm *s = arg;
    static const char *const ids[] = { "n1", "n2", "n3", "n4" };
    static const char *const addresses[] = { "h:1", "h:2", "h:3", "h:4" };
    for (unsigned i = 0; !atomic_load(&s->over); i++) {
        seltest_node n = { "s", "1", ids[i % 4], addresses[i % 4], i % 5 ? "eu" : "us", NULL };
        enum micro_change what = i % 3 == 0 ? MICRO_DELETED : MICRO_UPDATED;
        pthread_mutex_lock(&s->w.reg.lock);
        micro_watch_fn *fn = s->w.reg.fn;
        pthread_mutex_unlock(&s->w.reg.lock);
        if (fn)
            seltest_tell(&s->w.reg, what, &n);
        if (i % 64 == 0)
            seltest_reset(s->w.sel, i % 128 ? "s" : NULL);
        if (i % 100 == 0)
            seltest_pass(1);
    }
    return NULL;
}

TEST_OF_THREADS(own, cache_storm)
{
    seltest_storm s = { .over = false };
    seltest_registry black;
    pthread_t callers[SELTEST_THREADS], events;
    REQUIRE(seltest_begin(&s.w, &seltest_first_ops, 1000)); /* refreshes all the time */
    seltest_open(&black, &seltest_plain_ops);
    for (int i = 0; i < 4; i++) {
        static const char *const ids[] = { "n1", "n2", "n3", "n4" };
        static const char *const addresses[] = { "h:1", "h:2", "h:3", "h:4" };
        seltest_add(&s.w.reg, "s", "1", ids[i], addresses[i]);
        seltest_add(&black, "s", "1", ids[i], addresses[i]);
    }
    s.black = micro_selector_blacklist_new(&black.base);
    REQUIRE(s.black);
    REQUIRE(!pthread_create(&events, NULL, seltest_storm_events, &s));
    for (int i = 0; i < SELTEST_THREADS; i++)
        REQUIRE(!pthread_create(&callers[i], NULL, seltest_storm_caller, &s));
    for (int i = 0; i < SELTEST_THREADS; i++)
        pthread_join(callers[i], NULL);
    atomic_store(&s.over, true);
    pthread_join(events, NULL);
    CHECK(atomic_load(&s.got) > 0);
    micro_selector_free(s.black);
    seltest_end(&s.w);
}

/* Over the registry of the process, whose events come in the threads that cause them. */
static void *seltest_memory_writer(void *arg)
{
    seltest_storm *s = arg;
    micro_registry *reg = ((micro__cache *)s->w.sel)->reg;
    micro_ctx *ctx = micro_ctx_new(NULL);
    for (unsigned i = 0; !atomic_load(&s->over); i++) {
        char id[3] = { 'n', (char)('1' + i % 4), 0 },
             address[4] = { 'h', ':', (char)('1' + i % 4), 0 };
        micro_node node = { .id = micro_s(id), .address = micro_s(address) };
        micro_entry e = { .name = micro_s("s"), .version = micro_s("1"), .nodes = { &node, 1, 0 } };
        micro_err err =
            i / 4 % 2 ? micro_registry_del(reg, ctx, &e) : micro_registry_put(reg, ctx, &e, 0);
        CHECK_EQ_INT(err, MICRO_OK);
        micro_ctx_reset(ctx);
        if (i % 16 == 0)
            micro__sleep_us(100); /* whoever delivers the events comes to an end */
    }
    micro_ctx_free(ctx);
    return NULL;
}

static void *seltest_names_caller(void *arg)
{
    micro_selector *named = arg;
    micro_ctx *ctx = micro_ctx_new(NULL);
    char name[8];
    const micro_nodes *nodes;
    for (unsigned i = 0; i < SELTEST_ROUNDS; i++) {
        snprintf(name, sizeof name, "h:%u", i % 150); /* more than are kept */
        if (!CHECK(!micro__selector_select(named, ctx, name, &nodes)))
            break;
        CHECK_EQ_STR(nodes->ptr[0]->address, name);
        micro__selector_release(named, nodes);
    }
    micro_ctx_free(ctx);
    return NULL;
}

TEST_OF_THREADS(own, static_names_storm)
{
    pthread_t callers[SELTEST_THREADS];
    micro_selector *named = micro_selector_static_new(NULL, 0);
    REQUIRE(named);
    for (int i = 0; i < SELTEST_THREADS; i++)
        REQUIRE(!pthread_create(&callers[i], NULL, seltest_names_caller, named));
    for (int i = 0; i < SELTEST_THREADS; i++)
        pthread_join(callers[i], NULL);
    micro_selector_free(named);
}

TEST_OF_THREADS(own, cache_storm_over_memory)
{
    seltest_storm s = { .over = false };
    pthread_t callers[SELTEST_THREADS], writer;
    micro_registry *reg = micro_registry_memory_new();
    s.w.sel = micro_selector_cache_new(reg, 0);
    s.black = s.w.sel;
    REQUIRE(reg && s.w.sel);
    REQUIRE(!pthread_create(&writer, NULL, seltest_memory_writer, &s));
    for (int i = 0; i < SELTEST_THREADS; i++)
        REQUIRE(!pthread_create(&callers[i], NULL, seltest_storm_caller, &s));
    for (int i = 0; i < SELTEST_THREADS; i++)
        pthread_join(callers[i], NULL);
    atomic_store(&s.over, true);
    pthread_join(writer, NULL);
    /* what the cache knows in the end is what the registry knows */
    micro_ctx *ctx = micro_ctx_new(NULL);
    micro_node node = { .id = micro_s("n9"), .address = micro_s("h:9") };
    micro_entry e = { .name = micro_s("s"), .version = micro_s("1"), .nodes = { &node, 1, 0 } };
    CHECK_EQ_INT(micro_registry_put(reg, ctx, &e, 0), MICRO_OK);
    micro_entries all;
    CHECK_EQ_INT(micro_registry_get(reg, ctx, "s", &all), MICRO_OK);
    seltest_reset(s.w.sel, "other");
    for (int i = 0; i < 4; i++) { /* nobody is set aside any more */
        char id[3] = { 'n', (char)('1' + i), 0 }, address[4] = { 'h', ':', (char)('1' + i), 0 };
        seltest_mark(s.w.sel, id, address, MICRO_OK);
    }
    const micro_nodes *nodes;
    REQUIRE(!micro__selector_select(s.w.sel, ctx, "s", &nodes));
    for (int i = 0; i < 1000 && nodes->len != all.ptr[0].nodes.len; i++) { /* at last */
        micro__selector_release(s.w.sel, nodes);
        micro__sleep_us(10000);
        REQUIRE(!micro__selector_select(s.w.sel, ctx, "s", &nodes));
    }
    CHECK_EQ_UINT(nodes->len, all.ptr[0].nodes.len);
    for (size_t i = 0; i < nodes->len; i++)
        CHECK(micro__entry_node(&all.ptr[0], nodes->ptr[i]->id));
    micro__selector_release(s.w.sel, nodes);
    micro_ctx_free(ctx);
    micro_selector_free(s.w.sel);
    micro_registry_free(reg);
}
