/* SPDX-License-Identifier: MIT */
/* Strategies that go by calls in progress and by key; the health that sets share; one request to
 * every node. */
#include "fake_registry.h"
#include "hello.h"
#include "service/service.h"

#define BALANCE_MAX 16

static char balance_ids[BALANCE_MAX][24], balance_addresses[BALANCE_MAX][24];

/* A set of n nodes whose ids begin with n<first>. */
static micro__nodeset *balance_set(int first, int n, const micro__nodeset *before)
{
    micro_node nodes[BALANCE_MAX];
    micro_entry e = { .name = micro_s("s"), .version = micro_s("1") };
    const micro_entries list = { &e, 1, 0 };
    memset(nodes, 0, sizeof nodes);
    for (int i = 0; i < n; i++) {
        snprintf(balance_ids[i], sizeof balance_ids[i], "greeter-n%d", first + i);
        snprintf(balance_addresses[i], sizeof balance_addresses[i], "h:%d", first + i);
        nodes[i].id = micro_s(balance_ids[i]);
        nodes[i].address = micro_s(balance_addresses[i]);
    }
    e.nodes.ptr = nodes;
    e.nodes.len = (size_t)n;
    return micro__nodeset_new(&list, before);
}

static size_t balance_pick(const micro_nodes *nodes, const micro_strategy *strategy,
                           const char *key, int attempt, size_t last)
{
    const micro_node *node;
    CHECK_EQ_INT(micro__select_pick(nodes, NULL, strategy, "s", key, 0, attempt, &last, &node),
                 MICRO_OK);
    return last;
}

static void balance_run(micro__nodeset *set, size_t i, int calls)
{
    atomic_fetch_add(&set->health[i]->running, (unsigned)calls);
}

/* ---- calls in progress ------------------------------------------------------------------------*/

TEST(strategy_least_calls_picks_the_idle)
{
    micro__nodeset *set = balance_set(0, 4, NULL);
    REQUIRE(set);
    balance_run(set, 0, 3);
    balance_run(set, 1, 1);
    balance_run(set, 2, 2);
    balance_run(set, 3, 3);
    for (int i = 0; i < 100; i++) {
        CHECK_EQ_UINT(balance_pick(&set->nodes, &micro_strategy_least_calls, NULL, 1, SIZE_MAX), 1);
        CHECK_EQ_UINT(balance_pick(&set->nodes, &micro_strategy_least_calls, NULL, 2, 1), 2);
    }
    micro__nodeset_drop(set);
}

/* Three that are equally idle beside a busy one, which must not shift the odds. */
TEST(strategy_least_calls_is_even_among_equals)
{
    enum { DRAWS = 30000 };
    micro__nodeset *set = balance_set(0, 4, NULL);
    int count[4] = { 0 };
    REQUIRE(set);
    balance_run(set, 1, 1);
    for (int i = 0; i < DRAWS; i++)
        count[balance_pick(&set->nodes, &micro_strategy_least_calls, NULL, 1, SIZE_MAX)]++;
    CHECK_EQ_INT(count[1], 0);
    for (int i = 0; i < 4; i++) /* six standard deviations */
        CHECK(i == 1 || abs(count[i] - DRAWS / 3) < 490);
    micro__nodeset_drop(set);
}

/* Of two at random the better: the busiest of n is chosen only if nothing else was drawn, so never;
 * the idlest whenever it was drawn, 2 of n times. */
TEST(strategy_two_choices_bounds)
{
    enum { DRAWS = 30000, N = 5 };
    micro__nodeset *set = balance_set(0, N, NULL);
    int count[N] = { 0 };
    REQUIRE(set);
    for (int i = 0; i < N; i++)
        balance_run(set, (size_t)i, i);
    for (int i = 0; i < DRAWS; i++)
        count[balance_pick(&set->nodes, &micro_strategy_two_choices, NULL, 1, SIZE_MAX)]++;
    CHECK_EQ_INT(count[N - 1], 0);
    for (int i = 0; i < N; i++) { /* pairs in which i is the better, of all pairs */
        int expected = DRAWS * (N - 1 - i) / (N * (N - 1) / 2);
        NOTE("node %d chosen %d times, expected %d", i, count[i], expected);
        CHECK(abs(count[i] - expected) < 520);
    }
    micro__nodeset_drop(set);
}

/* Calls of different lengths: the fuller half must not run away from the emptier. */
TEST(strategy_two_choices_keeps_the_peak_low)
{
    enum { N = 10, CALLS = 2000 };
    micro__nodeset *set = balance_set(0, N, NULL);
    unsigned peak = 0;
    REQUIRE(set);
    for (int i = 0; i < CALLS; i++)
        balance_run(set, balance_pick(&set->nodes, &micro_strategy_two_choices, NULL, 1, SIZE_MAX),
                    1);
    for (size_t i = 0; i < N; i++)
        if (atomic_load(&set->health[i]->running) > peak)
            peak = atomic_load(&set->health[i]->running);
    CHECK(peak <= CALLS / N + 8); /* by chance alone it would be some 25 above the mean */
    micro__nodeset_drop(set);
}

/* A strategy of a program's own sees the numbers too, through every kind of list. */
typedef struct balance_spy {
    micro_strategy base;
    uint32_t running[3], beyond;
} balance_spy;

static size_t balance_look(const micro_strategy *self, const micro_pick *from)
{
    balance_spy *spy = (balance_spy *)(uintptr_t)self;
    for (size_t i = 0; i < 3; i++)
        spy->running[i] = micro_pick_running(from, i);
    spy->beyond = micro_pick_running(from, from->nodes->len);
    return 0;
}

static bool balance_not_first(void *arg, const micro_node *node)
{
    return !micro__str_is(node->id, arg);
}

TEST(pick_running_through_filters)
{
    balance_spy spy = { .base = { sizeof(micro_strategy), "spy", balance_look } };
    micro__nodeset *set = balance_set(0, 3, NULL);
    const micro__filter filters[] = {
        { .version = "1" },
        { .fn = balance_not_first, .arg = balance_ids[0] },
        { .version = "1", .fn = balance_not_first, .arg = balance_ids[0] }
    };
    REQUIRE(set);
    for (int i = 0; i < 3; i++)
        balance_run(set, (size_t)i, 10 + i);
    for (size_t i = 0; i < MICRO_COUNTOF(filters); i++) {
        const micro_node *node;
        size_t last = SIZE_MAX;
        uint32_t first = filters[i].fn ? 11 : 10;
        NOTE("filter %zu", i);
        CHECK_EQ_INT(
            micro__select_pick(&set->nodes, &filters[i], &spy.base, "s", NULL, 0, 1, &last, &node),
            MICRO_OK);
        CHECK_EQ_UINT(spy.running[0], first);
        CHECK_EQ_UINT(spy.running[1], first + 1);
        CHECK_EQ_UINT(spy.beyond, 0);
    }
    micro_nodes foreign = set->nodes;
    foreign.lib_ = NULL;
    balance_pick(&foreign, &spy.base, NULL, 1, SIZE_MAX);
    CHECK_EQ_UINT(spy.running[0], 0);
    CHECK_EQ_UINT(micro_pick_running(NULL, 0), 0);
    micro__nodeset_drop(set);
}

/* ---- health goes on from set to set -----------------------------------------------------------*/

TEST(health_goes_with_the_node)
{
    micro__nodeset *a = balance_set(0, 6, NULL);
    REQUIRE(a);
    for (size_t i = 0; i < 6; i++)
        balance_run(a, i, (int)i + 1);
    micro__nodeset *b = balance_set(2, 6, a); /* two gone, two new */
    REQUIRE(b);
    for (size_t i = 0; i < 4; i++)
        CHECK(b->health[i] == a->health[i + 2]);
    CHECK_EQ_UINT(atomic_load(&b->health[4]->running), 0);
    micro__nodeset_drop(a); /* what b has stays */
    CHECK_EQ_UINT(atomic_load(&b->health[3]->running), 6);
    const uint32_t index[] = { 1, 3 };
    micro__nodeset *part = micro__nodeset_subset(b, index, 2);
    REQUIRE(part);
    CHECK(part->health[1] == b->health[3]);
    micro__nodeset_drop(b);
    CHECK_EQ_UINT(atomic_load(&part->health[1]->running), 6);
    micro__nodeset_drop(part);
}

TEST(health_is_of_an_address)
{
    micro_node node = { .id = micro_s("n"), .address = micro_s("h:1") };
    micro_entry e = { .name = micro_s("s"), .nodes = { &node, 1, 0 } };
    const micro_entries list = { &e, 1, 0 };
    micro__nodeset *a = micro__nodeset_new(&list, NULL);
    node.address = micro_s("h:2");
    micro__nodeset *b = micro__nodeset_new(&list, a);
    REQUIRE(a && b);
    CHECK(a->health[0] != b->health[0]);
    micro__nodeset_drop(a);
    micro__nodeset_drop(b);
}

TEST(health_out_of_memory)
{
    bool made = false;
    for (size_t n = 1; n < 100 && !made; n++) {
        failing_begin(n);
        micro__nodeset *a = balance_set(0, 3, NULL);
        micro__nodeset *b = balance_set(1, 3, a);
        made = a && b;
        if (a)
            micro__nodeset_drop(a);
        if (b)
            micro__nodeset_drop(b);
        (void)failing_end();
    }
    CHECK(made);
}

/* ---- by key -----------------------------------------------------------------------------------*/

static size_t balance_key(micro__nodeset *set, int key, int attempt, size_t last)
{
    char text[24];
    snprintf(text, sizeof text, "user-%d", key);
    return balance_pick(&set->nodes, &micro_strategy_hash, text, attempt, last);
}

TEST(strategy_hash_same_key_same_node)
{
    enum { KEYS = 10000, N = 10 };
    micro__nodeset *set = balance_set(0, N, NULL);
    int count[N] = { 0 };
    REQUIRE(set);
    micro_nodes foreign = set->nodes;
    foreign.lib_ = NULL;
    for (int i = 0; i < KEYS; i++) {
        size_t at = balance_key(set, i, 1, SIZE_MAX);
        char key[24];
        snprintf(key, sizeof key, "user-%d", i);
        CHECK_EQ_UINT(balance_key(set, i, 1, SIZE_MAX), at);
        CHECK_EQ_UINT(balance_pick(&foreign, &micro_strategy_hash, key, 1, SIZE_MAX), at);
        count[at]++;
    }
    for (int i = 0; i < N; i++) /* six standard deviations */
        CHECK(abs(count[i] - KEYS / N) < 180);
    CHECK_EQ_UINT(balance_key(set, 1, 1, SIZE_MAX), 6); /* and in every other process */
    CHECK_EQ_UINT(balance_key(set, 2, 1, SIZE_MAX), 1);
    micro__nodeset_drop(set);
}

/* A node that goes leaves its keys to the others, evenly, and no other key moves. */
TEST(strategy_hash_moves_few_keys)
{
    enum { KEYS = 10000, N = 10 };
    micro__nodeset *all = balance_set(0, N, NULL), *less = balance_set(0, N - 1, NULL);
    int moved[N] = { 0 }, gone = 0;
    REQUIRE(all && less);
    for (int i = 0; i < KEYS; i++) {
        size_t before = balance_key(all, i, 1, SIZE_MAX), after = balance_key(less, i, 1, SIZE_MAX);
        if (before != N - 1) {
            CHECK_EQ_UINT(after, before);
            continue;
        }
        gone++;
        moved[after]++;
        CHECK_EQ_UINT(balance_key(all, i, 2, before), after); /* where a failed call goes on */
    }
    CHECK(gone > 800 && gone < 1200);
    for (int i = 0; i < N - 1; i++)
        CHECK(moved[i] > gone / (N - 1) - 60 && moved[i] < gone / (N - 1) + 60);
    micro__nodeset_drop(all);
    micro__nodeset_drop(less);
}

TEST(strategy_hash_attempts_go_down_the_ranks)
{
    enum { N = 7 };
    micro__nodeset *set = balance_set(0, N, NULL);
    REQUIRE(set);
    for (int key = 0; key < 50; key++) {
        unsigned seen = 0;
        size_t last = SIZE_MAX, first = SIZE_MAX;
        for (int i = 1; i <= N; i++) {
            last = balance_key(set, key, i, last);
            first = i == 1 ? last : first;
            seen |= 1u << last;
        }
        CHECK_EQ_UINT(seen, (1u << N) - 1);
        CHECK_EQ_UINT(balance_key(set, key, N + 1, last), first);
    }
    int count[N] = { 0 };
    for (int i = 0; i < 1000; i++) /* no key: random */
        count[balance_pick(&set->nodes, &micro_strategy_hash, NULL, 1, SIZE_MAX)]++;
    for (int i = 0; i < N; i++)
        CHECK(count[i] > 50);
    micro__nodeset_drop(set);
}

TEST(strategies_second_attempt_goes_elsewhere)
{
    const micro_strategy *const strategies[] = { &micro_strategy_least_calls,
                                                 &micro_strategy_two_choices,
                                                 &micro_strategy_hash };
    micro__nodeset *one = balance_set(0, 1, NULL);
    REQUIRE(one);
    for (int n = 2; n < 5; n++) {
        micro__nodeset *set = balance_set(0, n, NULL);
        REQUIRE(set);
        for (size_t k = 0; k < MICRO_COUNTOF(strategies); k++) {
            for (int i = 0; i < 100; i++) {
                size_t last = (size_t)(i % n);
                CHECK(balance_pick(&set->nodes, strategies[k], "key", 2, last) != last);
            }
            CHECK_EQ_UINT(balance_pick(&one->nodes, strategies[k], "key", 2, 0), 0);
            CHECK_EQ_UINT(balance_pick(&one->nodes, strategies[k], NULL, 1, SIZE_MAX), 0);
        }
        micro__nodeset_drop(set);
    }
    micro__nodeset_drop(one);
}

/* ---- in calls ---------------------------------------------------------------------------------*/

#define BALANCE_NODES 3

typedef struct balance_fixture {
    micro_registry *reg;
    micro_service *node[BALANCE_NODES], *client;
    micro_ctx *ctx;
    int ok, failed;
    micro_err last;
    char peers[BALANCE_NODES][64];
} balance_fixture;

static bool balance_setup(balance_fixture *f)
{
    memset(f, 0, sizeof *f);
    f->reg = micro_registry_memory_new();
    for (int i = 0; i < BALANCE_NODES; i++) {
        char zone[24];
        const char *const metadata[] = { zone, NULL };
        snprintf(zone, sizeof zone, "zone=%d", i);
        f->node[i] = hello_start(MICRO_OPTS(micro_service_opts, .abi_ = MICRO_ABI,
                                            .registry = f->reg, .metadata = metadata));
        if (!CHECK(f->node[i]))
            return false;
    }
    f->client = micro_service_new(.name = "caller", .registry = f->reg);
    f->ctx = micro_ctx_new(f->client);
    return CHECK(f->client && f->ctx);
}

static void balance_teardown(balance_fixture *f)
{
    micro_ctx_free(f->ctx);
    micro_service_free(f->client);
    for (int i = 0; i < BALANCE_NODES; i++)
        micro_service_free(f->node[i]);
    micro_registry_free(f->reg);
}

static void balance_note(micro_ctx *ctx, micro_err err, const hello_answer *rsp, void *arg)
{
    balance_fixture *f = arg;
    (void)rsp;
    f->last = err;
    if (err)
        f->failed++;
    else if (f->ok < BALANCE_NODES)
        snprintf(f->peers[f->ok++], sizeof f->peers[0], "%s", micro_ctx_info(ctx)->peer);
}

TEST(scatter_to_every_node)
{
    balance_fixture f;
    hello_msg req = { micro_s("John") };
    REQUIRE(balance_setup(&f));
    CHECK_EQ_UINT(hello_say_start_all(f.ctx, "go.micro.srv.greeter", &req, NULL, balance_note, &f),
                  BALANCE_NODES);
    CHECK_EQ_INT(micro_ctx_wait(f.ctx), MICRO_OK);
    CHECK_EQ_INT(f.ok, BALANCE_NODES);
    for (int i = 0; i < BALANCE_NODES; i++) {
        int seen = 0;
        for (int k = 0; k < BALANCE_NODES; k++)
            seen += strcmp(f.peers[k], micro_service_address(f.node[i])) == 0;
        CHECK_EQ_INT(seen, 1);
    }
    f.ok = 0;
    CHECK_EQ_UINT(hello_say_start_all(f.ctx, "go.micro.srv.greeter", &req,
                                      MICRO_OPTS(micro_call_opts, .label = "zone=1"), balance_note,
                                      &f),
                  1);
    CHECK_EQ_INT(micro_ctx_wait(f.ctx), MICRO_OK);
    CHECK_EQ_INT(f.ok, 1);
    CHECK_EQ_TEXT(f.peers[0], micro_service_address(f.node[1]));
    balance_teardown(&f);
}

/* One that is down and one that raises an error leave the answers of the others. */
TEST(scatter_gathers_failures_too)
{
    balance_fixture f;
    hello_msg req = { micro_s("John") };
    REQUIRE(balance_setup(&f));
    CHECK_EQ_UINT(hello_say_start_all(f.ctx, "go.micro.srv.greeter", &req, NULL, balance_note, &f),
                  BALANCE_NODES); /* known from here on */
    CHECK_EQ_INT(micro_ctx_wait(f.ctx), MICRO_OK);
    f.ok = f.failed = 0;
    CHECK_EQ_UINT(hello_fail_start_all(f.ctx, "go.micro.srv.greeter", &req, NULL, balance_note, &f),
                  BALANCE_NODES);
    CHECK_EQ_INT(micro_ctx_wait(f.ctx), MICRO_OK);
    CHECK_EQ_INT(f.failed, BALANCE_NODES);
    CHECK_EQ_INT(f.last, 400);
    f.failed = 0;
    CHECK_EQ_UINT(hello_say_start_all(f.ctx, "nobody", &req, NULL, balance_note, &f), 0);
    CHECK_EQ_INT(f.failed, 1);
    CHECK_EQ_INT(f.last, MICRO_ENOTFOUND);
    CHECK_EQ_UINT(hello_say_start_all(f.ctx, "go.micro.srv.greeter", &req,
                                      MICRO_OPTS(micro_call_opts, .label = "zone=7"), balance_note,
                                      &f),
                  0);
    CHECK_EQ_INT(f.failed, 2);
    CHECK_EQ_INT(f.last, MICRO_ENONODE);
    CHECK_EQ_UINT(hello_say_start_all(f.ctx, "go.micro.srv.greeter", NULL, NULL, balance_note, &f),
                  0);
    CHECK_EQ_INT(f.last, MICRO_EINVAL);
    CHECK_EQ_UINT(
        hello_say_start_all(f.ctx, "greeter", &req,
                            MICRO_OPTS(micro_call_opts, .content_type = "application/x-unknown"),
                            balance_note, &f),
        0);
    CHECK_EQ_INT(f.last, MICRO_ECODEC);
    balance_teardown(&f);
}

/* Uneven load: what a slow call holds is passed over while it runs, and counts no more after. */
TEST_OF_THREADS(overlap, least_calls_in_calls)
{
    balance_fixture f;
    hello_msg slow = { micro_s("400") }, req = { micro_s("John") };
    hello_answer rsp;
    const micro_call_opts *least =
        MICRO_OPTS(micro_call_opts, .strategy = &micro_strategy_least_calls);
    REQUIRE(balance_setup(&f));
    CHECK_EQ_UINT(hello_say_start_all(f.ctx, "go.micro.srv.greeter", &req, NULL, balance_note, &f),
                  BALANCE_NODES);
    CHECK_EQ_INT(micro_ctx_wait(f.ctx), MICRO_OK);
    f.ok = 0;
    hello_slow_start_with(f.ctx, "go.micro.srv.greeter", &slow, least, balance_note, &f);
    const micro_nodes *nodes;
    unsigned running = 0;
    micro_selector *sel = f.client->client.selector;
    REQUIRE(!micro__selector_select(sel, f.ctx, "go.micro.srv.greeter", &nodes));
    micro__nodeset *set = micro__nodeset_of(nodes);
    size_t busy = 0;
    for (int tries = 0; tries < 1000 && !running; tries++) {
        for (size_t i = 0; i < BALANCE_NODES; i++)
            if (atomic_load(&set->health[i]->running)) {
                running = 1;
                busy = i;
            }
        usleep(1000);
    }
    CHECK_EQ_UINT(running, 1);
    for (int i = 0; i < 50 && f.ok == 0; i++) {
        CHECK_EQ_INT(hello_say_with(f.ctx, "go.micro.srv.greeter", &req, &rsp, least), MICRO_OK);
        if (f.ok == 0)
            CHECK(!micro__str_is(nodes->ptr[busy]->address, micro_ctx_info(f.ctx)->peer));
    }
    CHECK_EQ_INT(micro_ctx_wait(f.ctx), MICRO_OK);
    for (size_t i = 0; i < BALANCE_NODES; i++)
        CHECK_EQ_UINT(atomic_load(&set->health[i]->running), 0);
    micro__selector_release(sel, nodes);
    balance_teardown(&f);
}

TEST(hash_in_calls)
{
    balance_fixture f;
    hello_msg req = { micro_s("John") };
    hello_answer rsp;
    REQUIRE(balance_setup(&f));
    CHECK_EQ_UINT(hello_say_start_all(f.ctx, "go.micro.srv.greeter", &req, NULL, balance_note, &f),
                  BALANCE_NODES);
    CHECK_EQ_INT(micro_ctx_wait(f.ctx), MICRO_OK);
    int others = 0;
    char first[64] = "";
    for (int key = 0; key < 20; key++) {
        char text[16], peer[64] = "";
        snprintf(text, sizeof text, "user-%d", key);
        for (int i = 0; i < 5; i++) {
            CHECK_EQ_INT(hello_say_with(f.ctx, "go.micro.srv.greeter", &req, &rsp,
                                        MICRO_OPTS(micro_call_opts, .key = text,
                                                   .strategy = &micro_strategy_hash)),
                         MICRO_OK);
            if (i)
                CHECK_EQ_TEXT(micro_ctx_info(f.ctx)->peer, peer);
            snprintf(peer, sizeof peer, "%s", micro_ctx_info(f.ctx)->peer);
        }
        if (key == 0)
            snprintf(first, sizeof first, "%s", peer);
        others += strcmp(peer, first) != 0;
        micro_ctx_reset(f.ctx);
    }
    CHECK(others > 0);
    balance_teardown(&f);
}
