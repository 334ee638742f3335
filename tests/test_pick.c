/* SPDX-License-Identifier: MIT */
/* Node sets, filters, picking, and the strategies. */
#include "fake_registry.h"

/* ---- node sets --------------------------------------------------------------------------------*/

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
    micro__nodeset *set = micro__nodeset_new(&merged, NULL);
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

/* ---- picking ----------------------------------------------------------------------------------*/

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

TEST(pick_where_endpoints_are_not_known)
{
    micro__nodeset *set = seltest_set(seltest_five, 2);
    const micro__filter more = { .endpoint = "Say.More" };
    const micro_endpoints *endpoints[2];
    const micro_node *node;
    size_t last = SIZE_MAX;
    REQUIRE(set);
    micro_nodes nodes = set->nodes;
    endpoints[0] = nodes.endpoints[0];
    endpoints[1] = NULL; /* kept: it may have it */
    nodes.endpoints = endpoints;
    nodes.lib_ = NULL;
    CHECK_EQ_INT(micro__select_pick(&nodes, &more, NULL, "s", NULL, 0, 1, &last, &node), MICRO_OK);
    CHECK_EQ_UINT(last, 1);
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
