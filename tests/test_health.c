/* SPDX-License-Identifier: MIT */
/* Nodes that keep failing: passed over, tried, shut; and what further attempts may cost. */
#include "fake_registry.h"
#include "hello.h"
#include "raw.h"
#include "service/service.h"

#define HEALTH_MANY 100

static const micro__limits health_limits = { .eject_after = 3, .break_after = 6, .eject_ms = 1000 };
static const micro__filter health_filter = { .limits = &health_limits };
static char health_ids[HEALTH_MANY][16];

static micro__nodeset *health_set(int n, const micro__nodeset *before)
{
    static micro_node nodes[HEALTH_MANY];
    micro_entry e = { .name = micro_s("s"), .version = micro_s("1") };
    const micro_entries list = { &e, 1, 0 };
    for (int i = 0; i < n; i++) {
        snprintf(health_ids[i], sizeof health_ids[i], "n%d", i);
        nodes[i].id = nodes[i].address = micro_s(health_ids[i]);
    }
    e.nodes.ptr = nodes;
    e.nodes.len = (size_t)n;
    micro__sys.clock_gettime = seltest_clock;
    return micro__nodeset_new(&list, before);
}

/* The place picked, SIZE_MAX: none. */
static size_t health_pick_with(const micro__nodeset *set, const micro__filter *filter, int attempt,
                               const micro_strategy *strategy)
{
    const micro_node *node;
    size_t last = SIZE_MAX;
    micro_err err = micro__select_pick(&set->nodes, filter, strategy, "s", "key",
                                       micro__random_fast(), attempt, &last, &node);
    if (err)
        CHECK_EQ_INT(err, MICRO_ENONODE);
    return err ? SIZE_MAX : last;
}

static size_t health_pick(const micro__nodeset *set)
{
    return health_pick_with(set, &health_filter, 1, NULL);
}

/* Which of the first 8 nodes are picked in 200 calls, one bit each; 0: none. */
static unsigned health_picked(const micro__nodeset *set, int attempt,
                              const micro_strategy *strategy)
{
    unsigned seen = 0;
    for (int i = 0; i < 200; i++) {
        size_t at = health_pick_with(set, &health_filter, attempt, strategy);
        seen |= at == SIZE_MAX ? 0 : 1u << at;
    }
    return seen;
}

static void health_marks(micro__nodeset *set, size_t i, micro_err result, int times)
{
    for (int k = 0; k < times; k++)
        micro__health_mark(set, i, "s", result, &health_limits);
}

/* ---- passed over ------------------------------------------------------------------------------*/

TEST(health_what_counts)
{
    static const struct {
        micro_err result;
        bool counts, ends;
    } rows[] = {
        { MICRO_OK, false, true },
        { 400, false, true },
        { 499, false, true },
        { MICRO_EREMOTE, false, true },
        { MICRO_EPLAIN, false, true },
        { 500, true, false },
        { 503, true, false },
        { MICRO_ETIMEDOUT, true, false },
        { MICRO_ECONNECT, true, false },
        { MICRO_EIO, true, false },
        { MICRO_EPROTO, true, false },
        { MICRO_ECANCELED, false, false },
        { MICRO_ENOMEM, false, false },
        { MICRO_EFORMAT, false, false },
        { MICRO_ECODEC, false, false },
        { MICRO_EINVAL, false, false },
    };
    for (size_t i = 0; i < MICRO_COUNTOF(rows); i++) {
        micro__nodeset *set = health_set(2, NULL);
        REQUIRE(set);
        NOTE("result %d", rows[i].result);
        health_marks(set, 0, rows[i].result, 2);
        CHECK_EQ_UINT(health_picked(set, 1, NULL), 3);
        health_marks(set, 0, rows[i].result, 1);
        CHECK_EQ_UINT(health_picked(set, 1, NULL), rows[i].counts ? 2 : 3);
        micro__nodeset_drop(set);
        set = health_set(2, NULL);
        REQUIRE(set);
        health_marks(set, 0, 500, 2);
        health_marks(set, 0, rows[i].result, 1); /* in between: ends the row, or not */
        health_marks(set, 0, 500, 1);
        CHECK_EQ_UINT(health_picked(set, 1, NULL), rows[i].ends ? 3 : 2);
        micro__nodeset_drop(set);
    }
}

TEST(health_passed_over_by_every_strategy)
{
    const micro_strategy *const strategies[] = { NULL, &micro_strategy_round_robin,
                                                 &micro_strategy_least_calls,
                                                 &micro_strategy_two_choices };
    micro__nodeset *set = health_set(4, NULL);
    REQUIRE(set);
    size_t owner = health_pick_with(set, &health_filter, 1, &micro_strategy_hash);
    size_t other = (owner + 1) % 4;
    health_marks(set, owner, 500, 3);
    health_marks(set, other, MICRO_EIO, 3);
    unsigned left = 15 & ~(1u << owner | 1u << other);
    for (size_t k = 0; k < MICRO_COUNTOF(strategies); k++)
        CHECK_EQ_UINT(health_picked(set, 1, strategies[k]), left);
    size_t heir = health_pick_with(set, &health_filter, 1, &micro_strategy_hash);
    CHECK(left >> heir & 1);
    health_marks(set, owner, MICRO_OK, 1);
    CHECK_EQ_UINT(health_pick_with(set, &health_filter, 1, &micro_strategy_hash), owner);
    const micro__filter off = { .limits = NULL }; /* who does not want it does not get it */
    bool seen = false;
    for (int i = 0; i < 200; i++)
        seen |= health_pick_with(set, &off, 1, NULL) == other;
    CHECK(seen);
    micro__nodeset_drop(set);
}

/* Errors that all raise are the service's: nobody is better than another. */
TEST(health_all_out_is_all_in)
{
    micro__nodeset *set = health_set(3, NULL);
    REQUIRE(set);
    health_marks(set, 0, 500, 3);
    health_marks(set, 1, 500, 3);
    CHECK_EQ_UINT(health_picked(set, 1, NULL), 4);
    health_marks(set, 2, 500, 100);
    CHECK_EQ_UINT(health_picked(set, 1, NULL), 7);
    CHECK(!micro__select_shut(&set->nodes, &health_limits));
    micro__nodeset_drop(set);
}

TEST(health_with_filters_and_subsets)
{
    micro__nodeset *set = health_set(5, NULL);
    const uint32_t index[] = { 1, 2, 4 };
    micro__nodeset *part = micro__nodeset_subset(set, index, 3);
    const micro__filter version = { .version = "1", .limits = &health_limits };
    REQUIRE(set && part);
    health_marks(part, 1, 500, 3); /* n2 */
    CHECK_EQ_UINT(health_picked(set, 1, NULL), 27);
    CHECK_EQ_UINT(health_picked(part, 1, NULL), 5);
    for (int i = 0; i < 100; i++)
        CHECK(health_pick_with(set, &version, 1, NULL) != 2);
    micro__nodeset_drop(part);
    micro__nodeset_drop(set);
}

TEST(health_of_many_nodes)
{
    micro__nodeset *set = health_set(HEALTH_MANY, NULL);
    REQUIRE(set);
    for (size_t i = 0; i < HEALTH_MANY; i++)
        if (i != 70)
            health_marks(set, i, 500, 3);
    for (int i = 0; i < 50; i++)
        CHECK_EQ_UINT(health_pick(set), 70);
    micro__nodeset_drop(set);
}

/* What was seen of a node is not forgotten when others come and go. */
TEST(health_outlives_the_set)
{
    micro__nodeset *a = health_set(3, NULL);
    REQUIRE(a);
    health_marks(a, 1, 500, 3);
    micro__nodeset *b = health_set(4, a);
    REQUIRE(b);
    micro__nodeset_drop(a);
    CHECK_EQ_UINT(health_picked(b, 1, NULL), 13);
    health_marks(b, 1, MICRO_OK, 1);
    CHECK_EQ_UINT(health_picked(b, 1, NULL), 15);
    micro__nodeset_drop(b);
}

/* ---- tried ------------------------------------------------------------------------------------*/

/* How many of 300 picks are node 0. */
static int health_trials(const micro__nodeset *set, int attempt)
{
    int n = 0;
    for (int i = 0; i < 300; i++)
        n += health_pick_with(set, &health_filter, attempt, NULL) == 0;
    return n;
}

TEST(health_one_trial_at_a_time)
{
    micro__nodeset *set = health_set(3, NULL);
    static const int seconds[] = { 1, 2, 4, 8, 16, 30, 30 };
    REQUIRE(set);
    health_marks(set, 0, 500, 3);
    for (size_t i = 0; i < MICRO_COUNTOF(seconds); i++) {
        NOTE("trial %zu", i);
        CHECK_EQ_INT(health_trials(set, 1), 0);
        if (seconds[i] > 1) {
            seltest_pass(seconds[i] / 2); /* up to a quarter is left to chance */
            CHECK_EQ_INT(health_trials(set, 1), 0);
            seltest_pass(seconds[i] - seconds[i] / 2);
        } else {
            seltest_pass(1);
        }
        CHECK_EQ_INT(health_trials(set, 2), 0); /* a further attempt is to succeed */
        CHECK_EQ_INT(health_trials(set, 1), 1);
        health_marks(set, 0, 500, 1);
    }
    seltest_pass(30);
    CHECK_EQ_INT(health_trials(set, 1), 1);
    health_marks(set, 0, MICRO_OK, 1);
    CHECK(health_trials(set, 1) > 30);
    CHECK(!atomic_load(&set->ailing));
    health_marks(set, 0, 500, 3); /* the first pause is short again */
    CHECK_EQ_INT(health_trials(set, 1), 0);
    seltest_pass(1);
    CHECK_EQ_INT(health_trials(set, 1), 1);
    micro__nodeset_drop(set);
}

/* A trial that nobody reports on, since its caller gave up, does not end the trials. */
TEST(health_a_lost_trial_is_made_good)
{
    micro__nodeset *set = health_set(3, NULL);
    REQUIRE(set);
    health_marks(set, 0, 500, 3);
    seltest_pass(1);
    CHECK_EQ_INT(health_trials(set, 1), 1);
    health_marks(set, 0, MICRO_ECANCELED, 1);
    CHECK_EQ_INT(health_trials(set, 1), 0);
    seltest_pass(2);
    CHECK_EQ_INT(health_trials(set, 1), 1);
    micro__nodeset_drop(set);
}

/* ---- shut -------------------------------------------------------------------------------------*/

TEST(health_breaker)
{
    micro__nodeset *set = health_set(2, NULL);
    REQUIRE(set);
    for (size_t i = 0; i < 2; i++) {
        health_marks(set, i, MICRO_ETIMEDOUT, 5);
        health_marks(set, i, 500, 1); /* it does answer */
        health_marks(set, i, MICRO_ETIMEDOUT, 5);
    }
    CHECK_EQ_UINT(health_picked(set, 1, NULL), 3); /* both are out, none is shut */
    health_marks(set, 0, MICRO_EIO, 1);
    CHECK_EQ_UINT(health_picked(set, 1, NULL), 2);
    CHECK(!micro__select_shut(&set->nodes, &health_limits));
    health_marks(set, 1, MICRO_EIO, 1);
    CHECK_EQ_UINT(health_picked(set, 1, NULL), 0);
    CHECK(micro__select_shut(&set->nodes, &health_limits));
    const micro__limits never = { .eject_after = 3, .break_after = 0, .eject_ms = 1000 };
    const micro__filter without = { .limits = &never };
    CHECK(health_pick_with(set, &without, 1, NULL) != SIZE_MAX);
    seltest_pass(1);
    CHECK_EQ_INT(health_trials(set, 1), 1); /* half open */
    health_marks(set, 0, 404, 1);
    CHECK_EQ_UINT(health_picked(set, 2, NULL), 1);
    micro__nodeset_drop(set);
}

/* ---- no memory, whether all is well or not ----------------------------------------------------*/

TEST(health_takes_no_memory)
{
    micro__nodeset *set = health_set(8, NULL);
    REQUIRE(set);
    failing_begin(1); /* every request would fail */
    for (int ill = 0; ill < 2; ill++) {
        for (int i = 0; i < 1000; i++) {
            size_t at = health_pick(set);
            CHECK(at < 8);
            health_marks(set, at, i % 7 ? MICRO_OK : 500, 1);
        }
        health_marks(set, 3, 500, 3);
    }
    CHECK_EQ_UINT(failing.calls, 0);
    failing_end();
    micro__nodeset_drop(set);
}

/* ---- the budget -------------------------------------------------------------------------------*/

static int health_take(micro__budgets *b, const char *service, int percent, int tries)
{
    int taken = 0;
    for (int i = 0; i < tries; i++)
        taken += micro__budget_take(b, service, percent);
    return taken;
}

TEST(budget_bounds_attempts)
{
    static micro__budgets b;
    micro__sys.clock_gettime = seltest_clock;
    CHECK_EQ_INT(health_take(&b, "s", 10, 500), 101); /* the reserve, and one in spite of all */
    for (int i = 0; i < 1000; i++)
        micro__budget_earn(&b, "s", 10);
    CHECK_EQ_INT(health_take(&b, "s", 10, 500), 100);
    for (int i = 0; i < 100000; i++) /* more than the reserve is not put by */
        micro__budget_earn(&b, "s", 10);
    CHECK_EQ_INT(health_take(&b, "s", 10, 500), 100);
    seltest_pass(1);
    CHECK_EQ_INT(health_take(&b, "s", 10, 500), 1);
    seltest_pass(100);
    CHECK_EQ_INT(health_take(&b, "s", 10, 500), 1);
    CHECK_EQ_INT(health_take(&b, "other", 10, 500), 101); /* each service has its own */
    CHECK_EQ_INT(health_take(&b, "s", MICRO_OFF, 500), 500);
}

static int health_no_time(clockid_t clock, struct timespec *out)
{
    (void)clock;
    *out = (struct timespec){ .tv_sec = 1000 };
    return 0;
}

TEST(budget_of_many_services)
{
    static micro__budgets b;
    micro__sys.clock_gettime = health_no_time; /* each second allows an attempt */
    int taken = 0;
    for (int i = 0; i < 1000; i++) {
        char name[24];
        snprintf(name, sizeof name, "service-%d", i);
        taken += health_take(&b, name, 10, 200);
        micro__budget_earn(&b, name, 10);
    }
    CHECK(taken >= 101 * MICRO__BUDGET_SERVICES / 2);
    CHECK(taken <= 101 * MICRO__BUDGET_SERVICES + 100); /* they share, and earn a tenth */
}

/* ---- in calls ---------------------------------------------------------------------------------*/

#define HEALTH_NODES 3

MICRO_METHOD_EX(health_ask, "Say.Hello", hello_msg, hello_answer, NULL, MICRO_IDEMPOTENT);

typedef struct health_fixture {
    micro_registry *reg;
    micro_service *node[HEALTH_NODES], *client;
    micro_ctx *ctx;
    atomic_int attempts[HEALTH_NODES], fails[HEALTH_NODES];
    micro__nodeset *set;   /* NULL: handlers do not look at it */
    atomic_uint runs_seen; /* calls that its nodes had running, as handlers found them */
} health_fixture;

typedef struct health_state {
    health_fixture *f;
    int i;
} health_state;

static micro_err health_handler(micro_ctx *ctx, const hello_msg *req, hello_answer *rsp)
{
    const health_state *s = micro_ctx_state(ctx);
    atomic_fetch_add(&s->f->attempts[s->i], 1);
    for (size_t i = 0; s->f->set && i < s->f->set->nodes.len; i++)
        if (micro__str_is(s->f->set->nodes.ptr[i]->address,
                          micro_service_address(s->f->node[s->i])))
            atomic_fetch_add(&s->f->runs_seen, atomic_load(&s->f->set->health[i]->running));
    int code = atomic_load(&s->f->fails[s->i]);
    if (code)
        return micro_fail(ctx, code, "out of order");
    rsp->msg = micro_copy(ctx, req->name);
    return MICRO_OK;
}

static bool health_setup(health_fixture *f, const micro_call_opts *call)
{
    static health_state states[HEALTH_NODES];
    memset(f, 0, sizeof *f);
    f->reg = micro_registry_memory_new();
    for (int i = 0; i < HEALTH_NODES; i++) {
        states[i] = (health_state){ f, i };
        f->node[i] = micro_service_new(.name = "ask", .registry = f->reg, .address = "127.0.0.1:0");
        health_ask_handle(f->node[i], health_handler, &states[i]);
        if (!CHECK_EQ_INT(micro_service_start(f->node[i]), MICRO_OK))
            return false;
    }
    f->client = micro_service_new(.name = "caller", .registry = f->reg, .call = call);
    f->ctx = micro_ctx_new(f->client);
    return CHECK(f->client && f->ctx);
}

static void health_teardown(health_fixture *f)
{
    micro_ctx_free(f->ctx);
    micro_service_free(f->client);
    for (int i = 0; i < HEALTH_NODES; i++)
        micro_service_free(f->node[i]);
    micro_registry_free(f->reg);
}

static int health_calls(health_fixture *f, int n)
{
    int ok = 0;
    for (int i = 0; i < n; i++) {
        hello_msg req = { micro_s("John") };
        hello_answer rsp;
        ok += health_ask(f->ctx, "ask", &req, &rsp) == MICRO_OK;
        micro_ctx_reset(f->ctx);
    }
    return ok;
}

static int health_attempts(health_fixture *f)
{
    int n = 0;
    for (int i = 0; i < HEALTH_NODES; i++)
        n += atomic_exchange(&f->attempts[i], 0);
    return n;
}

TEST(calls_pass_over_a_failing_node)
{
    health_fixture f;
    REQUIRE(health_setup(&f, NULL));
    CHECK_EQ_INT(health_calls(&f, 30), 30);
    atomic_store(&f.fails[1], 500);
    CHECK_EQ_INT(health_calls(&f, 60), 60); /* warm up */
    CHECK(atomic_load(&f.attempts[1]) >= 5);
    health_attempts(&f);
    CHECK_EQ_INT(health_calls(&f, 1000), 1000);
    int bad = atomic_load(&f.attempts[1]), all = health_attempts(&f);
    CHECK(bad <= 10);
    CHECK(all <= 1100);
    atomic_store(&f.fails[1], 0);
    for (int i = 0; i < 400 && atomic_load(&f.attempts[1]) < 50; i++) { /* until it was tried */
        CHECK_EQ_INT(health_calls(&f, 20), 20);
        usleep(20000);
    }
    CHECK(atomic_load(&f.attempts[1]) >= 50);
    health_teardown(&f);
}

/* Calls that go well cost no request for memory, nor do those that pass over a node. */
TEST(calls_take_no_memory_for_health)
{
    health_fixture f;
    failing_begin(0);
    REQUIRE(health_setup(&f, NULL));
    CHECK_EQ_INT(health_calls(&f, 60), 60);
    size_t before = failing_calls();
    CHECK_EQ_INT(health_calls(&f, 200), 200);
    CHECK_EQ_UINT(failing_calls() - before, 0);
    atomic_store(&f.fails[1], 500);
    CHECK_EQ_INT(health_calls(&f, 60), 60);
    before = failing_calls();
    CHECK_EQ_INT(health_calls(&f, 100), 100);
    CHECK(failing_calls() - before <= 10); /* for the errors of trials */
    health_teardown(&f);
    failing_end();
}

/* With ejection off the budget alone keeps the load in bounds. */
TEST(calls_keep_to_the_budget)
{
    health_fixture f;
    enum { CALLS = 1000 };
    REQUIRE(health_setup(&f, MICRO_OPTS(micro_call_opts, .eject_after = MICRO_OFF)));
    for (int i = 0; i < HEALTH_NODES; i++)
        atomic_store(&f.fails[i], 503);
    uint64_t began = micro__now_ms();
    CHECK_EQ_INT(health_calls(&f, CALLS), 0);
    int most = CALLS + 100 + CALLS / 10 + (int)((micro__now_ms() - began) / 1000) + 1;
    int attempts = health_attempts(&f);
    CHECK(attempts <= most);
    CHECK(attempts >= CALLS + 100);
    uint64_t again = micro__now_ms();
    CHECK_EQ_INT(health_calls(&f, CALLS), 0);
    attempts = health_attempts(&f);
    CHECK(attempts <= CALLS + CALLS / 10 + (int)((micro__now_ms() - again) / 1000) + 1);
    health_teardown(&f);
}

/* The service's own errors are what the caller sees, however often. */
TEST(calls_see_the_errors_of_the_service)
{
    health_fixture f;
    hello_msg req = { micro_s("John") };
    hello_answer rsp;
    REQUIRE(health_setup(&f, MICRO_OPTS(micro_call_opts, .attempts = 1)));
    for (int i = 0; i < HEALTH_NODES; i++)
        atomic_store(&f.fails[i], 500);
    for (int i = 0; i < 200; i++)
        CHECK_EQ_INT(health_ask(f.ctx, "ask", &req, &rsp), 500);
    for (int i = 0; i < HEALTH_NODES; i++)
        atomic_store(&f.fails[i], 0);
    CHECK_EQ_INT(health_calls(&f, 100), 100);
    health_teardown(&f);
}

static void health_told(micro_ctx *ctx, micro_err err, const hello_answer *rsp, void *arg)
{
    (void)ctx;
    (void)rsp;
    *(int *)arg += err == MICRO_OK;
}

/* As those of any call: they run, and how they end is held against the node, or in its favour. */
TEST(scattered_calls_count_for_the_health_of_nodes)
{
    health_fixture f;
    const micro_nodes *nodes;
    hello_msg req = { micro_s("John") };
    size_t out = 0;
    int ok = 0;
    REQUIRE(health_setup(&f, MICRO_OPTS(micro_call_opts, .attempts = 1)));
    micro_selector *sel = f.client->client.selector;
    REQUIRE(CHECK_EQ_INT(health_calls(&f, 1), 1));
    REQUIRE(CHECK_EQ_INT(micro__selector_select(sel, f.ctx, "ask", &nodes), MICRO_OK));
    f.set = micro__nodeset_of(nodes);
    atomic_store(&f.fails[1], 500);
    for (int i = 0; i < 5; i++) {
        health_ask_start_all(f.ctx, "ask", &req, NULL, health_told, &ok);
        CHECK_EQ_INT(micro_ctx_wait(f.ctx), MICRO_OK);
    }
    CHECK_EQ_INT(ok, 5 * (HEALTH_NODES - 1));
    CHECK_EQ_UINT(atomic_load(&f.runs_seen), 5 * HEALTH_NODES);
    for (size_t i = 0; i < HEALTH_NODES; i++) {
        CHECK_EQ_UINT(atomic_load(&f.set->health[i]->running), 0);
        out += micro__health_out(f.set->health[i]);
    }
    CHECK_EQ_UINT(out, 1);
    atomic_store(&f.fails[1], 0); /* it is asked all the same: an answer takes it all back */
    health_ask_start_all(f.ctx, "ask", &req, NULL, health_told, &ok);
    CHECK_EQ_INT(micro_ctx_wait(f.ctx), MICRO_OK);
    for (size_t i = 0; i < HEALTH_NODES; i++)
        CHECK(!micro__health_out(f.set->health[i]));
    micro__selector_release(sel, nodes);
    health_teardown(&f);
}

TEST(calls_break_where_nobody_answers)
{
    micro_registry *reg = micro_registry_memory_new();
    micro_service *client = micro_service_new(.name = "caller", .registry = reg);
    micro_ctx *ctx = micro_ctx_new(client);
    hello_msg req = { micro_s("John") };
    hello_answer rsp;
    char address[32];
    int fd = raw_listen(address); /* takes connections and never answers */
    micro_node node = { .id = micro_s("hung"), .address = micro_s(address) };
    micro_entry e = { .name = micro_s("ask"), .version = micro_s("1"), .nodes = { &node, 1, 0 } };
    REQUIRE(ctx && fd >= 0 && !micro_registry_put(reg, ctx, &e, 0));
    const micro_call_opts *brief =
        MICRO_OPTS(micro_call_opts, .timeout_ms = 100, .eject_ms = 30000, .break_after = 8);
    int asked = 0; /* on a busy machine the time may be over before anything is sent */
    while (asked < 80 && health_ask_with(ctx, "ask", &req, &rsp, brief) == MICRO_ETIMEDOUT)
        asked++;
    CHECK(asked >= 8 && asked < 80);
    for (int i = 0; i < 20; i++) {
        CHECK_EQ_INT(health_ask_with(ctx, "ask", &req, &rsp, brief), MICRO_ENONODE);
        CHECK_EQ_STR(micro_ctx_error(ctx)->detail, "circuit breaker is open");
    }
    const micro_call_opts *off =
        MICRO_OPTS(micro_call_opts, .timeout_ms = 10, .eject_after = MICRO_OFF);
    CHECK_EQ_INT(health_ask_with(ctx, "ask", &req, &rsp, off), MICRO_ETIMEDOUT);
    micro_ctx_free(ctx);
    micro_service_free(client);
    micro_registry_free(reg);
    close(fd);
}
