/* SPDX-License-Identifier: MIT */
/* The registry functions' checks, the model, watchers, and the memory registry. */
#include "failing.h"
#include "harness.h"
#include "net/net.h"
#include "registry/registry.h"

#include <pthread.h>

static const micro_pair regtest_zone_eu[] = { { { "zone", 4 }, { "eu", 2 } } };
static const micro_pair regtest_zone_us[] = { { { "zone", 4 }, { "us", 2 } } };

static micro_node regtest_node(const char *id, const char *address)
{
    micro_node n = { .id = micro_s(id), .address = micro_s(address) };
    return n;
}

/* An entry with one node; node must live as long. */
static micro_entry regtest_entry(const char *name, const char *version, micro_node *node)
{
    micro_entry e = { .name = micro_s(name), .version = micro_s(version) };
    e.nodes.ptr = node;
    e.nodes.len = node != NULL;
    return e;
}

static micro_err regtest_put(micro_registry *reg, micro_ctx *ctx, const char *name,
                             const char *version, const char *id, const char *address, int ttl_ms)
{
    micro_node node = regtest_node(id, address);
    micro_entry e = regtest_entry(name, version, &node);
    return micro_registry_put(reg, ctx, &e, ttl_ms);
}

static micro_err regtest_del(micro_registry *reg, micro_ctx *ctx, const char *name, const char *id)
{
    micro_node node = regtest_node(id, "");
    micro_entry e = regtest_entry(name, "", &node);
    return micro_registry_del(reg, ctx, &e);
}

/* "name/version: id@address id@address; name/version: ..." */
static const char *regtest_show(micro_ctx *ctx, const micro_entries *list)
{
    micro_str text = micro_s("");
    for (size_t i = 0; i < list->len; i++) {
        const micro_entry *e = &list->ptr[i];
        text =
            micro_format(ctx, "%s%s%s/%s:", text.ptr, i ? "; " : "", e->name.ptr, e->version.ptr);
        for (size_t k = 0; k < e->nodes.len; k++)
            text = micro_format(ctx, "%s %s@%s", text.ptr, e->nodes.ptr[k].id.ptr,
                                e->nodes.ptr[k].address.ptr);
    }
    return text.ptr;
}

/* A clock that tests move. */
static _Atomic long regtest_skew_ms;

static int regtest_clock(clockid_t clock, struct timespec *out)
{
    int rc = clock_gettime(clock, out);
    out->tv_sec += atomic_load(&regtest_skew_ms) / 1000;
    return rc;
}

/* ---- checks in front of the ops ---------------------------------------------------------------- */

typedef struct regtest_plugin {
    micro_registry base;
    micro_err err;
    const char *why; /* left in ctx */
    int calls;
    const micro_entries *entries;
} regtest_plugin;

static micro_err regtest_answer(micro_registry *reg, micro_ctx *ctx)
{
    regtest_plugin *p = (regtest_plugin *)reg;
    p->calls++;
    if (p->why)
        micro_ignore(micro_fail(ctx, 500, "%s", p->why));
    return p->err;
}

static micro_err regtest_op_put(micro_registry *reg, micro_ctx *ctx, const micro_entry *e, int ttl)
{
    (void)e, (void)ttl;
    return regtest_answer(reg, ctx);
}

static micro_err regtest_op_del(micro_registry *reg, micro_ctx *ctx, const micro_entry *e)
{
    (void)e;
    return regtest_answer(reg, ctx);
}

static micro_err regtest_op_get(micro_registry *reg, micro_ctx *ctx, const char *name,
                                micro_entries *out)
{
    regtest_plugin *p = (regtest_plugin *)reg;
    (void)name;
    if (p->entries)
        *out = *p->entries;
    return regtest_answer(reg, ctx);
}

static micro_err regtest_op_list(micro_registry *reg, micro_ctx *ctx, micro_entries *out)
{
    return regtest_op_get(reg, ctx, "", out);
}

static micro_err regtest_op_watch(micro_registry *reg, const char *name, micro_watch_fn *fn,
                                  void *arg, micro_watch **out)
{
    (void)name, (void)fn, (void)arg;
    ((regtest_plugin *)reg)->calls++;
    *out = (micro_watch *)(void *)reg;
    return MICRO_OK;
}

static void regtest_op_unwatch(micro_registry *reg, micro_watch *watch)
{
    (void)watch;
    ((regtest_plugin *)reg)->calls++;
}

static const micro_registry_ops regtest_ops = {
    .size_ = sizeof(micro_registry_ops),
    .name = "test",
    .put = regtest_op_put,
    .del = regtest_op_del,
    .get = regtest_op_get,
    .list = regtest_op_list,
    .watch = regtest_op_watch,
    .unwatch = regtest_op_unwatch,
};

static void regtest_no_event(void *arg, enum micro_change what, const micro_entry *entry)
{
    (void)arg, (void)what, (void)entry;
}

/* Calls every function once and says what each returned, in one number a row of the table. */
enum { REGTEST_PUT, REGTEST_DEL, REGTEST_GET, REGTEST_FIRST, REGTEST_LIST, REGTEST_WATCH };

static micro_err regtest_call(int what, micro_registry *reg, micro_ctx *ctx)
{
    micro_node node = regtest_node("n", "h:1");
    micro_entry e = regtest_entry("s", "1", &node);
    micro_entries out;
    micro_watch *watch;
    switch (what) {
    case REGTEST_PUT:
        return micro_registry_put(reg, ctx, &e, 0);
    case REGTEST_DEL:
        return micro_registry_del(reg, ctx, &e);
    case REGTEST_GET:
        return micro_registry_get(reg, ctx, "s", &out);
    case REGTEST_FIRST:
        return micro__registry_first(reg, ctx, "s", &out);
    case REGTEST_LIST:
        return micro_registry_list(reg, ctx, &out);
    default:
        return micro_registry_watch(reg, "s", regtest_no_event, NULL, &watch);
    }
}

TEST(registry_null_handles)
{
    micro_ctx *ctx = micro_ctx_new(NULL);
    REQUIRE(ctx);
    for (int i = REGTEST_PUT; i <= REGTEST_WATCH; i++) {
        NOTE("function %d", i);
        CHECK_EQ_INT(regtest_call(i, NULL, ctx), MICRO_ENOMEM);
        if (i != REGTEST_WATCH)
            CHECK_EQ_STR(micro_ctx_error(ctx)->detail, "no registry");
    }
    regtest_plugin p = { .base = { &regtest_ops } };
    for (int i = REGTEST_PUT; i < REGTEST_WATCH; i++)
        CHECK_EQ_INT(regtest_call(i, &p.base, NULL), MICRO_ENOMEM);
    CHECK_EQ_INT(p.calls, 0);
    micro_registry_free(NULL);
    micro_registry_unwatch(NULL, NULL);
    micro_registry_unwatch(&p.base, NULL);
    micro_registry_free(&p.base); /* has no op for it */
    CHECK_EQ_INT(p.calls, 0);
    micro_ctx_free(ctx);
}

TEST(registry_missing_ops)
{
    static const micro_registry_ops none = { .size_ = sizeof none };
    micro_registry_ops shorter = regtest_ops, whole = regtest_ops;
    shorter.size_ = (uint32_t)offsetof(micro_registry_ops, del);
    whole.size_ = 0;
    static const struct {
        int ops; /* none, shorter, as of 1.0, no table */
        micro_err put, rest;
    } rows[] = {
        { 0, MICRO_ENOSYS, MICRO_ENOSYS },
        { 1, MICRO_OK, MICRO_ENOSYS },
        { 2, MICRO_OK, MICRO_OK },
        { 3, MICRO_ENOSYS, MICRO_ENOSYS },
    };
    const micro_registry_ops *tables[] = { &none, &shorter, &whole, NULL };
    micro_node node = regtest_node("n", "h:1");
    micro_entry e = regtest_entry("s", "1", &node);
    const micro_entries one = { &e, 1, 0 };
    micro_ctx *ctx = micro_ctx_new(NULL);
    REQUIRE(ctx);
    for (size_t i = 0; i < MICRO_COUNTOF(rows); i++) {
        regtest_plugin p = { .base = { tables[rows[i].ops] }, .entries = &one };
        for (int k = REGTEST_PUT; k <= REGTEST_WATCH; k++) {
            NOTE("table %zu, function %d", i, k);
            micro_err want = k == REGTEST_PUT ? rows[i].put : rows[i].rest;
            CHECK_EQ_INT(regtest_call(k, &p.base, ctx), want);
            if (want && k != REGTEST_WATCH)
                CHECK(micro_ctx_error(ctx)->detail.len > 0);
            if (!want)
                CHECK_EQ_INT(micro_ctx_error(ctx)->detail.len, 0);
        }
        micro_registry_free(&p.base);
    }
    micro_ctx_free(ctx);
}

TEST(registry_watch_wants_unwatch)
{
    micro_registry_ops ops = regtest_ops;
    regtest_plugin p = { .base = { &ops } };
    CHECK_EQ_INT(regtest_call(REGTEST_WATCH, &p.base, NULL), MICRO_OK);
    ops.unwatch = NULL;
    CHECK_EQ_INT(regtest_call(REGTEST_WATCH, &p.base, NULL), MICRO_ENOSYS);
}

TEST(registry_table_of_a_later_version)
{
    struct {
        micro_registry_ops ops;
        void *more;
    } later = { regtest_ops, NULL };
    later.ops.size_ = sizeof later;
    regtest_plugin p = { .base = { &later.ops } };
    micro_ctx *ctx = micro_ctx_new(NULL);
    REQUIRE(ctx);
    CHECK_EQ_INT(regtest_call(REGTEST_PUT, &p.base, ctx), MICRO_OK);
    later.more = &p;
    CHECK_EQ_INT(regtest_call(REGTEST_PUT, &p.base, ctx), MICRO_EVERSION);
    CHECK_EQ_INT(regtest_call(REGTEST_LIST, &p.base, ctx), MICRO_EVERSION);
    CHECK_EQ_INT(regtest_call(REGTEST_WATCH, &p.base, ctx), MICRO_EVERSION);
    micro_ctx_free(ctx);
}

TEST(registry_arguments)
{
    regtest_plugin p = { .base = { &regtest_ops } };
    micro_ctx *ctx = micro_ctx_new(NULL);
    micro_entries out;
    micro_watch *watch;
    REQUIRE(ctx);
    CHECK_EQ_INT(micro_registry_put(&p.base, ctx, NULL, 0), MICRO_EINVAL);
    CHECK_EQ_STR(micro_ctx_error(ctx)->detail, "a service needs a name");
    CHECK_EQ_INT(micro_registry_del(&p.base, ctx, NULL), MICRO_EINVAL);
    CHECK_EQ_INT(micro_registry_get(&p.base, ctx, NULL, &out), MICRO_EINVAL);
    CHECK_EQ_INT(micro_registry_get(&p.base, ctx, "", &out), MICRO_EINVAL);
    CHECK_EQ_INT(micro_registry_get(&p.base, ctx, "s", NULL), MICRO_EINVAL);
    CHECK_EQ_INT(micro_registry_list(&p.base, ctx, NULL), MICRO_EINVAL);
    CHECK_EQ_INT(micro_registry_watch(&p.base, "s", NULL, NULL, &watch), MICRO_EINVAL);
    CHECK_EQ_INT(micro_registry_watch(&p.base, "", regtest_no_event, NULL, &watch), MICRO_EINVAL);
    CHECK_EQ_INT(micro_registry_watch(&p.base, "s", regtest_no_event, NULL, NULL), MICRO_EINVAL);
    CHECK_EQ_INT(p.calls, 0);
    micro_ctx_free(ctx);
}

TEST(registry_errors_and_texts)
{
    regtest_plugin p = { .base = { &regtest_ops } };
    micro_ctx *ctx = micro_ctx_new(NULL);
    micro_entries out = { NULL, 7, 7 };
    REQUIRE(ctx);
    p.err = MICRO_EIO;
    CHECK_EQ_INT(micro_registry_get(&p.base, ctx, "s", &out), MICRO_EIO);
    CHECK_EQ_STR(micro_ctx_error(ctx)->detail, "connection lost");
    CHECK_EQ_INT(out.len, 0);
    p.why = "the store is down";
    CHECK_EQ_INT(micro_registry_list(&p.base, ctx, &out), MICRO_EIO);
    CHECK_EQ_STR(micro_ctx_error(ctx)->detail, "the store is down");
    p.err = MICRO_OK; /* what was tried on the way to success is not an error */
    CHECK_EQ_INT(micro_registry_list(&p.base, ctx, &out), MICRO_OK);
    CHECK_EQ_INT(micro_ctx_error(ctx)->detail.len, 0);
    p.why = NULL; /* an empty answer */
    CHECK_EQ_INT(micro_registry_get(&p.base, ctx, "s", &out), MICRO_ENOTFOUND);
    CHECK_EQ_STR(micro_ctx_error(ctx)->detail, "not found");
    micro_ctx_free(ctx);
}

TEST(registry_entry_problems)
{
    static const struct {
        const char *name, *version, *id, *address; /* id NULL: no node */
        const char *problem;
    } rows[] = {
        { "s", "1", "n", "h:1", NULL },
        { "s", "", "n", "h:1", NULL },
        { "", "1", "n", "h:1", "a service needs a name" },
        { "s\n", "1", "n", "h:1", "a service's name or version is not plain text" },
        { "s", "\x7f", "n", "h:1", "a service's name or version is not plain text" },
        { "s\xff", "1", "n", "h:1", "a service's name or version is not plain text" },
        { "s", "1", NULL, "", "at least one node is required" },
        { "s", "1", "", "h:1", "a node needs an id" },
        { "s", "1", "n", "", "a node needs an address" },
        { "s", "1", "n\t", "h:1", "a node's id or address is not plain text" },
        { "s", "1", "n", "h:1\r\n", "a node's id or address is not plain text" },
        { "gr\xc3\xbc\xc3\x9f", "1", "n", "h:1", NULL },
    };
    regtest_plugin p = { .base = { &regtest_ops } };
    micro_ctx *ctx = micro_ctx_new(NULL);
    REQUIRE(ctx);
    for (size_t i = 0; i < MICRO_COUNTOF(rows); i++) {
        NOTE("row %zu", i);
        micro_node node = regtest_node(rows[i].id, rows[i].address);
        micro_entry e = regtest_entry(rows[i].name, rows[i].version, rows[i].id ? &node : NULL);
        CHECK_EQ_TEXT(micro__entry_problem(&e), rows[i].problem);
        micro_err want = rows[i].problem ? MICRO_EINVAL : MICRO_OK;
        CHECK_EQ_INT(micro_registry_put(&p.base, ctx, &e, 0), want);
        if (rows[i].problem)
            CHECK_EQ_STR(micro_ctx_error(ctx)->detail, rows[i].problem);
    }
    micro_ctx_free(ctx);
}

/* ---- the model --------------------------------------------------------------------------------- */

TEST(registry_copy_is_deep)
{
    char name[] = "svc", id[] = "n1", key[] = "zone", field[] = "name";
    micro_desc child = { .name = { field, 4 }, .type = micro_s("string") };
    micro_desc root = { .name = micro_s("Req"),
                        .type = micro_s("Req"),
                        .values = { &child, 1, 0 } };
    micro_pair pair = { { key, 4 }, { "eu", 2 } };
    micro_endpoint endpoint = { .name = micro_s("Say.Hello"), .request = &root };
    micro_node node = { .id = { id, 2 }, .address = micro_s("h:1"), .metadata = { &pair, 1, 0 } };
    micro_entry e = { .name = { name, 3 }, .version = { NULL, 0 } };
    e.endpoints.ptr = &endpoint;
    e.endpoints.len = 1;
    e.nodes.ptr = &node;
    e.nodes.len = 1;
    micro_ctx *ctx = micro_ctx_new(NULL);
    micro_entry copy;
    REQUIRE(ctx && micro__entry_copy(&ctx->arena, &copy, &e));
    name[0] = id[0] = key[0] = field[0] = 'X';
    root.type = micro_s("");
    CHECK_EQ_STR(copy.name, "svc");
    CHECK(copy.version.ptr && copy.version.len == 0);
    CHECK_EQ_STR(copy.nodes.ptr[0].id, "n1");
    CHECK_EQ_STR(copy.nodes.ptr[0].metadata.ptr[0].key, "zone");
    CHECK_EQ_STR(copy.endpoints.ptr[0].request->type, "Req");
    CHECK_EQ_STR(copy.endpoints.ptr[0].request->values.ptr[0].name, "name");
    CHECK(!copy.endpoints.ptr[0].response);
    micro_ctx_free(ctx);
}

TEST(registry_copy_cuts_bottomless_trees)
{
    micro_desc loop = { .name = micro_s("T"), .type = micro_s("T") };
    loop.values.ptr = &loop; /* a tree that contains itself */
    loop.values.len = 1;
    micro_ctx *ctx = micro_ctx_new(NULL);
    micro_desc copy;
    REQUIRE(ctx && micro__desc_copy(&ctx->arena, &copy, &loop));
    size_t depth = 0;
    for (const micro_desc *d = &copy; d->values.len; d = d->values.ptr)
        depth++;
    CHECK_EQ_UINT(depth, MICRO_MAX_DEPTH);
    micro_ctx_free(ctx);
}

TEST(registry_merge)
{
    static const struct {
        const char *name, *version, *id, *address;
    } rows[] = {
        { "b", "2", "n3", "h:3" }, { "b", "1", "n2", "h:2" }, { "b", "1", "n1", "h:1" },
        { "b", "1", "n2", "h:9" }, { "a", "1", "n1", "h:4" }, { "b", "10", "n4", "h:5" },
    };
    micro_endpoint endpoints[MICRO_COUNTOF(rows)];
    micro_entries list = { NULL, 0, 0 };
    micro_ctx *ctx = micro_ctx_new(NULL);
    REQUIRE(ctx);
    for (size_t i = 0; i < MICRO_COUNTOF(rows); i++) {
        micro_node node = regtest_node(rows[i].id, rows[i].address);
        micro_entry e = regtest_entry(rows[i].name, rows[i].version, &node);
        endpoints[i] = (micro_endpoint){ .name = node.address };
        e.endpoints.ptr = &endpoints[i];
        e.endpoints.len = 1;
        REQUIRE(micro__entries_merge(&ctx->arena, &list, &e));
    }
    CHECK_EQ_TEXT(regtest_show(ctx, &list), "b/2: n3@h:3; b/1: n2@h:9 n1@h:1; a/1: n1@h:4; "
                                            "b/10: n4@h:5");
    CHECK_EQ_STR(list.ptr[1].endpoints.ptr[0].name, "h:2"); /* the first seen of the version */
    CHECK_EQ_STR(list.ptr[1].nodes.ptr[1].version, "1");
    micro__entries_sort(&list);
    CHECK_EQ_TEXT(regtest_show(ctx, &list), "a/1: n1@h:4; b/1: n1@h:1 n2@h:9; b/10: n4@h:5; "
                                            "b/2: n3@h:3");
    micro_ctx_free(ctx);
}

TEST(registry_sort_many)
{
    enum { N = 257 };
    micro_ctx *ctx = micro_ctx_new(NULL);
    REQUIRE(ctx);
    micro_entries list = { NULL, 0, 0 };
    for (size_t i = 0; i < N; i++) {
        micro_node node = regtest_node("n", "h:1");
        micro_str name = micro_format(ctx, "%03zu", i * 101 % N);
        micro_entry e = regtest_entry(name.ptr, "1", &node);
        REQUIRE(micro__entries_merge(&ctx->arena, &list, &e));
    }
    micro__entries_sort(&list);
    for (size_t i = 0; i < N; i++)
        CHECK_EQ_STR(list.ptr[i].name, micro_format(ctx, "%03zu", i).ptr);
    micro__entries_sort(&(micro_entries){ NULL, 0, 0 });
    micro_ctx_free(ctx);
}

TEST(registry_hashes)
{
    micro_pair ab[] = { { { "a", 1 }, { "1", 1 } }, { { "b", 1 }, { "2", 1 } } };
    micro_pair ba[] = { { { "b", 1 }, { "2", 1 } }, { { "a", 1 }, { "1", 1 } } };
    micro_pair swapped[] = { { { "a", 1 }, { "2", 1 } }, { { "b", 1 }, { "1", 1 } } };
    micro_node node = regtest_node("n", "h:1");
    node.metadata.ptr = ab;
    node.metadata.len = 2;
    uint64_t h = micro__node_hash(&node);
    node.metadata.ptr = ba;
    CHECK(micro__node_hash(&node) == h);
    node.metadata.ptr = swapped;
    CHECK(micro__node_hash(&node) != h);
    node.metadata.ptr = ab;
    node.address = micro_s("h:2");
    CHECK(micro__node_hash(&node) != h);
    micro_desc empty = { .name = micro_s("T") };
    micro_endpoint one = { .name = micro_s("S.M"), .request = &empty };
    micro_entry e = regtest_entry("s", "1", &node);
    uint64_t bare = micro__facts_hash(&e);
    e.endpoints.ptr = &one;
    e.endpoints.len = 1;
    uint64_t with = micro__facts_hash(&e);
    CHECK(with != bare);
    one.request = NULL;
    one.response = &empty;
    CHECK(micro__facts_hash(&e) != with);
}

/* ---- watchers ---------------------------------------------------------------------------------- */

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
    if (!log->watch)
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

TEST(registry_unwatch_waits)
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
    micro__sleep_ms(20);
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
    micro__notify(NULL, MICRO_CREATED, &e);
    micro__notify_run(NULL);
    micro__notifier_free(n);
    micro__notifier_free(NULL);
}

/* ---- the memory registry ----------------------------------------------------------------------- */

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

TEST(registry_memory_facts)
{
    micro_registry *reg = micro_registry_memory_new();
    micro_ctx *ctx = micro_ctx_new(NULL);
    micro_node one = regtest_node("n1", "h:1"), two = regtest_node("n2", "h:2");
    micro_entry e = regtest_entry("s", "1", &one);
    micro_entries out;
    REQUIRE(reg && ctx);
    e.metadata = (micro_pairs){ (micro_pair *)(uintptr_t)regtest_zone_eu, 1, 0 };
    CHECK_EQ_INT(micro_registry_put(reg, ctx, &e, 0), MICRO_OK);
    e.nodes.ptr = &two; /* beside another node it has no say */
    e.metadata.ptr = (micro_pair *)(uintptr_t)regtest_zone_us;
    CHECK_EQ_INT(micro_registry_put(reg, ctx, &e, 0), MICRO_OK);
    CHECK_EQ_INT(micro_registry_get(reg, ctx, "s", &out), MICRO_OK);
    CHECK_EQ_STR(out.ptr[0].metadata.ptr[0].value, "eu");
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

/* ---- without memory ---------------------------------------------------------------------------- */

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

/* ---- many threads ------------------------------------------------------------------------------ */

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

TEST(registry_threads)
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
