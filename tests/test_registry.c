/* SPDX-License-Identifier: MIT */
/* The registry functions' checks, and the model. */
#include "registry_help.h"

/* ---- checks in front of the ops ---------------------------------------------------------------*/

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
    micro_node node = regtest_node("n", "h:1");
    micro_entry e = regtest_entry("s", "1", &node);
    const micro_entries half = { &e, 1, 0 };
    regtest_plugin p = { .base = { &regtest_ops }, .entries = &half };
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
    CHECK_EQ_INT(out.len, 0);
    p.entries = NULL;
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

/* ---- the model --------------------------------------------------------------------------------*/

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
