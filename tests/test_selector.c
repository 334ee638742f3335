/* SPDX-License-Identifier: MIT */
/* Node sets, filters, strategies, and the cache, blacklist and static selectors, over a registry that
 * fails and waits on demand. */
#include "failing.h"
#include "harness.h"
#include "net/net.h"
#include "selector/cache.h"
#include "selector/selector.h"

#include <pthread.h>

/* ---- a registry of the tests' own: nothing but micro.h ------------------------------------------- */

typedef struct seltest_node {
    const char *service, *version, *id, *address, *zone, *endpoint;
} seltest_node;

enum { SELTEST_NODES = 128 };

typedef struct seltest_registry {
    micro_registry base;
    pthread_mutex_t lock;
    seltest_node nodes[SELTEST_NODES];
    size_t len;
    micro_err fail;   /* of look-ups and of watch */
    bool closed;      /* look-ups wait */
    int gets, firsts; /* look-ups begun */
    int watches;
    int inside, most; /* look-ups that wait, and the most at once */
    size_t first_len; /* so many nodes a first answer has */
    micro_watch_fn *fn;
    void *arg;
} seltest_registry;

static void seltest_fill(micro_ctx *ctx, micro_entry *e, const seltest_node *from)
{
    micro_node *node = micro_append(ctx, &e->nodes);
    if (!node)
        return;
    node->id = micro_copy(ctx, micro_s(from->id));
    node->address = micro_copy(ctx, micro_s(from->address));
    if (from->zone) {
        micro_pair *pair = micro_append(ctx, &node->metadata);
        if (pair)
            *pair = (micro_pair){ micro_s("zone"), micro_copy(ctx, micro_s(from->zone)) };
    }
}

/* An entry for each node: selectors have to put them together, or not care. */
static micro_err seltest_collect(seltest_registry *r, micro_ctx *ctx, const char *name, size_t max,
                                 micro_entries *out)
{
    for (size_t i = 0; i < r->len && out->len < max; i++) {
        const seltest_node *n = &r->nodes[i];
        micro_entry *e = strcmp(n->service, name) == 0 ? micro_append(ctx, out) : NULL;
        if (!e)
            continue;
        e->name = micro_copy(ctx, micro_s(n->service));
        e->version = micro_copy(ctx, micro_s(n->version));
        seltest_fill(ctx, e, n);
        micro_endpoint *endpoint = n->endpoint ? micro_append(ctx, (&e->endpoints)) : NULL;
        if (endpoint)
            endpoint->name = micro_copy(ctx, micro_s(n->endpoint));
    }
    return r->fail;
}

static micro_err seltest_look_up(seltest_registry *r, micro_ctx *ctx, const char *name, size_t max,
                                 micro_entries *out)
{
    micro_err err = MICRO_OK;
    r->inside++;
    if (r->inside > r->most)
        r->most = r->inside;
    while (r->closed && !micro_ctx_canceled(ctx)) {
        pthread_mutex_unlock(&r->lock);
        usleep(500);
        pthread_mutex_lock(&r->lock);
    }
    r->inside--;
    if (micro_ctx_canceled(ctx))
        err = micro_ctx_time_left(ctx) == 0 ? MICRO_ETIMEDOUT : MICRO_ECANCELED;
    if (!err)
        err = seltest_collect(r, ctx, name, max, out);
    if (err && err == r->fail)
        micro_ignore(micro_fail(ctx, 500, "the store is on fire"));
    return err;
}

static micro_err seltest_get(micro_registry *reg, micro_ctx *ctx, const char *name,
                             micro_entries *out)
{
    seltest_registry *r = (seltest_registry *)reg;
    pthread_mutex_lock(&r->lock);
    r->gets++;
    micro_err err = seltest_look_up(r, ctx, name, SIZE_MAX, out);
    pthread_mutex_unlock(&r->lock);
    return err;
}

static micro_err seltest_first(micro_registry *reg, micro_ctx *ctx, const char *name,
                               micro_entries *out)
{
    seltest_registry *r = (seltest_registry *)reg;
    pthread_mutex_lock(&r->lock);
    r->firsts++;
    micro_err err = seltest_look_up(r, ctx, name, r->first_len, out);
    pthread_mutex_unlock(&r->lock);
    return err;
}

static micro_err seltest_watch(micro_registry *reg, const char *name, micro_watch_fn *fn, void *arg,
                               micro_watch **out)
{
    seltest_registry *r = (seltest_registry *)reg;
    pthread_mutex_lock(&r->lock);
    micro_err err = r->fail;
    CHECK(!name);
    r->watches++;
    if (!err) {
        CHECK(!r->fn);
        r->fn = fn;
        r->arg = arg;
        *out = (micro_watch *)(void *)r;
    }
    pthread_mutex_unlock(&r->lock);
    return err;
}

static void seltest_unwatch(micro_registry *reg, micro_watch *watch)
{
    seltest_registry *r = (seltest_registry *)reg;
    CHECK(watch == (micro_watch *)(void *)r && r->fn);
    r->fn = NULL;
}

static const micro_registry_ops seltest_watched_ops = {
    .size_ = sizeof(micro_registry_ops),
    .name = "test",
    .get = seltest_get,
    .watch = seltest_watch,
    .unwatch = seltest_unwatch,
};
static const micro_registry_ops seltest_first_ops = {
    .size_ = sizeof(micro_registry_ops),
    .name = "test",
    .get = seltest_get,
    .first = seltest_first,
    .watch = seltest_watch,
    .unwatch = seltest_unwatch,
};
static const micro_registry_ops seltest_plain_ops = {
    .size_ = sizeof(micro_registry_ops),
    .name = "test",
    .get = seltest_get,
    .first = seltest_first, /* not to be used: nobody would tell what it leaves out */
};

static void seltest_open(seltest_registry *r, const micro_registry_ops *ops)
{
    memset(r, 0, sizeof *r);
    r->base.ops = ops;
    r->first_len = 1;
    pthread_mutex_init(&r->lock, NULL);
}

static void seltest_add(seltest_registry *r, const char *service, const char *version,
                        const char *id, const char *address)
{
    pthread_mutex_lock(&r->lock);
    r->nodes[r->len++] = (seltest_node){ service, version, id, address, NULL, NULL };
    pthread_mutex_unlock(&r->lock);
}

static void seltest_set_closed(seltest_registry *r, bool closed)
{
    pthread_mutex_lock(&r->lock);
    r->closed = closed;
    pthread_mutex_unlock(&r->lock);
}

static void seltest_set_fail(seltest_registry *r, micro_err err)
{
    pthread_mutex_lock(&r->lock);
    r->fail = err;
    pthread_mutex_unlock(&r->lock);
}

/* Waits until a number that another thread counts up has been reached. */
static bool seltest_until(seltest_registry *r, const int *counter, int wanted)
{
    bool there = false;
    for (int i = 0; i < 5000 && !there; i++) {
        pthread_mutex_lock(&r->lock);
        there = *counter >= wanted;
        pthread_mutex_unlock(&r->lock);
        if (!there)
            usleep(1000);
    }
    return there;
}

static void seltest_tell(seltest_registry *r, enum micro_change what, const seltest_node *n)
{
    micro_ctx *ctx = micro_ctx_new(NULL);
    micro_entry e = { .name = micro_s(n->service), .version = micro_s(n->version) };
    if (ctx && n->id)
        seltest_fill(ctx, &e, n);
    if (ctx && r->fn)
        r->fn(r->arg, what, &e);
    micro_ctx_free(ctx);
}

/* An event of service s, version 1; id NULL: of no node. */
static void seltest_event(seltest_registry *r, enum micro_change what, const char *id,
                          const char *address)
{
    const seltest_node n = { "s", "1", id, address, NULL, NULL };
    seltest_tell(r, what, &n);
}

/* ---- what tests ask ------------------------------------------------------------------------------ */

static _Atomic long seltest_skew_ms;

static int seltest_clock(clockid_t clock, struct timespec *out)
{
    int rc = clock_gettime(clock, out);
    long ms = atomic_load(&seltest_skew_ms);
    out->tv_sec += ms / 1000;
    return rc;
}

static void seltest_pass(int seconds)
{
    atomic_fetch_add(&seltest_skew_ms, seconds * 1000L);
}

/* "n1@h:1 n2@h:2", or the name of the error. */
static const char *seltest_select(micro_selector *sel, micro_ctx *ctx, const char *service)
{
    const micro_nodes *nodes;
    micro_err err = micro__selector_select(sel, ctx, service, &nodes);
    if (err) {
        CHECK(micro_ctx_error(ctx)->detail.len > 0);
        return micro__err_name(err);
    }
    micro_str text = micro_s("");
    for (size_t i = 0; i < nodes->len; i++)
        text = micro_format(ctx, "%s%s%s@%s", text.ptr, i ? " " : "", nodes->ptr[i]->id.ptr,
                            nodes->ptr[i]->address.ptr);
    micro__selector_release(sel, nodes);
    return text.ptr;
}

static void seltest_mark(micro_selector *sel, const char *id, const char *address, micro_err result)
{
    const micro_node node = { .id = micro_s(id), .address = micro_s(address) };
    micro__selector_mark(sel, "s", &node, result);
}

/* Selects until that is what comes: a refresh runs in a thread of its own. */
static bool seltest_becomes(micro_selector *sel, micro_ctx *ctx, const char *want)
{
    for (int i = 0; i < 5000; i++) {
        if (strcmp(seltest_select(sel, ctx, "s"), want) == 0)
            return true;
        usleep(1000);
        micro_ctx_reset(ctx);
    }
    return false;
}

typedef struct seltest_world {
    seltest_registry reg;
    micro_selector *sel;
    micro_ctx *ctx;
} seltest_world;

static bool seltest_begin(seltest_world *w, const micro_registry_ops *ops, int ttl_ms)
{
    micro__sys.clock_gettime = seltest_clock;
    seltest_open(&w->reg, ops);
    w->sel = micro_selector_cache_new(&w->reg.base, ttl_ms);
    w->ctx = micro_ctx_new(NULL);
    return CHECK(w->sel && w->ctx);
}

static void seltest_end(seltest_world *w)
{
    micro_selector_free(w->sel);
    CHECK(!w->reg.fn); /* unwatched */
    micro_ctx_free(w->ctx);
    pthread_mutex_destroy(&w->reg.lock);
}

/* ---- node sets ----------------------------------------------------------------------------------- */

static micro__nodeset *seltest_set(const seltest_node *from, size_t n)
{
    seltest_registry r;
    micro_entries list = { NULL, 0, 0 }, merged = { NULL, 0, 0 };
    micro_ctx *ctx = micro_ctx_new(NULL);
    seltest_open(&r, &seltest_plain_ops);
    memcpy(r.nodes, from, n * sizeof *from);
    r.len = n;
    micro_ignore(seltest_collect(&r, ctx, "s", SIZE_MAX, &list));
    for (size_t i = 0; i < list.len; i++)
        CHECK(micro__entries_merge(&ctx->arena, &merged, &list.ptr[i]));
    micro__nodeset *set = micro__nodeset_new(&merged);
    micro_ctx_free(ctx); /* the set has copies */
    pthread_mutex_destroy(&r.lock);
    return set;
}

static const seltest_node seltest_five[] = {
    { "s", "1", "n1", "h:1", "eu", "Say.Hello" }, { "s", "1", "n2", "h:2", "us", "Say.Hello" },
    { "s", "2", "n3", "h:3", "eu", "Say.More" },  { "s", "2", "n4", "", "eu", "Say.More" },
    { "s", "2", "n5", "h:5", NULL, "Say.More" },
};

TEST(nodeset_contents)
{
    micro__nodeset *set = seltest_set(seltest_five, 5), *other = seltest_set(seltest_five, 3);
    REQUIRE(set && other);
    const micro_nodes *nodes = &set->nodes;
    CHECK_EQ_INT(nodes->len, 4); /* one has no address */
    CHECK_EQ_STR(nodes->ptr[3]->id, "n5");
    CHECK_EQ_STR(nodes->ptr[3]->version, "2");
    CHECK_EQ_STR(nodes->endpoints[0]->ptr[0].name, "Say.Hello");
    CHECK_EQ_STR(nodes->endpoints[3]->ptr[0].name, "Say.More");
    CHECK(micro__nodeset_of(nodes) == set);
    CHECK(nodes->hash != other->nodes.hash);
    micro__nodeset *again = seltest_set(seltest_five, 5);
    CHECK(again->nodes.hash == nodes->hash);
    micro__nodeset_hold(set);
    micro__nodeset_drop(set);
    micro__nodeset_drop(set);
    micro__nodeset_drop(other);
    micro__nodeset_drop(again);
}

TEST(nodeset_subset_outlives_its_maker)
{
    micro__nodeset *set = seltest_set(seltest_five, 5);
    const uint32_t index[] = { 1, 3 };
    micro__nodeset *part = micro__nodeset_subset(set, index, 2);
    uint64_t whole = set->nodes.hash;
    REQUIRE(part);
    micro__nodeset_drop(set);
    CHECK_EQ_INT(part->nodes.len, 2);
    CHECK_EQ_STR(part->nodes.ptr[0]->id, "n2");
    CHECK_EQ_STR(part->nodes.endpoints[1]->ptr[0].name, "Say.More");
    CHECK(part->nodes.hash != whole);
    micro__nodeset_drop(part);
}

TEST(nodeset_filters)
{
    static const struct {
        micro__filter filter;
        const char *ids;
    } rows[] = {
        { { .version = "1" }, "n1 n2 " },
        { { .version = "10" }, "" },
        { { .version = "" }, "" },
        { { .label = "zone=eu" }, "n1 n3 " },
        { { .label = "zone=" }, "" },
        { { .label = "zone" }, "" },
        { { .label = "area=eu" }, "" },
        { { .endpoint = "Say.More" }, "n3 n5 " },
        { { .endpoint = "Say" }, "" },
        { { .version = "2", .label = "zone=eu" }, "n3 " },
        { { .version = "2", .label = "zone=eu", .endpoint = "Say.Hello" }, "" },
    };
    micro__nodeset *set = seltest_set(seltest_five, 5);
    REQUIRE(set);
    for (size_t i = 0; i < 2 * MICRO_COUNTOF(rows); i++) { /* the second time from the cache */
        size_t row = i % MICRO_COUNTOF(rows);
        char ids[40] = "";
        NOTE("row %zu", row);
        const micro__nodeset *part = micro__nodeset_filtered(set, &rows[row].filter);
        if (!part) /* no place left in the cache: pick does it by itself then */
            continue;
        for (size_t k = 0; k < part->nodes.len; k++) {
            strcat(strcat(ids, part->nodes.ptr[k]->id.ptr), " ");
            CHECK(set->nodes.ptr[part->index[k]] == part->nodes.ptr[k]);
        }
        CHECK_EQ_TEXT(ids, rows[row].ids);
        CHECK(micro__nodeset_filtered(set, &rows[row].filter) == part);
    }
    micro__nodeset_drop(set);
}

/* ---- picking ------------------------------------------------------------------------------------- */

static size_t seltest_fixed_index;

static size_t seltest_fixed_pick(const micro_strategy *self, const micro_pick *from)
{
    (void)self, (void)from;
    return seltest_fixed_index;
}

static const micro_strategy seltest_fixed = { sizeof seltest_fixed, "fixed", seltest_fixed_pick };

static bool seltest_not_n1(void *arg, const micro_node *node)
{
    ++*(int *)arg;
    return !micro__str_is(node->id, "n1");
}

TEST(pick_filters_and_indices)
{
    micro__nodeset *set = seltest_set(seltest_five, 5);
    REQUIRE(set);
    int asked = 0;
    const struct {
        micro__filter filter;
        size_t pick; /* of what is left */
        micro_err err;
        const char *id;
        size_t last;
        int asked;
    } rows[] = {
        { { .version = NULL }, 2, MICRO_OK, "n3", 2, 0 },
        { { .version = NULL }, 4, MICRO_ENONODE, NULL, SIZE_MAX, 0 },
        { { .version = NULL }, SIZE_MAX, MICRO_ENONODE, NULL, SIZE_MAX, 0 },
        { { .version = "2" }, 1, MICRO_OK, "n5", 3, 0 },
        { { .version = "2" }, 2, MICRO_ENONODE, NULL, SIZE_MAX, 0 },
        { { .version = "3" }, 0, MICRO_ENONODE, NULL, SIZE_MAX, 0 },
        { { .fn = seltest_not_n1, .arg = &asked }, 0, MICRO_OK, "n2", 1, 4 },
        { { .label = "zone=eu", .fn = seltest_not_n1, .arg = &asked }, 0, MICRO_OK, "n3", 2, 2 },
        { { .version = "1", .label = "zone=eu", .fn = seltest_not_n1, .arg = &asked },
          0,
          MICRO_ENONODE,
          NULL,
          SIZE_MAX,
          1 },
    };
    for (int foreign = 0; foreign < 2; foreign++) {
        micro_nodes nodes = set->nodes;
        if (foreign)
            nodes.lib_ = NULL;
        for (size_t i = 0; i < MICRO_COUNTOF(rows); i++) {
            NOTE("row %zu, %s", i, foreign ? "foreign" : "ours");
            const micro_node *node;
            size_t last = SIZE_MAX;
            asked = 0;
            seltest_fixed_index = rows[i].pick;
            CHECK_EQ_INT(micro__select_pick(&nodes, &rows[i].filter, &seltest_fixed, "s", NULL, 0,
                                            1, &last, &node),
                         rows[i].err);
            CHECK(last == rows[i].last);
            CHECK_EQ_INT(asked, rows[i].asked);
            CHECK_EQ_TEXT(node ? node->id.ptr : NULL, rows[i].id);
        }
    }
    micro__nodeset_drop(set);
}

typedef struct seltest_spy {
    micro_strategy base;
    micro_pick seen;
    size_t len;
} seltest_spy;

static size_t seltest_spy_pick(const micro_strategy *self, const micro_pick *from)
{
    seltest_spy *spy = (seltest_spy *)(uintptr_t)self;
    spy->seen = *from;
    spy->len = from->nodes->len;
    return 0;
}

TEST(pick_tells_the_strategy)
{
    seltest_spy spy = { .base = { sizeof(micro_strategy), "spy", seltest_spy_pick } };
    micro__nodeset *set = seltest_set(seltest_five, 5);
    const micro__filter two = { .version = "2" };
    const micro_node *node;
    size_t last = 3; /* n5, the second of version 2 */
    REQUIRE(set);
    CHECK_EQ_INT(micro__select_pick(&set->nodes, &two, &spy.base, "s", "key", 7, 2, &last, &node),
                 MICRO_OK);
    CHECK_EQ_TEXT(spy.seen.service, "s");
    CHECK_EQ_TEXT(spy.seen.key, "key");
    CHECK_EQ_UINT(spy.seen.turn, 7);
    CHECK_EQ_INT(spy.seen.attempt, 2);
    CHECK_EQ_UINT(spy.seen.last, 1);
    CHECK_EQ_UINT(spy.len, 2);
    uint64_t bits = spy.seen.random;
    last = 0; /* is not among them */
    CHECK_EQ_INT(micro__select_pick(&set->nodes, &two, &spy.base, "s", NULL, 8, 2, &last, &node),
                 MICRO_OK);
    CHECK(spy.seen.last == SIZE_MAX);
    CHECK(spy.seen.random != bits);
    spy.base.size_ = (uint32_t)offsetof(micro_strategy, pick); /* has none */
    CHECK_EQ_INT(micro__select_pick(&set->nodes, NULL, &spy.base, "s", NULL, 0, 1, &last, &node),
                 MICRO_ENONODE);
    micro__nodeset_drop(set);
}

TEST(pick_many_nodes)
{
    enum { N = 120 };
    static char ids[N][16];
    seltest_node from[N];
    for (int i = 0; i < N; i++) {
        snprintf(ids[i], sizeof ids[i], "n%d", i);
        from[i] =
            (seltest_node){ "s", i % 3 ? "1" : "2", ids[i], "h:1", i % 2 ? "eu" : "us", NULL };
    }
    micro__nodeset *set = seltest_set(from, N);
    REQUIRE(set);
    int asked = 0;
    const micro__filter filter = { .label = "zone=eu", .fn = seltest_not_n1, .arg = &asked };
    micro_nodes nodes = set->nodes;
    const micro_node *node;
    size_t last = SIZE_MAX;
    nodes.lib_ = NULL;
    seltest_fixed_index = 58; /* the last of 60 less n1 */
    CHECK_EQ_INT(micro__select_pick(&nodes, &filter, &seltest_fixed, "s", NULL, 0, 1, &last, &node),
                 MICRO_OK);
    CHECK_EQ_INT(asked, 60);
    CHECK(node && node == nodes.ptr[last]);
    seltest_fixed_index = 59;
    CHECK_EQ_INT(micro__select_pick(&nodes, &filter, &seltest_fixed, "s", NULL, 0, 1, &last, &node),
                 MICRO_ENONODE);
    micro__nodeset_drop(set);
}

/* More filters than a set keeps: the rest is done without keeping, and right. */
TEST(pick_with_more_filters_than_are_kept)
{
    enum { N = 3 * MICRO__NODESET_SUBSETS };
    static char versions[N][16];
    seltest_node from[N];
    for (int i = 0; i < N; i++) {
        snprintf(versions[i], sizeof versions[i], "v%d", i);
        from[i] = (seltest_node){ "s", versions[i], versions[i], "h:1", NULL, NULL };
    }
    micro__nodeset *set = seltest_set(from, N);
    REQUIRE(set);
    int kept = 0;
    seltest_fixed_index = 0;
    for (int i = 0; i < 2 * N; i++) {
        const micro__filter filter = { .version = versions[i % N] };
        const micro_node *node;
        size_t last = SIZE_MAX;
        kept += micro__nodeset_filtered(set, &filter) != NULL;
        CHECK_EQ_INT(
            micro__select_pick(&set->nodes, &filter, &seltest_fixed, "s", NULL, 0, 1, &last, &node),
            MICRO_OK);
        CHECK_EQ_TEXT(node ? node->id.ptr : "", versions[i % N]);
        CHECK_EQ_UINT(last, (size_t)(i % N));
    }
    CHECK(kept >= MICRO__NODESET_SUBSETS && kept <= 2 * MICRO__NODESET_SUBSETS);
    micro__nodeset_drop(set);
}

TEST(strategy_random_is_even)
{
    enum { DRAWS = 30000 };
    micro__nodeset *set = seltest_set(seltest_five, 3);
    int count[3] = { 0 };
    REQUIRE(set);
    for (int i = 0; i < DRAWS; i++) {
        const micro_node *node;
        size_t last = SIZE_MAX;
        REQUIRE(!micro__select_pick(&set->nodes, NULL, NULL, "s", NULL, 0, 1, &last, &node));
        count[last]++;
    }
    for (int i = 0; i < 3; i++) /* six standard deviations */
        CHECK(abs(count[i] - DRAWS / 3) < 490);
    micro__nodeset_drop(set);
}

TEST(strategy_second_attempt_goes_elsewhere)
{
    const micro_strategy *const strategies[] = { NULL, &micro_strategy_random,
                                                 &micro_strategy_round_robin };
    micro__nodeset *set = seltest_set(seltest_five, 3), *one = seltest_set(seltest_five, 1);
    REQUIRE(set && one);
    for (size_t k = 0; k < MICRO_COUNTOF(strategies); k++) {
        int count[3] = { 0 };
        for (int i = 0; i < 300; i++) {
            const micro_node *node;
            size_t last = (size_t)i % 3, before = last;
            REQUIRE(!micro__select_pick(&set->nodes, NULL, strategies[k], "s", NULL, (uint64_t)i, 2,
                                        &last, &node));
            CHECK(last != before);
            count[last]++;
        }
        CHECK(count[0] && count[1] && count[2]);
        const micro_node *node;
        size_t last = 0; /* there is no other */
        CHECK_EQ_INT(
            micro__select_pick(&one->nodes, NULL, strategies[k], "s", NULL, 9, 2, &last, &node),
            MICRO_OK);
        CHECK_EQ_UINT(last, 0);
    }
    micro__nodeset_drop(set);
    micro__nodeset_drop(one);
}

TEST(strategy_round_robin_rotates_across_calls)
{
    micro__nodeset *set = seltest_set(seltest_five, 3);
    micro_nodes foreign;
    REQUIRE(set);
    foreign = set->nodes;
    foreign.lib_ = NULL;
    for (int k = 0; k < 2; k++) {
        const micro_nodes *nodes = k ? &foreign : &set->nodes;
        size_t before = SIZE_MAX;
        for (int i = 0; i < 9; i++) {
            const micro_node *node;
            size_t last = SIZE_MAX;
            uint64_t turn = micro__select_turn(nodes, &micro_strategy_round_robin);
            REQUIRE(!micro__select_pick(nodes, NULL, &micro_strategy_round_robin, "s", NULL, turn,
                                        1, &last, &node));
            CHECK(before == SIZE_MAX || last == (before + 1) % 3);
            before = last;
        }
    }
    uint64_t turn = micro__select_turn(&set->nodes, &micro_strategy_round_robin);
    CHECK_EQ_UINT(micro__select_turn(&set->nodes, NULL), 0);
    CHECK_EQ_UINT(micro__select_turn(&set->nodes, &micro_strategy_random), 0);
    CHECK_EQ_UINT(micro__select_turn(&set->nodes, &seltest_fixed), turn + 1);
    micro__nodeset_drop(set);
}

/* ---- the wrappers -------------------------------------------------------------------------------- */

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
        micro__selector_reset(all[i], NULL);
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
    micro__selector_reset(given, "s");
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

/* ---- the cache ----------------------------------------------------------------------------------- */

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

TEST(cache_one_question_in_flight)
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

TEST(cache_others_take_over)
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

TEST(cache_waiting_ends)
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
TEST(cache_first_answer_and_the_rest)
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

TEST(cache_announced_while_not_found)
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
        seltest_pass(10); /* nobody waits: the old set does until the new one is there */
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

TEST(cache_stale_when_the_registry_fails)
{
    seltest_world w;
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
    seltest_set_fail(&w.reg, MICRO_OK);
    seltest_pass(11);
    CHECK(seltest_becomes(w.sel, w.ctx, "n1@h:2"));
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
TEST(cache_freed_while_asking)
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
    micro__selector_reset(w.sel, "s");
    CHECK_EQ_TEXT(seltest_select(w.sel, w.ctx, "t"), "n1@h:1");
    CHECK_EQ_INT(w.reg.gets, 3);
    CHECK_EQ_TEXT(seltest_select(w.sel, w.ctx, "s"), "n1@h:1");
    CHECK_EQ_INT(w.reg.gets, 4);
    micro__selector_reset(w.sel, NULL);
    CHECK_EQ_TEXT(seltest_select(w.sel, w.ctx, "s"), "n1@h:1");
    CHECK_EQ_TEXT(seltest_select(w.sel, w.ctx, "t"), "n1@h:1");
    CHECK_EQ_TEXT(seltest_select(w.sel, w.ctx, "none"), "ENOTFOUND");
    CHECK_EQ_INT(w.reg.gets, 7);
    micro__selector_reset(w.sel, "never heard of");
    seltest_end(&w);
}

/* ---- nodes that refuse --------------------------------------------------------------------------- */

TEST(cache_refused_node_is_set_aside)
{
    seltest_world w;
    REQUIRE(seltest_begin(&w, &seltest_watched_ops, MICRO_OFF));
    seltest_add(&w.reg, "s", "1", "n1", "h:1");
    seltest_add(&w.reg, "s", "1", "n2", "h:2");
    CHECK_EQ_TEXT(seltest_select(w.sel, w.ctx, "s"), "n1@h:1 n2@h:2");
    static const micro_err harmless[] = { MICRO_OK,     MICRO_EIO,       MICRO_ETIMEDOUT, 500,
                                          MICRO_EPROTO, MICRO_ECANCELED, MICRO_EREMOTE };
    for (size_t i = 0; i < MICRO_COUNTOF(harmless); i++)
        seltest_mark(w.sel, "n1", "h:1", harmless[i]);
    seltest_mark(w.sel, "n1", "h:7", MICRO_ECONNECT); /* it has moved since */
    seltest_mark(w.sel, "n7", "h:1", MICRO_ECONNECT); /* it has gone since */
    CHECK_EQ_TEXT(seltest_select(w.sel, w.ctx, "s"), "n1@h:1 n2@h:2");
    seltest_mark(w.sel, "n1", "h:1", MICRO_ECONNECT);
    CHECK_EQ_TEXT(seltest_select(w.sel, w.ctx, "s"), "n2@h:2");
    seltest_pass(1000); /* time alone does not bring it back */
    CHECK_EQ_TEXT(seltest_select(w.sel, w.ctx, "s"), "n2@h:2");
    seltest_event(&w.reg, MICRO_CREATED, "n2", "h:2");
    CHECK_EQ_TEXT(seltest_select(w.sel, w.ctx, "s"), "n2@h:2");
    seltest_event(&w.reg, MICRO_CREATED, "n1", "h:1");
    CHECK_EQ_TEXT(seltest_select(w.sel, w.ctx, "s"), "n1@h:1 n2@h:2");
    seltest_mark(w.sel, "n1", "h:1", MICRO_ECONNECT);
    seltest_mark(w.sel, "n1", "h:1", 400); /* a call that was under way has got through */
    CHECK_EQ_TEXT(seltest_select(w.sel, w.ctx, "s"), "n1@h:1 n2@h:2");
    CHECK_EQ_UINT(((micro__cache *)w.sel)->asides, 0);
    CHECK_EQ_INT(w.reg.gets, 1);
    seltest_end(&w);
}

TEST(cache_refused_and_moved)
{
    seltest_world w;
    REQUIRE(seltest_begin(&w, &seltest_watched_ops, MICRO_OFF));
    seltest_add(&w.reg, "s", "1", "n1", "h:1");
    seltest_add(&w.reg, "s", "1", "n2", "h:2");
    CHECK_EQ_TEXT(seltest_select(w.sel, w.ctx, "s"), "n1@h:1 n2@h:2");
    seltest_mark(w.sel, "n1", "h:1", MICRO_ECONNECT);
    seltest_event(&w.reg, MICRO_UPDATED, "n1", "h:9");
    CHECK_EQ_TEXT(seltest_select(w.sel, w.ctx, "s"), "n1@h:9 n2@h:2");
    CHECK_EQ_UINT(((micro__cache *)w.sel)->asides, 0);
    seltest_mark(w.sel, "n1", "h:9", MICRO_ECONNECT);
    seltest_event(&w.reg, MICRO_DELETED, "n1", "");
    CHECK_EQ_UINT(((micro__cache *)w.sel)->asides, 0);
    CHECK_EQ_TEXT(seltest_select(w.sel, w.ctx, "s"), "n2@h:2");
    seltest_end(&w);
}

TEST(cache_asks_at_once_when_none_is_left)
{
    seltest_world w;
    REQUIRE(seltest_begin(&w, &seltest_watched_ops, 0));
    seltest_add(&w.reg, "s", "1", "n1", "h:1");
    CHECK_EQ_TEXT(seltest_select(w.sel, w.ctx, "s"), "n1@h:1");
    seltest_mark(w.sel, "n1", "h:1", MICRO_ECONNECT);
    w.reg.nodes[0] = (seltest_node){ "s", "1", "n2", "h:2", NULL, NULL }; /* it has been replaced */
    CHECK_EQ_TEXT(seltest_select(w.sel, w.ctx, "s"), "n2@h:2");
    CHECK_EQ_INT(w.reg.gets, 2);
    CHECK_EQ_UINT(((micro__cache *)w.sel)->asides, 0);
    seltest_end(&w);
}

/* The responder lives and the listener stays closed. */
TEST(cache_closed_listener)
{
    seltest_world w;
    REQUIRE(seltest_begin(&w, &seltest_watched_ops, MICRO_OFF));
    seltest_add(&w.reg, "s", "1", "n1", "h:1");
    CHECK_EQ_TEXT(seltest_select(w.sel, w.ctx, "s"), "n1@h:1");
    for (int i = 0; i < 5; i++) /* several calls run into the same closed door */
        seltest_mark(w.sel, "n1", "h:1", MICRO_ECONNECT);
    CHECK_EQ_TEXT(seltest_select(w.sel, w.ctx, "s"), "n1@h:1"); /* asked, and named: one more try */
    CHECK_EQ_INT(w.reg.gets, 2);
    static const int seconds[] = { 1, 2, 4, 8, 16, 30, 30, 30 };
    for (size_t i = 0; i < MICRO_COUNTOF(seconds); i++) {
        NOTE("refused after try %zu", i);
        seltest_mark(w.sel, "n1", "h:1", MICRO_ECONNECT);
        int gets = w.reg.gets;
        for (int k = 0; k < 5; k++)
            CHECK_EQ_TEXT(seltest_select(w.sel, w.ctx, "s"), "ENONODE");
        CHECK_EQ_INT(w.reg.gets, gets + 1); /* asked once, not with every call */
        if (seconds[i] > 1)
            seltest_pass(seconds[i] - 1);
        else
            CHECK_EQ_STR(micro_ctx_error(w.ctx)->detail, "none available");
        CHECK_EQ_TEXT(seltest_select(w.sel, w.ctx, "s"), "ENONODE");
        seltest_pass(1);
        CHECK_EQ_TEXT(seltest_select(w.sel, w.ctx, "s"), "n1@h:1");
    }
    seltest_mark(w.sel, "n1", "h:1", MICRO_OK); /* it is back: the count starts anew */
    seltest_mark(w.sel, "n1", "h:1", MICRO_ECONNECT);
    CHECK_EQ_TEXT(seltest_select(w.sel, w.ctx, "s"), "n1@h:1");
    seltest_end(&w);
}

TEST(cache_closed_listener_beside_others)
{
    seltest_world w;
    REQUIRE(seltest_begin(&w, &seltest_watched_ops, MICRO_OFF));
    seltest_add(&w.reg, "s", "1", "n1", "h:1");
    seltest_add(&w.reg, "s", "1", "n2", "h:2");
    CHECK_EQ_TEXT(seltest_select(w.sel, w.ctx, "s"), "n1@h:1 n2@h:2");
    seltest_mark(w.sel, "n1", "h:1", MICRO_ECONNECT);
    seltest_event(&w.reg, MICRO_CREATED, "n1", "h:1");
    seltest_mark(w.sel, "n1", "h:1", MICRO_ECONNECT);
    for (int i = 0; i < 40; i++)
        CHECK_EQ_TEXT(seltest_select(w.sel, w.ctx, "s"), "n2@h:2");
    seltest_pass(2); /* now the clock decides, and is looked at every time */
    CHECK_EQ_TEXT(seltest_select(w.sel, w.ctx, "s"), "n2@h:2"); /* noticed by this one */
    CHECK_EQ_TEXT(seltest_select(w.sel, w.ctx, "s"), "n1@h:1 n2@h:2");
    CHECK_EQ_INT(w.reg.gets, 1);
    seltest_end(&w);
}

/* The first answer is the node that just refused; the whole answer has another. */
TEST(cache_first_answer_is_of_no_use)
{
    seltest_world w;
    REQUIRE(seltest_begin(&w, &seltest_first_ops, MICRO_OFF));
    seltest_add(&w.reg, "s", "1", "n1", "h:1");
    CHECK_EQ_TEXT(seltest_select(w.sel, w.ctx, "s"), "n1@h:1");
    seltest_mark(w.sel, "n1", "h:1", MICRO_ECONNECT);
    CHECK_EQ_TEXT(seltest_select(w.sel, w.ctx, "s"), "n1@h:1");
    CHECK_EQ_INT(w.reg.firsts, 2);
    seltest_mark(w.sel, "n1", "h:1", MICRO_ECONNECT);
    seltest_add(&w.reg, "s", "1", "n2", "h:2");
    CHECK_EQ_TEXT(seltest_select(w.sel, w.ctx, "s"), "n2@h:2");
    CHECK_EQ_INT(w.reg.firsts, 3);
    CHECK_EQ_INT(w.reg.gets, 1);
    seltest_end(&w);
}

/* ---- sets that are held -------------------------------------------------------------------------- */

TEST(cache_sets_stay_while_held)
{
    enum { HELD = 300 }; /* more than there are slots */
    seltest_world w;
    const micro_nodes *held[HELD];
    char address[16];
    REQUIRE(seltest_begin(&w, &seltest_watched_ops, MICRO_OFF));
    seltest_add(&w.reg, "s", "1", "n1", "h:0");
    for (int i = 0; i < HELD; i++) {
        REQUIRE(!micro__selector_select(w.sel, w.ctx, "s", &held[i]));
        snprintf(address, sizeof address, "h:%d", i + 1);
        seltest_event(&w.reg, MICRO_UPDATED, "n1", address);
    }
    int different = 0;
    for (int i = 1; i < HELD; i++)
        different += held[i] != held[i - 1];
    CHECK(different >= MICRO__CACHE_BLOCK * MICRO__CACHE_BLOCKS - 2);
    for (int i = 0; i <= different; i++) {
        snprintf(address, sizeof address, "h:%d", i);
        CHECK_EQ_STR(held[i]->ptr[0]->address, address);
    }
    for (int i = 0; i < HELD; i++)
        micro__selector_release(w.sel, held[i]);
    seltest_pass(2); /* what found no slot is tried again */
    micro_ignore((micro_err)seltest_select(w.sel, w.ctx, "s")[0]);
    CHECK_EQ_TEXT(seltest_select(w.sel, w.ctx, "s"), "n1@h:300");
    seltest_end(&w);
}

TEST(cache_slots_are_used_again)
{
    seltest_world w;
    char address[16];
    REQUIRE(seltest_begin(&w, &seltest_watched_ops, MICRO_OFF));
    seltest_add(&w.reg, "s", "1", "n1", "h:0");
    for (int i = 0; i < 2000; i++) {
        const micro_nodes *nodes;
        REQUIRE(!micro__selector_select(w.sel, w.ctx, "s", &nodes));
        snprintf(address, sizeof address, "h:%d", i);
        CHECK_EQ_STR(nodes->ptr[0]->address, address);
        snprintf(address, sizeof address, "h:%d", i + 1);
        seltest_event(&w.reg, MICRO_UPDATED, "n1", address);
        micro__selector_release(w.sel, nodes);
    }
    seltest_end(&w);
}

/* ---- the blacklist ------------------------------------------------------------------------------- */

TEST(blacklist_rules)
{
    static const struct {
        const char *
            marks; /* c: cannot connect is the cache's; i: EIO, t: ETIMEDOUT, 5: 500, 4: 400, o: OK */
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
    micro__selector_reset(sel, "t");
    CHECK_EQ_TEXT(seltest_select(sel, ctx, "s"), "ENONODE");
    micro__selector_reset(sel, "s");
    CHECK_EQ_TEXT(seltest_select(sel, ctx, "s"), "n1@h:1 n2@h:2");
    for (int i = 0; i < 3; i++)
        seltest_mark(sel, "n1", "h:1", MICRO_EIO);
    const micro_nodes *nodes; /* held beyond a change */
    REQUIRE(!micro__selector_select(sel, ctx, "s", &nodes));
    micro__selector_reset(sel, NULL);
    CHECK_EQ_STR(nodes->ptr[0]->id, "n2");
    micro__selector_release(sel, nodes);
    micro_selector_free(sel);
    micro_ctx_free(ctx);
}

/* ---- without memory ------------------------------------------------------------------------------ */

static pthread_mutex_t seltest_memory = PTHREAD_MUTEX_INITIALIZER;

/* A lost event is made good by the refresher, which has a thread of its own. */
static void *seltest_realloc(void *arg, void *old, size_t old_size, size_t new_size)
{
    pthread_mutex_lock(&seltest_memory);
    void *p = failing_realloc(arg, old, old_size, new_size);
    pthread_mutex_unlock(&seltest_memory);
    return p;
}

static void seltest_fail_at(size_t n, bool once)
{
    failing_begin(n);
    failing.once = once;
    micro_allocator_set(seltest_realloc, NULL);
}

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
    micro_ctx_free(ctx);
    micro__ctx_spare_free();
}

TEST(selector_out_of_memory)
{
    bool whole = false;
    for (size_t n = 1; n < 2000 && !whole; n++) {
        NOTE("request %zu fails, and all after", n);
        seltest_fail_at(n, false);
        seltest_scenario();
        whole = failing_end();
        NOTE("request %zu fails alone", n);
        seltest_fail_at(n, true);
        seltest_scenario();
        failing_end();
    }
    CHECK(whole);
}

/* ---- many threads -------------------------------------------------------------------------------- */

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
            micro__selector_reset(s->w.sel, i % 128 ? "s" : NULL);
        if (i % 100 == 0)
            seltest_pass(1);
    }
    return NULL;
}

TEST(cache_storm)
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
    }
    micro_ctx_free(ctx);
    return NULL;
}

TEST(cache_storm_over_memory)
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
    micro__selector_reset(s.w.sel, "other");
    for (int i = 0; i < 4; i++) { /* nobody is set aside any more */
        char id[3] = { 'n', (char)('1' + i), 0 }, address[4] = { 'h', ':', (char)('1' + i), 0 };
        seltest_mark(s.w.sel, id, address, MICRO_OK);
    }
    const micro_nodes *nodes;
    REQUIRE(!micro__selector_select(s.w.sel, ctx, "s", &nodes));
    CHECK_EQ_UINT(nodes->len, all.ptr[0].nodes.len);
    for (size_t i = 0; i < nodes->len; i++)
        CHECK(micro__entry_node(&all.ptr[0], nodes->ptr[i]->id));
    micro__selector_release(s.w.sel, nodes);
    micro_ctx_free(ctx);
    micro_selector_free(s.w.sel);
    micro_registry_free(reg);
}
